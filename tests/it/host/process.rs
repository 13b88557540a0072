use super::*;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Output};

fn add_user(dir: &Dir, name: &str, password: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["user", "add", name, "--permissions", "read,write", "--password-stdin", "--data-dir"])
        .arg(&dir.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused the name before it reads the password.
    let _ = child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes());
    child.wait_with_output().unwrap()
}

/// The program itself, ended when the test is.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn serve(dir: &Dir, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir.0)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("daur-host listens on http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("an address, not {line:?}")).parse().unwrap();
        Self { child, address }
    }

    fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        let request =
            ureq::post(format!("http://{}{path}", self.address)).header("Authorization", format!("Bearer {token}"));
        request.send_json(body).unwrap().body_mut().read_json().unwrap()
    }

    /// Sends SIGTERM; gives the exit code, the messages and how long it took.
    fn terminate(mut self) -> (Option<i32>, String, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut messages = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, messages, began.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_first_start_says_how_to_add_a_user_and_one_added_meanwhile_can_log_in() {
    let dir = Dir::new();
    let program = Program::serve(&dir, &[]);
    let added = add_user(&dir, "ada", PASSWORD);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let token = program.post("/api/login", "", &json!({ "user": "ada", "password": PASSWORD }));
    let answer = program.post("/api/command", token["token"].as_str().unwrap(), &json!({ "command": "uname" }));
    assert_eq!(answer["stdout"], "Linux\n");
    let (code, messages, _) = program.terminate();
    assert_eq!(code, Some(0), "{messages}");
    let how =
        messages.lines().find(|line| line.starts_with("No user exists yet; add one: daur-host user add NAME")).unwrap();
    assert!(how.ends_with(&format!("--data-dir {}", dir.0.display())), "{how}");
}

#[test]
fn a_user_is_not_added_twice_nor_with_a_bad_password() {
    let dir = Dir::new();
    assert!(add_user(&dir, "ada", PASSWORD).status.success());
    let again = add_user(&dir, "ada", PASSWORD);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists"));
    assert_eq!(add_user(&dir, "bob", "short").status.code(), Some(1));
}

#[test]
fn a_fleet_key_that_is_not_there_is_named() {
    let dir = Dir::new();
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--fleet-key-file", "/not/there.key", "--data-dir"]).arg(&dir.0);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/not/there.key"));
}

#[test]
fn sigterm_ends_streams_and_commands_and_the_program_with_0() {
    let dir = Dir::new();
    assert!(add_user(&dir, "ada", PASSWORD).status.success());
    let program = Program::serve(&dir, &["--command-timeout", "1h"]);
    let token = program.post("/api/login", "", &json!({ "user": "ada", "password": PASSWORD }));
    let token = token["token"].as_str().unwrap();
    let mut stream = TcpStream::connect(program.address).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let body = json!({ "command": "sleep 4006" }).to_string();
    let mut command = TcpStream::connect(program.address).unwrap();
    write!(command, "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert!(eventually(|| {
        let metrics = ureq::get(format!("http://{}/metrics", program.address))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        metrics.contains("daur_commands_running 1\n") && metrics.contains("daur_event_streams 1\n")
    }));
    let (code, messages, took) = program.terminate();
    assert_eq!(code, Some(0), "{messages}");
    // On a machine that has nothing else to do, within 5 s.
    assert!(took < PATIENCE, "{took:?}");
    assert!(!lives("4006"));
}

#[test]
fn an_address_that_others_can_reach_is_refused_while_no_user_exists() {
    let dir = Dir::new();
    let output = Command::new(PROGRAM).args(["--listen", "0.0.0.0:0", "--data-dir"]).arg(&dir.0).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no user exists"));
}

#[test]
fn what_is_written_lies_in_the_data_directory_and_is_for_its_owner_alone() {
    let dir = Dir::new();
    let home = Dir::new();
    let data = dir.0.join("data");
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("HOME", &home.0)
        .env("TMPDIR", &home.0)
        .current_dir(&home.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["token.key", "fleet.key", "audit.key", "daur.db", "audit.db", "cache.db"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(std::fs::read_dir(&home.0).unwrap().count(), 0);
}

#[test]
fn a_database_that_others_could_read_is_for_its_owner_alone_from_now_on() {
    let dir = Dir::new();
    let names = ["daur.db", "daur.db-wal", "daur.db-shm", "audit.db", "audit.db-wal", "audit.db-shm"];
    for name in names {
        std::fs::write(dir.0.join(name), "").unwrap();
        std::fs::set_permissions(dir.0.join(name), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let server = Program::serve(&dir, &[]);
    for name in names {
        assert_eq!(std::fs::metadata(dir.0.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    drop(server);
}

#[test]
fn a_policy_that_cannot_be_is_named_by_its_key_and_its_variable() {
    let dir = Dir::new();
    let start = |name: &str, value: &str, file: &str| {
        let config = dir.0.join("config.toml");
        std::fs::write(&config, file).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&config).arg("--data-dir").arg(dir.0.join("data"));
        let output = command.env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = start("DAUR_POLICY_ITERATIONS", "5", "");
    assert!(said.contains("DAUR_POLICY_ITERATIONS must be between 1000 and 10000000"), "{said}");
    let said = start("DAUR_POLICY_NONE", "5", "");
    assert!(said.contains("DAUR_POLICY_NONE"), "{said}");
    // The environment is asked before the file, and both are told of by their keys.
    let said = start("DAUR_POLICY_API_RATE", "5", "[policy]\napi_burst = 0\n");
    assert!(said.contains("`api_burst` must be at least 1"), "{said}");
    let rules = ["user", "add", "ada", "--password-stdin", "--config"];
    std::fs::write(dir.0.join("config.toml"), "[policy.password]\nmin_len = 40\n").unwrap();
    let config = dir.0.join("config.toml");
    let done = super::program(&dir.0, &[&rules[..], &[config.to_str().unwrap()]].concat(), PASSWORD);
    assert!(done.code == Some(1) && done.stderr.contains("this password is not allowed"), "{}", done.stderr);
}

#[test]
fn the_end_of_the_audit_is_told_when_the_program_ends() {
    let dir = Dir::new();
    assert!(add_user(&dir, "ada", PASSWORD).status.success());
    let mut program = Program::serve(&dir, &[]);
    program.post("/api/login", "", &json!({ "user": "ada", "password": PASSWORD }));
    let mut stdout = program.child.stdout.take().unwrap();
    assert_eq!(program.terminate().0, Some(0));
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    let head = said.trim_end().strip_prefix("audit head ").unwrap_or_else(|| panic!("{said:?}")).to_owned();
    assert_eq!(super::program(&dir.0, &["audit", "head"], "").good().trim_end(), head);
    let verdict = super::program(&dir.0, &["audit", "verify", "--head", &head], "").good();
    assert!(verdict.starts_with("intact and complete: "), "{verdict}");
}

#[test]
fn a_program_that_is_stopped_as_soon_as_it_speaks_ends_in_order() {
    let dir = Dir::new();
    for _ in 0..8 {
        let (code, messages, _) = Program::serve(&dir, &[]).terminate();
        assert_eq!(code, Some(0), "{messages}");
    }
}

#[test]
fn a_database_that_was_exchanged_is_refused_until_its_old_key_is_moved_aside() {
    let dir = Dir::new();
    assert!(add_user(&dir, "ada", PASSWORD).status.success());
    std::fs::write(dir.0.join("audit.db"), "").unwrap();
    // Also the second time: the first one has not begun a chain whose key nobody has.
    for _ in 0..2 {
        let output =
            Command::new(PROGRAM).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(&dir.0).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("audit.key belongs to a chain that is not in"), "{message}");
    }
    std::fs::rename(dir.0.join("audit.key"), dir.0.join("old.key")).unwrap();
    assert_eq!(Program::serve(&dir, &[]).terminate().0, Some(0));
}
