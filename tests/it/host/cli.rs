//! The command line as a stranger meets it: help, exit codes, what goes where, completions, the config as it is in force.

use super::*;

use std::io::{BufRead, BufReader};

use daur_std::core::id::{BootId, DeviceId};
use daur_std::core::text::Text;
use daur_std::core::time::Instant as DeviceTime;
use daur_std::core::wire::frame::Frame;
use daur_std::core::wire::record::{Record, ResetCause, Verdict};

/// Runs the program with exactly these arguments, and none of this process's variables that it listens to.
fn run(args: &[&str], vars: &[(&str, &str)], line: &str) -> Done {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DAUR_") {
            command.env_remove(name);
        }
    }
    command.args(args).env_remove("RUST_LOG").envs(vars.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The help of a command and of all below it, in the order in which they stand there.
fn helps(path: &[&str], all: &mut String) {
    let help = run(&[path, &["--help"]].concat(), &[], "").good();
    all.push_str(&format!("$ daur-host {}\n{help}\n", [path, &["--help"]].concat().join(" ")));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for line in commands {
        // A long explanation goes on in the next line, further in.
        let name =
            line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| *name != "help") {
            helps(&[path, &[name]].concat(), all);
        }
    }
}

/// `DAUR_GOLDEN=write` writes it anew: read the difference.
#[test]
fn the_help_of_every_subcommand_is_what_is_kept_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/help.txt");
    let mut all = String::new();
    helps(&[], &mut all);
    if std::env::var_os("DAUR_GOLDEN").is_some() {
        std::fs::write(&path, &all).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    for (now, kept) in all.lines().zip(kept.lines()) {
        assert_eq!(now, kept);
    }
    assert_eq!(all.len(), kept.len());
    for command in
        ["serve", "user add", "token issue", "audit verify", "report", "device send", "completions", "replay"]
    {
        assert!(kept.contains(&format!("$ daur-host {command} --help\n")), "{command}");
    }
    // Nothing of it is left unsaid.
    let lines: Vec<&str> = kept.lines().collect();
    let begins = |line: &str| ["-h,", "-V,", "--", "<"].iter().any(|mark| line.trim_start().starts_with(mark));
    for pair in lines.windows(2).filter(|pair| begins(pair[0])) {
        let depth = |line: &str| line.len() - line.trim_start().len();
        let explained = pair[0].trim_start().contains("  ") || depth(pair[1]) > depth(pair[0]);
        assert!(explained, "{:?}", pair[0]);
    }
}

#[test]
fn exit_codes_are_those_that_the_help_says() {
    let dir = Dir::new();
    let data = dir.0.join("data");
    let data = data.to_str().unwrap();
    let help = run(&["--help"], &[], "").good();
    assert!(help.contains("Exit codes: 0 done, 1 failed or refused, 2 a wrong command line."), "{help}");
    assert!(help.contains("Of `audit verify`: 0 intact, 1 broken, 2 not checked."), "{help}");
    assert!(help.contains("Of `replay`: 0 equal, 1 diverged, 2 not run to its end."), "{help}");
    assert!(run(&["--version"], &[], "").good().starts_with("daur-host "));
    let add = ["user", "add", "ada", "--password-stdin", "--permissions", "read,admin", "--data-dir", data];
    run(&add, &[], PASSWORD).good();
    for (args, code) in [
        (&add[..], 1),
        (&["user", "list", "--data-dir", "/not/there"], 1),
        (&["config", "check", "--config", "/not/there.toml"], 1),
        (&["report", "--data-dir", "/not/there"], 1),
        (&["device", "list", "--url", "http://127.0.0.1:1"], 1),
        (&["no-such-command"], 2),
        (&["--no-such-flag"], 2),
        (&["user", "add"], 2),
        (&["completions", "tcsh"], 2),
        (&["device", "send", "node"], 2),
        (&["token", "issue", "ada"], 2),
        (&["audit", "verify", "--data-dir", "/not/there"], 2),
    ] {
        let done = run(args, &[("DAUR_TOKEN", "t")], PASSWORD);
        // What went wrong is a message, and no data.
        assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{args:?} {}", done.stderr);
        assert!(!done.stderr.is_empty(), "{args:?}");
    }
    let verify = ["audit", "verify", "--data-dir", data];
    assert!(run(&verify, &[], "").good().starts_with("intact: 1 records"));
    // A chain of another key, and one that is not all there.
    let export = run(&["audit", "export", "--data-dir", data], &[], "").good();
    let file = dir.0.join("chain");
    std::fs::write(&file, export.replace("read", "lead")).unwrap();
    let broken = run(&[&verify[..], &["--file", file.to_str().unwrap()]].concat(), &[], "");
    assert_eq!(broken.code, Some(1), "{}{}", broken.stdout, broken.stderr);
    assert!(broken.stdout.starts_with("broken: "), "{}", broken.stdout);
    let nowhere = run(&[&verify[..], &["--key", "/not/there"]].concat(), &[], "");
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
}

#[test]
fn what_does_not_go_to_a_terminal_is_plain_and_data_goes_to_stdout_alone() {
    let dir = Dir::new();
    let data = dir.0.to_str().unwrap();
    for vars in [&[("NO_COLOR", "1")][..], &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm-256color")]] {
        for args in [
            &["--help"][..],
            &["user", "add", "--help"],
            &["user", "nothing"],
            &["user", "list", "--data-dir", "/not/there"],
            &["user", "add", "ada", "--password-stdin", "--data-dir", data],
            &["user", "list", "--data-dir", data],
            &["audit", "list", "--data-dir", data],
            &["config", "check"],
            &["serve", "--listen", "127.0.0.1:0", "--config", "/not/there", "--data-dir", data],
        ] {
            let done = run(args, vars, PASSWORD);
            assert!(!(done.stdout + &done.stderr).contains('\u{1b}'), "{args:?}");
        }
    }
}

#[test]
fn how_far_a_long_work_has_come_shows_on_a_terminal_and_leaves_no_trace() {
    let dir = Dir::new();
    let data = dir.0.to_str().unwrap();
    run(&["user", "add", "ada", "--password-stdin", "--data-dir", data], &[], PASSWORD).good();
    let plain = run(&["audit", "export", "--data-dir", data], &[], "");
    assert_eq!(plain.stderr, "");
    let chain = plain.good();
    // `script` is a terminal to what it runs.
    let export = format!("'{PROGRAM}' audit export --data-dir '{data}' > '{data}/chain'");
    let output = Command::new("script").args(["-qec", &export, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("\rrecords written: "), "{said:?}");
    assert!(said.ends_with(&format!("\r{:40}\r", "")), "{said:?}");
    assert_eq!(std::fs::read_to_string(dir.0.join("chain")).unwrap(), chain);
    let verify = format!("'{PROGRAM}' audit verify --data-dir '{data}' --file '{data}/chain'");
    let output = Command::new("script").args(["-qec", &verify, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\rchecked: 100 %") && said.contains("intact: 1 records"), "{said:?}");
}

#[test]
fn what_is_shown_can_be_had_as_json() {
    let host = Host::start();
    let lines = |args: &[&str]| -> Vec<Value> {
        let text = host.program(args, "").good();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    };
    let users = lines(&["user", "list", "--json"]);
    assert_eq!((&users[1]["name"], &users[1]["permissions"]), (&json!("bob"), &json!(["read"])));
    assert_eq!(users[0]["disabled"], false);
    assert!(users[0]["created"].as_u64() > Some(1_700_000_000));
    let keys = lines(&["key", "list", "--json"]);
    assert_eq!((keys.len(), &keys[0]["role"]), (1, &json!("signs")));
    let head = lines(&["audit", "head", "--json"])[0]["head"].as_str().unwrap().to_owned();
    let verdict = &lines(&["audit", "verify", "--json", "--head", &head])[0];
    assert_eq!(
        (&verdict["intact"], &verdict["complete"], &verdict["head"]),
        (&json!(true), &json!(true), &json!(head))
    );
    assert!(lines(&["audit", "list", "--json"]).iter().any(|event| event["kind"] == "user_change"));
    let config: Value = serde_json::from_str(&run(&["config", "check", "--json"], &[], "").good()).unwrap();
    assert_eq!((&config["model"]["stream"]["idle"], &config["policy"]["api_rate"]), (&json!("30s"), &json!(10)));
}

#[test]
fn the_config_in_force_is_printed_as_a_file_and_what_cannot_be_is_named() {
    let dir = Dir::new();
    let file = dir.0.join("daur.toml");
    let name = file.to_str().unwrap();
    let check = |text: &str, vars: &[(&str, &str)], more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        run(&[&["config", "check", "--config", name], more].concat(), vars, "")
    };
    // File, environment and flags, each in its place.
    let said = check(
        "[commands]\nat_once = 3\n[policy]\napi_rate = 7\n[log]\nlevel = \"error\"\n",
        &[("DAUR_POLICY_API_BURST", "9"), ("DAUR_READ_ONLY", "1")],
        &["--log-level", "debug"],
    )
    .good();
    let shown: toml_like::Lines = said.parse().unwrap();
    for (table, line) in [
        ("commands", "at_once = 3"),
        ("commands", "queue_wait = \"2s\""),
        ("policy", "api_rate = 7"),
        ("policy", "api_burst = 9"),
        ("log", "level = \"debug\""),
        ("", "read_only = true"),
        ("model.stream", "total = \"10m\""),
    ] {
        assert!(shown.has(table, line), "[{table}] {line}: {said}");
    }
    // It is a config itself, and in force it is the same.
    assert_eq!(check(&said, &[], &[]).good(), said);
    for (text, vars, key) in [
        ("[commands]\nat_once = 0\n", &[][..], "[commands] `at_once`"),
        ("[model.stream]\nidle = \"0s\"\n", &[], "[model.stream] `idle`"),
        ("[comands]\n", &[], "comands"),
        ("[retry]\nmax_attempts = \"three\"\n", &[], "max_attempts"),
        ("at_once = [\n", &[], "line 1"),
        ("", &[("DAUR_READ_ONLY", "maybe")], "DAUR_READ_ONLY"),
        ("", &[("DAUR_POLICY_ITERATIONS", "5")], "DAUR_POLICY_ITERATIONS"),
    ] {
        let done = check(text, vars, &[]);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{text}");
        assert!(done.stderr.contains(key), "{text}: {}", done.stderr);
    }
    run(&["config", "check"], &[], "").good();
}

/// Lines of TOML with the table that they stand in.
mod toml_like {
    pub(super) struct Lines(Vec<(String, String)>);

    impl std::str::FromStr for Lines {
        type Err = std::convert::Infallible;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            let mut table = String::new();
            let mut all = Vec::new();
            for line in text.lines() {
                match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    Some(name) => table = name.to_owned(),
                    None => all.push((table.clone(), line.to_owned())),
                }
            }
            Ok(Self(all))
        }
    }

    impl Lines {
        pub(super) fn has(&self, table: &str, line: &str) -> bool {
            self.0.iter().any(|found| found.0 == table && found.1 == line)
        }
    }
}

#[test]
fn completions_are_scripts_that_know_the_subcommands() {
    for (shell, marks) in [
        ("bash", &["complete -F", "daur-host", "--password-stdin", "--config"][..]),
        ("zsh", &["#compdef daur-host", "'verify:", "--data-dir"]),
        ("fish", &["complete -c daur-host", "completions", "issue"]),
    ] {
        let script = run(&["completions", shell], &[], "").good();
        for mark in marks {
            assert!(script.contains(mark), "{shell}: {mark}");
        }
    }
    // Bash is there: it completes.
    let ask = r#"
        source <("$0" completions bash)
        COMP_WORDS=(daur-host audit ver); COMP_CWORD=2; _daur__host daur-host ver audit; echo "${COMPREPLY[@]}"
        COMP_WORDS=(daur-host token issue --pass); COMP_CWORD=3; _daur__host daur-host --pass issue; echo "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash").args(["-c", ask, PROGRAM]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "verify\n--password-stdin\n", "{}", String::from_utf8_lossy(&output.stderr));
}

/// A device that does `blink`, whoever signed it, and refuses all else; gives its place.
fn device() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut line, _) = listener.accept().unwrap();
        let mut heard = BufReader::new(line.try_clone().unwrap());
        let mut seq = 0;
        let mut say = |record| {
            let mut bytes = [0; 512];
            let len = Frame { seq, at: DeviceTime::from_nanos(1), record }.encode(&mut bytes).unwrap();
            seq += 1;
            line.write_all(&bytes[..len]).unwrap();
        };
        let device = DeviceId::new("node").unwrap();
        let (boot, firmware) = (BootId(1), Text::cut("1.0"));
        say(Record::Hello { device, boot, nonce: 1, schema: 1, firmware, reset: ResetCause::Unknown });
        let (mut commands, mut frame) = (0, Vec::new());
        // A frame ends with a zero; a command's is longer than all else that a host says.
        while heard.read_until(0, &mut frame).is_ok_and(|read| read > 0) {
            if frame.len() > 100 {
                commands += 1;
                let (verdict, message) =
                    if commands == 1 { (Verdict::Accepted, "on") } else { (Verdict::BadSignature, "no") };
                say(Record::Reply { counter: 0, verdict, message: Text::cut(message) });
            }
            frame.clear();
        }
    });
    place
}

#[test]
fn a_token_is_issued_and_a_device_does_what_it_is_told_by_a_server_that_runs() {
    let place = device();
    let host = Host::start_with(|config| config.devices = vec![place.parse().unwrap()]);
    let url = format!("http://{}", host.address);
    let issue = |name: &str, password: &str, more: &[&str]| {
        run(&[&["token", "issue", name, "--password-stdin", "--url", &url], more].concat(), &[], password)
    };
    let token = issue("ada", PASSWORD, &[]).good().trim_end().to_owned();
    assert_eq!(host.get(&token, "/api/session").json()["user"], "ada");
    let issued: Value = serde_json::from_str(&issue("bob", PASSWORD, &["--json"]).good()).unwrap();
    let bob = issued["token"].as_str().unwrap().to_owned();
    let wrong = issue("ada", "wrong", &[]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains("status 401"), "{}", wrong.stderr);

    let by = |token: &str, args: &[&str]| run(&[args, &["--url", &url]].concat(), &[("DAUR_TOKEN", token)], "");
    let listed = || by(&bob, &["device", "list"]).good();
    assert!(eventually(|| listed() == format!("node\tconnected\t{place}\t1.0\n")), "{}", listed());
    let all: Value = serde_json::from_str(&by(&bob, &["device", "list", "--json"]).good()).unwrap();
    assert_eq!(all[0]["id"], "node");

    // By its exit code: done, refused, not allowed, not there.
    let send = |token: &str, args: &[&str]| by(token, &[&["device", "send"], args].concat());
    let done = send(&token, &["node", "blink", "3"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "accepted\ton\n"), "{}", done.stderr);
    let refused = send(&token, &["node", "--json", "reboot"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert_eq!(serde_json::from_str::<Value>(&refused.stdout).unwrap()["verdict"], "bad_signature");
    let sent = host.audited(&token, "command");
    assert!(sent[1].starts_with("success: device node: accepted: blink 3"), "{sent:?}");
    for (token, device, status) in [(&bob, "node", "status 403"), (&token, "none/../x", "status 404")] {
        let done = send(token, &[device, "blink"]);
        assert!(done.code == Some(1) && done.stderr.contains(status), "{}", done.stderr);
    }
    // The token from a file.
    let file = host.dir.0.join("token");
    std::fs::write(&file, format!("{bob}\n")).unwrap();
    run(&["device", "list", "--url", &url, "--token-file", file.to_str().unwrap()], &[], "").good();
    let none = run(&["device", "list", "--url", &url], &[], "");
    assert!(none.code == Some(1) && none.stderr.contains("DAUR_TOKEN"), "{}", none.stderr);
}

#[test]
fn the_unit_for_systemd_starts_what_the_program_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let unit = std::fs::read_to_string(root.join("host-example/daur-host.service")).unwrap();
    let config = root.join("host-example/example.toml");
    let dir = Dir::new();
    let said = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    // Both lines are the program's, and the first one succeeds with the example.
    let check = said("ExecStartPre").replace("/etc/daur/daur.toml", config.to_str().unwrap());
    let words: Vec<&str> = check.split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/daur-host");
    run(&words[1..], &[], "").good();
    let start = said("ExecStart");
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!((words[0], words[1]), ("/usr/local/bin/daur-host", "serve"));
    run(&[&words[1..], &["--help"]].concat(), &[], "").good();
    // Where systemd is, it says so itself; of the program it wants to know where it is.
    let copy = dir.0.join("daur-host.service");
    let here = unit.replace("/usr/local/bin/daur-host", PROGRAM).replace("User=daur", "User=root");
    std::fs::write(&copy, here.replace("Group=daur", "Group=root")).unwrap();
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("daur-host.service")).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}
