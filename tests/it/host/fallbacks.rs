use super::*;

use daur_std::core::security::input::command::{AllowList, Operands, Program};
use daur_std::core::time::Duration as Length;

const SHELL: AllowList<'static> =
    AllowList { programs: &[Program { name: "sh", letters: "c", options: &[], operands: Operands::Any }] };

/// Answers at first; does not any more once there is a file `slow` in the work directory.
const FICKLE: &str = "sh -c 'test -e slow && exec sleep 4010; echo fine'";

/// A server with a shell in a directory of its own, from which it can be taken.
fn fickle(change: impl FnOnce(&mut Config)) -> (Host, Dir) {
    let bin = Dir::new();
    std::os::unix::fs::symlink("/bin/sh", bin.0.join("sh")).unwrap();
    let host = Host::start_with(|config| {
        config.policy.commands = SHELL;
        config.command.program_dirs = vec![bin.0.clone()];
        // What is tested is not the cache.
        config.command.ttl = Length::from_nanos(1);
        config.command.breaker.failures = 100;
        change(config);
    });
    (host, bin)
}

fn take_it_away(bin: &Dir) {
    std::fs::remove_file(bin.0.join("sh")).unwrap();
}

#[test]
fn a_program_that_gives_none_now_is_answered_for_by_its_last_good_output_and_the_answer_says_so() {
    let (host, _bin) = fickle(|config| {
        // A busy machine has this long for the first answer.
        config.command.timeout = Length::from_secs(20);
        config.command.breaker.failures = 1;
    });
    let ada = host.token("ada");
    let first = host.command(&ada, FICKLE).json();
    assert_eq!(
        (&first["stdout"], &first["fallback_used"], &first["fallback"]),
        (&json!("fine\n"), &json!(false), &json!(null))
    );

    std::fs::write(host.dir.0.join("data/work/slow"), "").unwrap();
    for cause in ["timeout", "circuit_open", "circuit_open"] {
        let reply = host.command(&ada, FICKLE);
        let body = reply.json();
        assert_eq!(reply.status, 200, "{body}");
        assert_eq!(
            (&body["stdout"], &body["fallback_used"], &body["cached"]),
            (&json!("fine\n"), &json!(true), &json!(false))
        );
        assert_eq!(body["fallback"]["cause"], cause);
        assert!(body["fallback"]["age_ms"].is_u64());
        assert_eq!(body["fallback"]["retry_in_ms"].is_u64(), cause == "circuit_open");
        assert_eq!(body["attempts"], u8::from(cause == "timeout"));
    }
    // Another command of the same program has no output to give.
    host.command(&ada, "sh -c 'echo else'").is_problem(503, "circuit_open");

    let status = host.get(&ada, "/api/status").json();
    let told = &status["fallbacks"];
    assert_eq!(
        (&told["used"], &told["timeout"], &told["circuit_open"], &told["missing"]),
        (&json!(3), &json!(1), &json!(2), &json!(1))
    );
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_fallback_used_total{cause=\"timeout\"} 1\n"), "{metrics}");
    let audited = host.audited(&ada, "command");
    assert!(audited.iter().any(|event| event.starts_with("failure: circuit_open, fallback: sh")), "{audited:?}");
    // It is counted as what it was: a failure of the program.
    let sh = status["breakers"].as_array().unwrap().iter().find(|program| program["name"] == "sh").unwrap();
    assert_eq!((&sh["state"], &sh["succeeded"]), (&json!("open"), &json!(1)));
}

#[test]
fn an_output_that_is_too_old_is_not_given() {
    let (host, bin) = fickle(|config| config.command.fallback.max_age = Length::from_nanos(1));
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, FICKLE).status, 200);
    take_it_away(&bin);
    host.command(&ada, FICKLE).is_problem(500, "internal");
    assert_eq!(host.get(&ada, "/api/status").json()["fallbacks"]["missing"], 1);
}

#[test]
fn without_fallbacks_the_failure_is_told() {
    let (host, bin) = fickle(|config| config.command.fallback = daur_host::fallback::Config::OFF);
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, FICKLE).status, 200);
    take_it_away(&bin);
    host.command(&ada, FICKLE).is_problem(500, "internal");
    assert_eq!(host.get(&ada, "/api/status").json()["fallbacks"]["enabled"], false);
}

#[test]
fn a_program_that_is_gone_is_answered_for_too() {
    let (host, bin) = fickle(|_| ());
    let ada = host.token("ada");
    assert_eq!(host.command(&ada, "sh -c 'echo fine'").json()["fallback_used"], false);
    take_it_away(&bin);
    let body = host.command(&ada, "sh -c 'echo fine'").json();
    assert_eq!((&body["stdout"], &body["fallback"]["cause"]), (&json!("fine\n"), &json!("not_started")));
    // It was tried as often as it may be, before that.
    assert_eq!((&body["attempts"], &body["success"], &body["exit_code"]), (&json!(3), &json!(true), &json!(0)));
    assert_eq!(host.get(&ada, "/api/status").json()["fallbacks"]["not_started"], 1);
}
