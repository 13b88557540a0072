//! The log of the program itself: on stderr, in files, for the dashboard.

use super::*;

use std::io::{BufRead, BufReader};
use std::process::Child;

/// The program with a user `ada` who may everything, and `bob` who may read.
struct Program {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
    stderr: PathBuf,
    _dir: Dir,
}

impl Program {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = Dir::new();
        let (data, stderr) = (dir.0.join("data"), dir.0.join("stderr"));
        for (name, permissions) in [("ada", "read,write,admin"), ("bob", "read")] {
            program(&data, &["user", "add", name, "--permissions", permissions, "--password-stdin"], PASSWORD).good();
        }
        let mut child = Command::new(PROGRAM)
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .args(args)
            .env_remove("RUST_LOG")
            .envs([("DAUR_POLICY_API_RATE", "1000"), ("DAUR_POLICY_API_BURST", "1000")])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_end_matches('/').rsplit_once('/').unwrap().1.parse().unwrap();
        Self { child, address, data, stderr, _dir: dir }
    }

    fn token(&self, user: &str) -> String {
        let login = json!({ "user": user, "password": PASSWORD }).to_string();
        let reply = call(self.address, "POST", "/api/login", &[], Some(&login)).json();
        reply["token"].as_str().unwrap().to_owned()
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string);
        call(self.address, method, path, &[("Authorization", &format!("Bearer {token}"))], body.as_deref())
    }

    fn lines(&self, token: &str, query: &str) -> Vec<Value> {
        let shown = self.ask(token, "GET", &format!("/api/logs?{query}"), None).json();
        shown["lines"].as_array().unwrap().clone()
    }

    fn end(&mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.data.join("logs/daur-host.log")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn lines_are_in_the_file_and_for_who_may_read_and_the_last_ones_are_not_lost() {
    let mut program = Program::start(&[], &[]);
    let (ada, bob) = (program.token("ada"), program.token("bob"));
    assert_eq!(program.ask(&ada, "POST", "/api/breakers/uname/force-open", None).status, 200);
    let of_breaker = |lines: &[Value]| lines.iter().find(|line| line["fields"]["program"] == "uname").cloned();
    assert!(eventually(|| of_breaker(&program.lines(&bob, "")).is_some()));
    let line = of_breaker(&program.lines(&bob, "level=warn")).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&json!("warn"), &json!("a breaker changed")));
    assert_eq!(line["target"], "daur_host::command");
    // The oldest first, and from a number on.
    let all = program.lines(&bob, "limit=1000");
    assert!(all.windows(2).all(|two| two[0]["seq"].as_u64() < two[1]["seq"].as_u64()));
    let seq = line["seq"].as_u64().unwrap();
    assert!(program.lines(&bob, &format!("after={seq}")).iter().all(|line| line["seq"].as_u64().unwrap() > seq));
    assert!(of_breaker(&program.lines(&bob, "level=error")).is_none());
    assert_eq!(program.lines(&bob, "limit=1").len(), 1);
    for bad in ["level=loud", "limit=x", "before=1"] {
        program.ask(&bob, "GET", &format!("/api/logs?{bad}"), None).is_problem(400, "bad_request");
    }
    program.ask("", "GET", "/api/logs", None).is_problem(401, "unauthenticated");
    let logs = program.ask(&bob, "GET", "/api/status", None).json()["logs"].clone();
    assert_eq!((&logs["dropped"], &logs["level"]), (&json!(0), &json!("info")));
    assert!(logs["sent"].as_u64() >= Some(seq) && logs["last_seq"] == logs["sent"], "{logs}");

    program.end();
    for (place, text) in [("file", program.file()), ("stderr", program.stderr())] {
        assert!(text.contains("a breaker changed") && text.contains("program=uname"), "{place}: {text}");
        assert!(text.lines().any(|line| line.contains("stopping signal=SIGTERM")), "{place}: {text}");
        assert!(!text.contains('\u{1b}'), "{place}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&program.data).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn an_operator_changes_the_level_and_nobody_else_does() {
    let program = Program::start(&["--log-level", "warn"], &[("RUST_LOG", "error")]);
    let (ada, bob) = (program.token("ada"), program.token("bob"));
    let level = || program.ask(&bob, "GET", "/api/status", None).json()["logs"]["level"].clone();
    assert_eq!(level(), "warn");
    let open_and_reset = || {
        for how in ["force-open", "reset"] {
            let done = program.ask(&ada, "POST", &format!("/api/breakers/uname/{how}"), None);
            assert_eq!(done.status, 200, "{}", done.text);
        }
    };
    let of_breaker = |level: &str| {
        let lines = program.lines(&bob, "level=trace&limit=1000");
        let of_it = lines.iter().filter(|line| line["fields"]["program"] == "uname" && line["level"] == level);
        // Those that say the same one after the other are one line.
        of_it.map(|line| 1 + line["repeated"].as_u64().unwrap()).sum::<u64>()
    };
    open_and_reset();
    assert!(eventually(|| of_breaker("warn") == 1));
    assert_eq!(of_breaker("info"), 0);
    let set = |token: &str, body: Value| program.ask(token, "PUT", "/api/log-level", Some(&body));
    set(&bob, json!({ "level": "debug" })).is_problem(403, "forbidden");
    set(&ada, json!({ "level": "loud" })).is_problem(400, "invalid_input");
    set(&ada, json!({ "level": 3 })).is_problem(400, "bad_request");
    set(&ada, json!({})).is_problem(400, "bad_request");
    assert_eq!(level(), "warn");
    for _ in 0..2 {
        let done = set(&ada, json!({ "level": "debug" }));
        assert_eq!((done.status, done.json()), (200, json!({ "level": "debug" })));
    }
    assert_eq!(level(), "debug");
    assert_eq!(program.ask(&ada, "GET", "/api/log-level", None).header("allow"), "PUT, OPTIONS");
    open_and_reset();
    assert!(eventually(|| of_breaker("info") == 1 && of_breaker("warn") == 2));
    let audit = program.ask(&ada, "GET", "/api/audit?kind=config_change", None).json();
    let details: Vec<&str> =
        audit["events"].as_array().unwrap().iter().map(|event| event["detail"].as_str().unwrap()).collect();
    let of_level: Vec<&&str> = details.iter().filter(|detail| detail.starts_with("log level")).collect();
    assert_eq!(
        of_level,
        [&"log level debug: was debug", &"log level debug: was warn", &"log level loud: invalid_input"]
    );
}

#[test]
fn lines_on_stderr_are_json_if_that_is_wanted_and_the_environment_names_levels() {
    let mut program = Program::start(&["--log-format", "json"], &[("RUST_LOG", "debug,hyper=error")]);
    program.end();
    let said = program.stderr();
    let lines: Vec<Value> =
        said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "stopping" && line["fields"]["signal"] == "SIGTERM"), "{said}");
    // A file is for people.
    assert!(program.file().contains("stopping signal=SIGTERM"));
}

#[test]
fn a_log_that_cannot_be_written_is_told_at_the_start() {
    let dir = Dir::new();
    let data = dir.0.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("logs"), "in the way").unwrap();
    let output = Command::new(PROGRAM).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[log]") && said.contains("logs"), "{said}");
}

#[test]
fn an_error_of_the_server_is_told_once_with_its_cause() {
    let program = Program::start(&[], &[]);
    let ada = program.token("ada");
    std::fs::remove_dir_all(program.data.join("work")).unwrap();
    let failed = program.ask(&ada, "POST", "/api/command", Some(&json!({ "command": "uname" })));
    failed.is_problem(500, "internal");
    let errors = program.ask(&ada, "GET", "/api/status", None).json()["errors"].clone();
    assert_eq!(
        (&errors["total"], &errors["panics"], &errors["top"][0]["kind"]),
        (&json!(1), &json!(0), &json!("internal"))
    );
    let last = &errors["recent"][0];
    assert_eq!(last["message"], "a program could not be run");
    assert!(last["causes"][0].as_str().is_some_and(|cause| !cause.is_empty()), "{last}");
    // What another refusal of the server says is not in the log, and told all the same.
    program
        .ask(&ada, "POST", "/api/model", Some(&json!({ "messages": [{ "role": "user", "content": "a" }] })))
        .is_problem(503, "not_configured");
    let errors = program.ask(&ada, "GET", "/api/status", None).json()["errors"].clone();
    assert_eq!((&errors["total"], &errors["recent"][0]["kind"]), (&json!(2), &json!("not_configured")));
}
