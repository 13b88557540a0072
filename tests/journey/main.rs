//! The whole way: the firmware in QEMU, its serial port, the server as a program, what a user sees.
//!
//! Needs QEMU and `defmt-print`, which `.ci/setup` installs. The firmware is built here if it is not yet, or
//! `DAUR_FIRMWARE_ELF` says where it is. Time is real, so every wait has a condition and a deadline.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daur_core::security::audit::Broken;
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Frame, MAX_PAYLOAD};
use daur_std::security::audit::device as chains;
use daur_std::security::keys;
use serde_json::{Value, json};

mod link;
mod proxy;

const HOST: &str = env!("CARGO_BIN_EXE_daur-host-under-test");
const PASSWORD: &str = "correct horse battery";
/// Many periods of the scripted bus: a machine that is busy takes its time.
const DEADLINE: Duration = Duration::from_secs(300);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example")
}

/// The firmware's ELF, built once.
fn firmware() -> &'static Path {
    static ELF: OnceLock<PathBuf> = OnceLock::new();
    ELF.get_or_init(|| {
        if let Some(elf) = std::env::var_os("DAUR_FIRMWARE_ELF") {
            return elf.into();
        }
        let target = example().join("target");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--bin", "daur-firmware", "--target-dir"]).arg(&target);
        // The example is its own workspace, with its own settings for Cargo.
        cargo.current_dir(example()).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let built = cargo.output().expect("cargo runs");
        assert!(built.status.success(), "the firmware does not build: {}", String::from_utf8_lossy(&built.stderr));
        target.join("thumbv7em-none-eabihf/release/daur-firmware")
    })
}

/// Ends a process with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A device in QEMU, whose serial port listens on TCP.
struct Device {
    _qemu: Running,
    endpoint: String,
}

impl Device {
    fn start() -> Self {
        // QEMU cannot be asked which port the system chose. So it is one that the system chooses for nobody, another one
        // for each test and process, and free a moment ago.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let ports = std::iter::repeat_with(|| {
            let n = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            u16::try_from(20_000 + n % 12_000).unwrap()
        });
        let port = ports.take(12_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
        let qemu = Command::new(example().join("qemu.sh"))
            .arg(firmware())
            .args(["-serial", &format!("tcp:127.0.0.1:{port},server=on,wait=off")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("QEMU starts: .ci/setup installs it");
        Self { _qemu: Running(qemu), endpoint: format!("tcp:127.0.0.1:{port}") }
    }
}

/// A server with a user who may everything, logged in.
struct Host {
    program: Running,
    address: SocketAddr,
    token: String,
    dir: PathBuf,
}

impl Host {
    /// Attached to `device`, whose key it derives from the fleet key in `fleet_key`.
    fn start(device: &Device, fleet_key: &KeyFile) -> Self {
        Self::at(&device.endpoint, fleet_key)
    }

    fn at(endpoint: &str, fleet_key: &KeyFile) -> Self {
        Self::at_all(&[endpoint], fleet_key)
    }

    fn at_all(endpoints: &[&str], fleet_key: &KeyFile) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("journey-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        add_user(&dir);
        Self::run(endpoints, fleet_key, dir)
    }

    /// Killed without notice, something is done in its absence, and another one on the same data takes over.
    fn killed<T>(mut self, endpoint: &str, fleet_key: &KeyFile, meanwhile: impl FnOnce() -> T) -> (Self, T) {
        self.program.0.kill().unwrap();
        self.program.0.wait().unwrap();
        let done = meanwhile();
        (Self::run(&[endpoint], fleet_key, std::mem::take(&mut self.dir)), done)
    }

    fn run(endpoints: &[&str], fleet_key: &KeyFile, dir: PathBuf) -> Self {
        let devices = endpoints.iter().flat_map(|endpoint| ["--device", endpoint]);
        let mut child = Command::new(HOST)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(devices)
            .arg("--data-dir")
            .arg(&dir)
            .arg("--fleet-key-file")
            .arg(&fleet_key.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("daur-host listens on http://").trim_end_matches('/');
        let address = address.parse().unwrap_or_else(|_| panic!("an address, not {line:?}"));
        let mut host = Self { program: Running(child), address, token: String::new(), dir };
        let login = host.post("/api/login", &json!({ "user": "ada", "password": PASSWORD }));
        login["token"].as_str().unwrap_or_else(|| panic!("a token, not {login}")).clone_into(&mut host.token);
        host
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE)).build().into()
    }

    fn get(&self, path: &str) -> String {
        let request = Self::agent().get(format!("http://{}{path}", self.address));
        let answer = request.header("Authorization", format!("Bearer {}", self.token)).call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = Self::agent().post(format!("http://{}{path}", self.address));
        let answer = request.header("Authorization", format!("Bearer {}", self.token)).send_json(body);
        answer.unwrap().body_mut().read_json().unwrap()
    }

    fn command(&self, command: &str) -> Value {
        self.post("/api/devices/node-1/commands", &json!({ "command": command }))
    }

    /// The device as `/api/status` shows it.
    fn device(&self) -> Value {
        self.device_of(0)
    }

    fn device_of(&self, place: usize) -> Value {
        let status: Value = serde_json::from_str(&self.get("/api/status")).unwrap();
        status["devices"][place].clone()
    }

    /// The device's status as soon as `done` holds.
    #[track_caller]
    fn until(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.until_of(0, what, done)
    }

    /// The same of another of its devices.
    #[track_caller]
    fn until_of(&self, place: usize, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let device = self.device_of(place);
            if done(&device) {
                return device;
            }
            assert!(began.elapsed() < DEADLINE, "{what} does not come: {device:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The value of a series on `/metrics`, by its name and a part of its labels.
    fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let page = self.get("/metrics");
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let line = page.lines().filter(of_name).find(|line| labels.iter().all(|label| line.contains(label)))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Ends the program as a service manager does.
    fn stop(mut self) {
        let pid = self.program.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.program.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.program.0.kill();
        let _ = self.program.0.wait();
        if !self.dir.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn add_user(dir: &Path) {
    let mut child = Command::new(HOST)
        .args(["user", "add", "ada", "--permissions", "read,write,admin", "--password-stdin", "--data-dir"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert!(child.wait().unwrap().success(), "{messages}");
}

/// A file that only its owner reads, with 64 hexadecimal digits: what the server takes for a key.
struct KeyFile(PathBuf);

impl KeyFile {
    fn with(hex: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("journey-{}-{}.key", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        writeln!(file, "{hex}").unwrap();
        Self(path)
    }

    /// The fleet key that the firmware was built with. Git does not keep that only its owner may read it.
    fn of_the_example() -> Self {
        let text = std::fs::read_to_string(example().join("demo-fleet.key")).unwrap();
        Self::with(text.trim())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn count(device: &Value, name: &str) -> u64 {
    device[name].as_u64().unwrap_or(0)
}

#[test]
fn frames_of_the_firmware_arrive_and_show_in_status_and_metrics_with_its_boot_id() {
    let device = Device::start();
    let host = Host::start(&device, &KeyFile::of_the_example());
    let reads = |device: &Value| device["series"]["reads"]["total"].as_u64();
    let first = host.until("a first report", |device| reads(device).is_some() && device["boot_id"].is_string());
    assert_eq!((first["id"].as_str(), first["connected"].as_bool()), (Some("node-1"), Some(true)));
    assert_eq!((first["boot_id"].as_str(), first["reset_cause"].as_str()), (Some("00000001"), Some("power_on")));
    let heard = |device: &Value| count(device, "last_seen_ms") < 5_000;
    let then =
        host.until("more", |device| reads(device) > reads(&first) && count(device, "frames") > 40 && heard(device));
    assert!(then["series"]["temperature_mc"]["value"].as_i64().is_some_and(|mc| (15_000..35_000).contains(&mc)));
    assert!(then["system"]["stack_high_water"].as_u64() > Some(0));
    assert_eq!(then["live"].as_bool(), Some(true));
    assert_eq!((count(&then, "lost_line"), count(&then, "unknown")), (0, 0));
    // A frame may have been under way when the line came up.
    assert!(count(&then, "crc_errors") <= 1, "{then:#}");

    let node = r#"device="node-1""#;
    assert_eq!(host.metric("daur_device_up", &[node]), Some(1.0));
    assert_eq!(host.metric("daur_device_info", &[node, r#"boot_id="00000001""#]), Some(1.0));
    assert!(host.metric("daur_device_frames_total", &[node]) >= Some(40.0));
    assert_eq!(host.metric("daur_device_crc_errors_total", &[node]), Some(count(&then, "crc_errors") as f64));
    assert!(host.metric("daur_device_events_total", &[node, r#"series="reads""#]) >= Some(1.0));
    host.stop();
}

#[test]
fn the_breaker_opens_when_the_bus_fails_and_closes_when_it_heals() {
    let device = Device::start();
    let host = Host::start(&device, &KeyFile::of_the_example());
    let state = |device: &Value| device["breakers"]["sensor"]["state"].as_str().map(str::to_owned);
    let open = host.until("an open breaker", |device| state(device).as_deref() == Some("open"));
    assert!(count(&open["breakers"]["sensor"], "opened") >= 1);
    let labels = [r#"device="node-1""#, r#"breaker="sensor""#, r#"state="closed""#];
    host.until("a closed breaker", |device| {
        state(device).as_deref() == Some("closed") && count(&device["breakers"]["sensor"], "opened") >= 1
    });
    assert!(host.metric("daur_device_breaker_state", &labels).is_some());
    let healed = host.until("a reading after it", |device| device["ready"].as_bool() == Some(true));
    // While it was open, calls were refused and the last good value stood in.
    assert!(healed["series"]["reads_failed"]["total"].as_u64() >= Some(3));
    assert!(healed["series"]["fallbacks"]["total"].as_u64() >= Some(1));
    assert!(healed["errors"]["i2c"]["total"].as_u64() >= Some(1));
    let said = healed["log"]
        .as_array()
        .unwrap()
        .iter()
        .any(|line| line["message"].as_str().unwrap().contains("breaker opened"));
    assert!(said, "{healed:#}");
    host.stop();
}

#[test]
fn a_signed_command_is_run_and_one_signed_with_another_key_is_refused() {
    let device = Device::start();
    let host = Host::start(&device, &KeyFile::of_the_example());
    host.until("a name", |device| device["id"].is_string());
    let reply = host.command("set-interval 200");
    assert_eq!(reply["verdict"], "accepted", "{reply}");
    assert_eq!(reply["message"], "interval is 200ms", "{reply}");
    let unknown = host.command("self-destruct");
    assert_eq!(unknown["verdict"], "unknown_command", "{unknown}");
    assert_eq!(host.device()["commands_accepted"], 1);
    host.stop();

    // Another host takes over the line, with a key of another fleet.
    let wrong_key = KeyFile::with(&"5a".repeat(32));
    let stranger = Host::start(&device, &wrong_key);
    stranger.until("a name", |device| device["id"].is_string());
    let refused = stranger.command("report");
    assert_eq!(refused["verdict"], "bad_signature", "{refused}");
    // The device has counted it.
    let refused = |device: &Value| device["series"]["commands_refused"]["total"].as_u64();
    let status = stranger.until("the device's count", |device| refused(device) >= Some(2));
    assert_eq!((count(&status, "commands_refused"), count(&status, "commands_accepted")), (1, 0));
    // The one who was refused is in the server's audit.
    let audit: Value = serde_json::from_str(&stranger.get("/api/audit?limit=50")).unwrap();
    assert!(audit.to_string().contains("device node-1: bad_signature: report"), "{audit:#}");
    stranger.stop();
}

#[test]
fn a_reset_shows_as_a_new_boot_id_and_commands_go_on_in_the_new_life() {
    let device = Device::start();
    let host = Host::start(&device, &KeyFile::of_the_example());
    host.until("the first life", |device| device["boot_id"] == "00000001");
    assert_eq!(host.command("restart")["verdict"], "accepted");
    let second = host.until("the second life", |device| device["boot_id"] == "00000002");
    assert_eq!((count(&second, "boots"), second["reset_cause"].as_str()), (2, Some("software")));
    // Signed for the new nonce.
    assert_eq!(host.command("report")["verdict"], "accepted");
    // The ring of its log has survived: what was said last, which nobody had heard, stands before the new life's lines.
    let said = |device: &Value, message: &str, before: bool| {
        let lines = device["log"].as_array().cloned().unwrap_or_default();
        lines.iter().position(|line| line["message"] == message && line["before_reset"] == before)
    };
    let recovered = host.until("the lines from before the reset", |device| {
        said(device, "reset by command", true).is_some() && said(device, "software", false).is_some()
    });
    let place = |message, before| said(&recovered, message, before);
    assert!(place("power_on", true) < place("reset by command", true), "{recovered:#}");
    assert!(place("reset by command", true) < place("software", false), "{recovered:#}");
    // What the host had heard in the first life is not there twice.
    let lines = recovered["log"].as_array().unwrap();
    assert_eq!(lines.iter().filter(|line| line["message"] == "power_on").count(), 1, "{recovered:#}");
    assert_eq!(host.metric("daur_device_info", &[r#"boot_id="00000002""#]), Some(1.0));
    host.stop();
}

/// Listens without acknowledging until the outbox is full: then it begins again and again with the same frames.
fn listen_until_full(device: &Device) {
    let began = Instant::now();
    let address = device.endpoint.trim_start_matches("tcp:");
    let mut line = loop {
        match TcpStream::connect(address) {
            Ok(line) => break line,
            Err(error) => assert!(began.elapsed() < DEADLINE, "QEMU does not listen: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    line.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut decoder = Decoder::<MAX_PAYLOAD>::new();
    let (mut highest, mut of_last_round) = (0, 0);
    let mut bytes = [0; 256];
    loop {
        let len = line.read(&mut bytes).expect("the device speaks");
        let mut rest = &bytes[..len];
        while let Some(payload) = decoder.feed(&mut rest) {
            let seq = Frame::decode(payload).expect("a frame").seq;
            // It has begun again.
            if seq == 0 && highest > 0 {
                if highest == of_last_round {
                    return;
                }
                of_last_round = highest;
            }
            highest = highest.max(seq);
        }
        assert!(began.elapsed() < DEADLINE, "the outbox is never full: {highest}");
    }
}

#[test]
fn what_the_device_had_no_room_for_while_nobody_acknowledged_is_told_as_lost() {
    let device = Device::start();
    listen_until_full(&device);
    let host = Host::start(&device, &KeyFile::of_the_example());
    let status = host.until("the loss", |device| count(device, "lost_device") > 0);
    // What was kept has arrived, and nothing was lost on the line.
    assert_eq!((count(&status, "lost_line"), status["boot_id"].as_str()), (0, Some("00000001")));
    assert!(host.metric("daur_device_lost_total", &[r#"device="node-1""#]) > Some(0.0));
    // Afterwards it goes on as before.
    let later = host.until("more frames", |device| count(device, "frames") > count(&status, "frames") + 30);
    assert_eq!(count(&later, "lost_line"), 0);
    host.stop();
}

#[test]
fn a_chain_begun_on_the_device_verifies_on_the_host_and_a_tampered_copy_is_refused_by_its_record() {
    let device = Device::start();
    let host = Host::start(&device, &KeyFile::of_the_example());
    let records = |device: &Value| device["audit"]["records"].as_u64().unwrap_or(0);
    // Its start, and that its host has told it the time.
    host.until("its start", |device| records(device) >= 2 && device["audit"]["verdict"] == "verified");
    assert_eq!(host.command("set-interval 200")["verdict"], "accepted");
    assert_eq!(host.command("self-destruct")["verdict"], "unknown_command");
    assert_eq!(host.command("restart")["verdict"], "accepted");
    // The next life begins a chain of its own.
    let second = host.until("the second life", |device| device["boot_id"] == "00000002" && records(device) >= 1);
    assert_eq!((second["audit"]["broken"].is_null(), second["audit"]["kept"].as_bool()), (true, Some(true)));

    let fleet_key = std::fs::read_to_string(example().join("demo-fleet.key")).unwrap();
    let fleet_key = keys::decode(fleet_key.trim().as_bytes()).unwrap();
    let chains = chains::kept(&host.dir.join("devices")).unwrap();
    assert_eq!(chains.iter().map(|(life, _)| life.boot.0).collect::<Vec<_>>(), [1, 2]);
    let (_, path) = &chains[0];
    let report = chains::check_at(path, &fleet_key, None).unwrap();
    assert_eq!(report.integrity, Ok(()));
    let text = std::fs::read_to_string(path).unwrap();
    let told: Vec<_> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(report.end.seq, told.len() as u64);
    // Where its host has told it the time: once, and again on a machine so slow that the device's clock is late.
    let is_time = |one: &Value| one["actor"] == "host" && one["detail"].as_str().unwrap().starts_with("set-time ");
    assert!(is_time(&told[1]), "{told:#?}");
    let others = told.iter().filter(|one| !is_time(one));
    let others: Vec<_> = others.map(|one| ["kind", "actor", "detail"].map(|key| one[key].as_str().unwrap())).collect();
    let expected = [
        ["start", "", "power_on"],
        ["command", "ada", "set-interval 200"],
        ["access_denied", "ada", "unknown_command: self-destruct"],
        ["command", "ada", "restart"],
    ];
    assert_eq!(others, expected);

    // Copies that somebody has written to, under the same name.
    let head = Some(report.end);
    let copies = host.dir.join("copies");
    std::fs::create_dir(&copies).unwrap();
    let copy = copies.join(path.file_name().unwrap());
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let set = told.iter().position(|one| one["detail"] == "set-interval 200").unwrap() as u64 + 1;
    for (tampered, expected) in [
        (text.replacen("set-interval 200", "set-interval 900", 1), Err(Broken::Unreadable { seq: set })),
        ([&lines[..1], &lines[2..]].concat().concat(), Err(Broken::Missing { seq: 2 })),
        ([lines[0], lines[1], lines[1]].concat(), Err(Broken::Missing { seq: 3 })),
        ([lines[0], lines[1]].concat(), Err(Broken::Truncated { seq: 2 })),
        (text.clone(), Ok(())),
    ] {
        std::fs::write(&copy, tampered).unwrap();
        let report = chains::check_at(&copy, &fleet_key, head).unwrap();
        assert_eq!(report.result().map(|_| ()), expected);
    }
    // Another fleet's key verifies nothing.
    let stranger = chains::check_at(path, &[0x5A; 32], None).unwrap();
    assert_eq!(stranger.integrity, Err(Broken::Changed { seq: 1 }));
    host.stop();
}
