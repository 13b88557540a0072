//! The server from outside: a real one, in this process or in its own, over real connections.

mod actions;
mod attention;
mod audit;
mod cli;
mod commands;
mod devices;
mod events;
mod fallbacks;
mod health;
mod history;
mod http;
mod keys;
mod limits;
mod load;
mod logins;
mod logs;
mod memory;
mod model_streams;
mod models;
mod notifications;
mod openapi;
mod process;
mod replay;
mod reports;
mod results;
mod secrets;
mod sessions;
mod settings;
mod streams;
mod tour;
mod users;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daur_host::config::Config;
use daur_host::memory::Figures;
use daur_host::server::Server;
use daur_std::core::security::permission::Permissions;
use daur_std::core::security::policy::Policy;
use daur_std::performance::memory::Sample;
use serde_json::{Value, json};

/// A directory below `target` that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("host-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory below target");
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program itself, of which Cargo tells a test of this package.
const PROGRAM: &str = env!("CARGO_BIN_EXE_daur-host-under-test");

/// What the program did.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}

/// Runs the program beside a server with this data directory, with a line on its stdin.
fn program(data: &Path, args: &[&str], line: &str) -> Done {
    let mut child = Command::new(PROGRAM)
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Most of them do not listen.
    let _ = child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A server in this process, on a port of its own.
struct Host {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    address: SocketAddr,
    config: Config,
    dir: Dir,
}

const PASSWORD: &str = "correct horse battery";

/// Longer than any test takes.
const LONG: daur_std::core::time::Duration = daur_std::core::time::Duration::from_secs(600);

impl Host {
    /// A server with the user `ada`, who may everything, and `bob`, who may read.
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = Dir::new();
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), dir.0.join("data"));
        // What is tested is not how long a hash takes.
        config.policy =
            Policy { iterations: 1_000, login_rate: 1_000, api_rate: 1_000, api_burst: 1_000, ..config.policy };
        // Nor is how busy the machine is: what is given up in time is so by tests that say when.
        (config.command.timeout, config.command.queue_wait) = (LONG, LONG);
        (config.command.breaker.probe_lease, config.command.breaker.recovery_timeout) = (LONG.times(2), LONG);
        (config.command.ttl, config.model.breaker.recovery_timeout, config.health.timeout) = (LONG, LONG, LONG);
        (config.http.drain, config.stop_within) = (LONG.into(), LONG.into());
        // Nor how much memory others take.
        config.memory.figures =
            Figures::of(|| Ok(Sample { process: 1, total: 100, available: 90, ..Sample::default() }));
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (data, policy) = (config.data_dir.clone(), config.policy);
        let kept = config.clone();
        let server = runtime.block_on(async {
            for (name, permissions) in [("ada", Permissions::ALL), ("bob", Permissions::READ)] {
                daur_host::users::add(&data, name, PASSWORD, permissions, &policy).await.unwrap();
            }
            Server::start(config).await.unwrap()
        });
        Self { runtime, address: server.address, server: Some(server), config: kept, dir }
    }

    /// Its data directory.
    fn data(&self) -> PathBuf {
        self.dir.0.join("data")
    }

    /// Runs the program beside it.
    fn program(&self, args: &[&str], line: &str) -> Done {
        program(&self.data(), args, line)
    }

    /// Ends the server, does something in its absence, and starts another one on the same data.
    fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.stop();
        meanwhile(&self.data());
        let server = self.runtime.block_on(Server::start(self.config.clone())).unwrap();
        (self.address, self.server) = (server.address, Some(server));
    }

    /// As whoever has this token.
    fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string);
        self.call(method, path, &[("Authorization", &format!("Bearer {token}"))], body.as_deref())
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        call(self.address, method, path, headers, body)
    }

    fn login(&self, user: &str, password: &str) -> Reply {
        let body = json!({ "user": user, "password": password }).to_string();
        self.call("POST", "/api/login", &[], Some(&body))
    }

    fn token(&self, user: &str) -> String {
        self.login(user, PASSWORD).json()["token"].as_str().expect("a token").to_owned()
    }

    fn get(&self, token: &str, path: &str) -> Reply {
        self.call("GET", path, &[("Authorization", &format!("Bearer {token}"))], None)
    }

    fn command(&self, token: &str, command: &str) -> Reply {
        let body = json!({ "command": command }).to_string();
        self.call("POST", "/api/command", &[("Authorization", &format!("Bearer {token}"))], Some(&body))
    }

    /// Audit events of a kind, as `outcome: detail`, newest first.
    fn audited(&self, token: &str, kind: &str) -> Vec<String> {
        let reply = self.get(token, "/api/audit?limit=200").json();
        let events = reply["events"].as_array().expect("events");
        let of_kind = events.iter().filter(|event| event["kind"] == kind);
        of_kind
            .map(|event| format!("{}: {}", event["outcome"].as_str().unwrap(), event["detail"].as_str().unwrap()))
            .collect()
    }

    /// Sends `bytes` as they are and reads what comes until the server closes or falls silent.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(n) = more(&mut stream, &mut buffer) {
            answer.extend_from_slice(&buffer[..n]);
            if answer.ends_with(b"}") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends the server. It waits for [`LONG`] for what does not end by itself.
    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    /// Ends the server, which waits for nothing that could go on.
    #[track_caller]
    fn stop_at_once(&mut self) {
        let began = Instant::now();
        self.stop();
        assert!(began.elapsed() < Duration::from(LONG) / 2, "it has waited");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads what comes; `None` at the end, and when patience ends.
fn more(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match stream.read(buffer) {
            Ok(n @ 1..) => return Some(n),
            // A process that was stopped for a while.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}

/// Asks the server at this address.
fn call(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let response = match body {
        Some(body) => agent.run(request.header("Content-Type", "application/json").body(body).unwrap()),
        None => agent.run(request.body(()).unwrap()),
    };
    let mut response = response.expect("an answer");
    let text = response.body_mut().read_to_string().expect("text");
    Reply { status: response.status().as_u16(), headers: response.headers().clone(), text }
}

struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Checks that this is a problem document with this status and code; gives back its `Retry-After`.
    #[track_caller]
    fn is_problem(&self, status: u16, code: &str) -> Option<u64> {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(status.into())));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        self.headers.get("retry-after").map(|wait| wait.to_str().unwrap().parse().expect("whole seconds"))
    }
}

/// Whether a process with `mark` among its arguments lives. One that was just killed is given a moment.
fn lives(mark: &str) -> bool {
    let alive = || {
        std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())
        })
    };
    !eventually(|| !alive())
}

/// How long a test waits for what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether `condition` comes true before patience ends.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
