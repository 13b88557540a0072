use super::*;

use daur_host::settings::Settings;
use daur_std::core::reliability::retry::Attempts;
use daur_std::core::security::input::command::{AllowList, Operands, Program};
use std::fs::File;
use std::process::Command;

const TWO: AllowList<'static> = AllowList {
    programs: &[
        Program { name: "sh", letters: "c", options: &[], operands: Operands::Any },
        Program { name: "sleep", letters: "", options: &[], operands: Operands::Any },
    ],
};

fn with_settings(text: &str, change: impl FnOnce(&mut Config)) -> Host {
    Host::start_with(|config| {
        config.policy.commands = TWO;
        change(config);
        Settings::parse(text).unwrap().apply(config).unwrap();
    })
}

/// What lets go the one program that reads a line of `go`.
fn gate(host: &Host) -> impl FnOnce() -> File {
    let fifo = host.dir.0.join("data/work/go");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Open for both, so that nobody waits for the other end.
    let mut go = File::options().read(true).write(true).open(&fifo).unwrap();
    move || {
        go.write_all(b"x\n").unwrap();
        // The line is there for as long as this is open.
        go
    }
}

fn breaker(host: &Host, token: &str, name: &str) -> Value {
    let status = host.get(token, "/api/status").json();
    let all = status["breakers"].as_array().unwrap().clone();
    all.into_iter().find(|program| program["name"] == name).unwrap()
}

#[test]
fn a_program_has_a_breaker_of_the_mode_that_the_file_says_and_the_others_have_theirs() {
    let bin = Dir::new();
    let program = |name: &str| bin.0.join(name);
    for name in ["sh", "sleep"] {
        std::os::unix::fs::symlink(Path::new("/bin").join(name), program(name)).unwrap();
    }
    let host = with_settings(
        "[breaker]\nfailures = 2\n[fallback]\nmax_age = \"0s\"\n[programs.sh.breaker]\n\
         opens = { count_window = { calls = 4, failure_pct = 50, min_calls = 4 } }\nrecovery_timeout = \"1h\"\n",
        |config| {
            config.command.program_dirs = vec![bin.0.clone()];
            config.command.retry.max_attempts = Attempts::Limited(1);
        },
    );
    let ada = host.token("ada");
    assert_eq!(breaker(&host, &ada, "sh")["mode"], "count_window");
    assert_eq!(breaker(&host, &ada, "sleep")["mode"], "consecutive");
    // Never two failures in a row, but half of the last four calls.
    for n in 0..2 {
        assert_eq!(host.command(&ada, &format!("sh -c 'echo {n}'")).status, 200);
        std::fs::remove_file(program("sh")).unwrap();
        host.command(&ada, &format!("sh -c 'echo none {n}'")).is_problem(500, "internal");
        std::os::unix::fs::symlink("/bin/sh", program("sh")).unwrap();
        assert_eq!(breaker(&host, &ada, "sh")["state"], if n == 0 { "closed" } else { "open" });
    }
    let wait = host.command(&ada, "sh -c 'echo more'").is_problem(503, "circuit_open");
    assert!(wait.is_some_and(|wait| wait > 3_000), "{wait:?}");
    assert_eq!(host.command(&ada, "sleep 0").status, 200);
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_breaker_info{breaker=\"sh\",mode=\"count_window\"} 1\n"), "{metrics}");
}

#[test]
fn a_program_that_works_but_too_slowly_is_refused_if_the_file_says_so() {
    let host = with_settings(
        "[programs.sleep.breaker]\nopens = { count_window = { calls = 2, failure_pct = 100, min_calls = 2 } }\n\
         slow = { slow_call = \"50ms\", slow_pct = 100 }\n",
        |_| (),
    );
    let ada = host.token("ada");
    for n in 0..2 {
        assert_eq!(host.command(&ada, &format!("sleep 0.1{n}")).status, 200);
    }
    let sleep = breaker(&host, &ada, "sleep");
    assert_eq!((&sleep["mode"], &sleep["state"]), (&json!("count_window_slow"), &json!("open")));
    host.command(&ada, "sleep 0").is_problem(503, "circuit_open");
    // Nothing but its own output stands in.
    assert_eq!(host.command(&ada, "sleep 0.10").json()["cached"], true);
}

#[test]
fn one_budget_pays_for_the_retries_of_all_commands() {
    let host = Host::start_with(|config| {
        config.command.program_dirs = vec!["/nonexistent".into()];
        let budget = "[budget]\ntoken_bucket = { capacity = 15, retry_cost = 5, first_try_gain = 1 }\n";
        Settings::parse(budget).unwrap().apply(config).unwrap();
    });
    let ada = host.token("ada");
    // Three attempts each, and three retries for both: the second command gets one.
    for (command, retries) in [("uname", 2), ("date", 1), ("uptime", 0)] {
        host.command(&ada, command).is_problem(500, "internal");
        assert_eq!(breaker(&host, &ada, command)["retries"], retries, "{command}");
    }
    let budget = &host.get(&ada, "/api/status").json()["budget"];
    assert_eq!(
        (&budget["mode"], &budget["retries_left"], &budget["funded"], &budget["refused"]),
        (&json!("token_bucket"), &json!(0), &json!(3), &json!(2))
    );
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_retry_budget_refused_total 2\n"), "{metrics}");
}

#[test]
fn so_many_commands_wait_and_one_more_is_refused_at_once() {
    let host = with_settings("[commands]\nat_once = 1\nwaiting = 1\nqueue_wait = \"1h\"\n", |_| ());
    let ada = host.token("ada");
    let places = || host.get(&ada, "/api/status").json()["bulkhead"].clone();
    std::thread::scope(|scope| {
        let go = gate(&host);
        let first = scope.spawn(|| host.command(&ada, "sh -c 'read x < go'"));
        assert!(eventually(|| places()["running"] == 1));
        let second = scope.spawn(|| host.command(&ada, "sleep 0.01"));
        assert!(eventually(|| places()["waiting"] == 1));
        assert_eq!(host.command(&ada, "sleep 0.02").is_problem(503, "overloaded"), Some(1));
        let _open = go();
        assert_eq!((first.join().unwrap().status, second.join().unwrap().status), (200, 200));
    });
    let places = places();
    assert_eq!((&places["running"], &places["waiting"], &places["refused"]), (&json!(0), &json!(0), &json!(1)));
}

#[test]
fn a_command_whose_breaker_is_open_does_not_wait_in_line_to_hear_it() {
    let text = "[commands]\nat_once = 1\nwaiting = 1\nqueue_wait = \"1h\"\n[breaker]\nfailures = 1\n\
                recovery_timeout = \"1h\"\n";
    let bin = Dir::new();
    std::os::unix::fs::symlink("/bin/sh", bin.0.join("sh")).unwrap();
    let host = with_settings(text, |config| config.command.program_dirs = vec![bin.0.clone()]);
    let ada = host.token("ada");
    // There is none.
    host.command(&ada, "sleep 0").is_problem(500, "internal");
    let places = || host.get(&ada, "/api/status").json()["bulkhead"].clone();
    std::thread::scope(|scope| {
        // All places, to run and to wait in, are taken by another program.
        let go = gate(&host);
        let first = scope.spawn(|| host.command(&ada, "sh -c 'read x < go; exit 7'"));
        assert!(eventually(|| places()["running"] == 1));
        host.command(&ada, "sleep 0.5").is_problem(503, "circuit_open");
        assert_eq!(places()["waiting"], 0);
        let _open = go();
        assert_eq!(first.join().unwrap().json()["exit_code"], 7);
    });
}

#[test]
fn a_lease_that_a_probe_may_outlive_is_refused() {
    let dir = Dir::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daur-host-under-test"));
    let file = dir.0.join("daur.toml");
    std::fs::write(&file, "[breaker]\nprobe_lease = \"10s\"\n").unwrap();
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.0.join("data")).arg("--config").arg(&file);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("`probe_lease` is 10s"), "{said}");
}

#[test]
fn a_config_file_that_says_what_cannot_be_ends_the_program_with_1_and_the_reason() {
    let dir = Dir::new();
    let run = |text: &str| {
        let file = dir.0.join("daur.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_daur-host-under-test"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.0.join("data")).arg("--config").arg(&file);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run("[breaker]\nfailure = 3\n").contains("failure"));
    assert!(run("[breaker]\nfailures = 0\n").contains("`failures` is 0"));
    assert!(run("[programs.rm.breaker]\nfailures = 3\n").contains("`rm`, which is not on the list"));
    assert!(run("[health]\nperiod = \"0s\"\n").contains("period"));
    assert!(run("[commands]\nwaiting = 100000\n").contains("[commands] `waiting` is 100000"));
}

#[test]
fn the_example_file_is_one_that_the_server_starts_with() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host-example/example.toml");
    let host = Host::start_with(|config| {
        // Its breakers' leases are those of a command that is ended in time.
        config.command.timeout = daur_host::command::Config::default().timeout;
        Settings::load(&example).unwrap().apply(config).unwrap();
    });
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, "date").status, 200);
    let (date, uptime) = (breaker(&host, &ada, "date"), breaker(&host, &ada, "uptime"));
    assert_eq!((&date["mode"], &uptime["mode"]), (&json!("count_window_slow"), &json!("time_window")));
    assert_eq!(date["window"], json!({ "calls": 1, "failed": 0, "slow": 0 }));
}
