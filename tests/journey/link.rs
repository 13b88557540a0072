//! The line itself: commands said again, commands that have expired, a cable that is cut, a host that dies, ends of
//! different versions.

use daur_core::id::DeviceId;
use daur_core::security::keys::derive_device_key;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{Claims, Config, Keys};
use daur_core::text::Text;
use daur_core::wire::record::SCHEMA;
use daur_std::security::audit::device::Life;

use super::proxy::Proxy;
use super::*;

/// The lives whose chains the host has kept, the first first.
fn lives(dir: &Path) -> Vec<(Life, PathBuf)> {
    chains::kept(&dir.join("devices")).unwrap()
}

/// What the device's chain of its life number `at` says, as `kind actor: detail`, once it says `awaited`.
#[track_caller]
fn audited(host: &Host, at: usize, awaited: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let path = lives(&host.dir).get(at).map(|(_, path)| path.clone());
        let text = path.map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
        // The last line may be under way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let told: Vec<Value> = whole.map(|line| serde_json::from_str(line).unwrap()).collect();
        let shown = |one: &Value| {
            let [kind, actor, detail] = ["kind", "actor", "detail"].map(|key| one[key].as_str().unwrap());
            format!("{kind} {actor}: {detail}")
        };
        let all: Vec<_> = told.iter().map(shown).collect();
        if all.iter().any(|one| one == awaited) {
            return all;
        }
        assert!(began.elapsed() < DEADLINE, "{awaited} is not there: {all:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A command to the device as its host would sign it.
fn sign(life: &Life, counter: u64, command: &str, exp: Option<u64>) -> String {
    let fleet_key = std::fs::read_to_string(example().join("demo-fleet.key")).unwrap();
    let fleet_key = keys::decode(fleet_key.trim().as_bytes()).unwrap();
    let device = DeviceId::new("node-1").unwrap();
    let keys: Keys<1> = Keys::new(Config::command(&device), None, &derive_device_key(&fleet_key, &device)).unwrap();
    let (user, command) = (Text::new("eve").unwrap(), Text::new(command).unwrap());
    let claims = Claims { exp, ..Claims::command(&device, life.nonce, counter, user, Permissions::ALL, command) };
    keys.sign(&claims, &mut [0; 512]).unwrap().to_owned()
}

/// The program, sending a command to the device: its exit code and what it says.
fn device_send(host: &Host, words: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", host.address);
    let output = Command::new(HOST)
        .args(["device", "send", "node-1", "--url", &url])
        .args(words)
        .env("DAUR_TOKEN", &host.token)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_command_that_somebody_has_heard_is_refused_when_it_is_said_again_in_this_life_and_the_next() {
    let device = Device::start();
    let proxy = Proxy::to(&device.endpoint);
    let host = Host::at(&proxy.endpoint, &KeyFile::of_the_example());
    host.until("a name", |device| device["id"].is_string());
    assert_eq!(device_send(&host, &["set-interval", "300"]), (Some(0), "accepted\tinterval is 300ms\n".to_owned()));
    let heard = proxy.last_command();
    assert_eq!(device_send(&host, &["self-destruct"]), (Some(1), "unknown_command\t\n".to_owned()));
    let refused = |n: u64| move |device: &Value| count(device, "commands_refused") >= n;
    host.until("one refusal", refused(1));
    // As the host has said it: refused as used, or on a slow machine as too late.
    proxy.inject(&heard);
    host.until("the refusal of what was said again", refused(2));

    // One that does not expire, signed as the host does it.
    let (life, _) = lives(&host.dir)[0];
    let counter = unix_ms();
    let endless = sign(&life, counter, "set-interval 700", None);
    proxy.inject_token(&endless);
    audited(&host, 0, "command eve: set-interval 700");
    proxy.inject_token(&endless);
    let all = audited(&host, 0, "access_denied eve: replayed: set-interval 700");
    for command in ["command ada: set-interval 300", "command eve: set-interval 700"] {
        assert_eq!(all.iter().filter(|one| *one == command).count(), 1, "{all:#?}");
    }
    // The host's next is one above.
    while unix_ms() <= counter {
        std::thread::yield_now();
    }
    assert_eq!(host.command("restart")["verdict"], "accepted");
    host.until("the second life", |device| device["boot_id"] == "00000002");
    proxy.inject_token(&endless);
    let all = audited(&host, 1, "access_denied eve: replayed: set-interval 700");
    assert!(!all.iter().any(|one| one.starts_with("command eve")), "{all:#?}");
    host.stop();
}

#[test]
fn the_device_is_told_the_time_by_its_host_and_refuses_what_has_expired() {
    let device = Device::start();
    let proxy = Proxy::to(&device.endpoint);
    let host = Host::at(&proxy.endpoint, &KeyFile::of_the_example());
    host.until("the device's time", |device| device["wall_ahead_ms"].is_number());
    assert!(host.metric("daur_device_clock_ahead_seconds", &[r#"device="node-1""#]).is_some());
    // Time goes forward only, and what cannot be is refused.
    let back = host.command(&format!("set-time {}", unix_ms() - 3_600_000));
    assert_eq!(back["verdict"], "failed", "{back}");
    assert!(back["message"].as_str().unwrap().starts_with("time is 1"), "{back}");
    let seconds = host.command(&format!("set-time {}", unix_ms() / 1_000));
    assert_eq!(seconds["verdict"], "invalid", "{seconds}");

    // Signed as it should be, and held back by somebody on the line for a day.
    let (life, _) = lives(&host.dir)[0];
    let counter = unix_ms() + 1_000_000;
    proxy.inject_token(&sign(&life, counter, "set-interval 700", Some(unix_ms() / 1_000 - 86_400)));
    let all = audited(&host, 0, "access_denied : expired");
    assert!(!all.iter().any(|one| one.ends_with("set-interval 700")), "{all:#?}");
    // The same with some time left. Its time is that of a token's whole life, however slow the machine is.
    proxy.inject_token(&sign(&life, counter, "set-interval 700", Some(unix_ms() / 1_000 + 3_600)));
    audited(&host, 0, "command eve: set-interval 700");

    // The records tell the wall time from then on when the device knew it.
    let (_, path) = &lives(&host.dir)[0];
    let text = std::fs::read_to_string(path).unwrap();
    let told: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(told[0]["unix_ms"].is_null(), "{:#}", told[0]);
    assert_eq!((told[1]["kind"].as_str(), told[1]["actor"].as_str()), (Some("command"), Some("host")));
    let unix = |one: &Value| one["unix_ms"].as_u64().unwrap_or_else(|| panic!("{one:#}"));
    assert!(told[1..].windows(2).all(|two| unix(&two[0]) <= unix(&two[1])), "{told:#?}");
    assert!(told[1..].iter().all(|one| unix(one).abs_diff(unix_ms()) < 3_600_000), "{told:#?}");
    host.stop();
}

#[test]
fn a_cable_that_is_cut_in_the_middle_of_a_frame_costs_nothing_when_it_is_back() {
    let device = Device::start();
    let proxy = Proxy::to(&device.endpoint);
    let host = Host::at(&proxy.endpoint, &KeyFile::of_the_example());
    host.until("some frames", |device| count(device, "frames") > 20);
    for time in 1..=3 {
        let before = host.device();
        assert_eq!(proxy.cut(), time - 1);
        let back = host.until("the line again, and more", |device| {
            count(device, "connections") > u64::from(time) && count(device, "frames") > count(&before, "frames") + 30
        });
        assert_eq!(proxy.cuts(), time);
        assert_eq!((count(&back, "boots"), count(&back, "lost_line")), (1, 0), "{back:#}");
        // Every number since the first, once.
        assert_eq!(back["last_seq"].as_u64().unwrap() + 1, count(&back, "frames"), "{back:#}");
    }
    assert_eq!(host.command("report")["verdict"], "accepted");
    host.stop();
}

#[test]
fn a_host_that_is_killed_goes_on_with_the_same_device_where_it_stopped() {
    let device = Device::start();
    let proxy = Proxy::to(&device.endpoint);
    let key = KeyFile::of_the_example();
    let host = Host::at(&proxy.endpoint, &key);
    host.until("some frames and the time", |device| {
        count(device, "frames") > 20 && device["wall_ahead_ms"].is_number()
    });
    assert_eq!(host.command("set-interval 200")["verdict"], "accepted");
    audited(&host, 0, "command ada: set-interval 200");

    let (host, acked) = host.killed(&proxy.endpoint, &key, || u64::from(proxy.acked().unwrap()));
    let again = host.until("the device again", |device| {
        count(device, "frames") > 20 && device["id"].is_string() && device["wall_ahead_ms"].is_number()
    });
    assert_eq!((again["boot_id"].as_str(), count(&again, "lost_line")), (Some("00000001"), 0), "{again:#}");
    // Each number is taken once from the first that the device still had, and none is passed over that was not
    // acknowledged before the host died.
    let first = again["last_seq"].as_u64().unwrap() + 1 - count(&again, "frames");
    assert!(first <= acked + 1, "{first} {acked}");
    assert_eq!(host.command("set-interval 400")["verdict"], "accepted");
    let all = audited(&host, 0, "command ada: set-interval 400");
    let done = ["command ada: set-interval 200", "command ada: set-interval 400"];
    assert!(done.iter().all(|done| all.iter().filter(|one| one == done).count() == 1), "{all:#?}");
    // The chain that the first host began and the second went on with is whole.
    let fleet_key = std::fs::read_to_string(example().join("demo-fleet.key")).unwrap();
    let fleet_key = keys::decode(fleet_key.trim().as_bytes()).unwrap();
    let kept = lives(&host.dir);
    assert_eq!(kept.len(), 1);
    let report = chains::check_at(&kept[0].1, &fleet_key, None).unwrap();
    assert_eq!(report.integrity, Ok(()));
    host.stop();
}

/// A device that says these frames on every line, and listens.
fn device_that_says(frames: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut line in listener.incoming().flatten() {
            let _ = line.write_all(&frames);
            while let Ok(1..) = line.read(&mut [0; 256]) {}
        }
    });
    endpoint
}

/// The first frames of a golden file, as they were on the line.
fn golden(file: &str, frames: usize) -> Vec<u8> {
    let lines = file.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    lines.take(frames).flat_map(|(_, hex)| (0..hex.len()).step_by(2).map(move |at| byte(hex, at))).collect()
}

#[test]
fn devices_of_the_first_schema_and_of_one_to_come_are_understood_as_far_as_they_go_beside_todays() {
    let old = device_that_says(golden(include_str!("../golden/wire/schema-1.txt"), 3));
    let new = device_that_says(golden(include_str!("../golden/wire/future.txt"), usize::MAX));
    let device = Device::start();
    let host = Host::at_all(&[&device.endpoint, &old, &new], &KeyFile::of_the_example());
    let today = host.until("today's", |device| device["series"]["reads"]["total"].is_number());
    let schema = i64::from(SCHEMA);
    assert_eq!((today["schema_ahead"].as_i64(), count(&today, "unknown")), (Some(0), 0), "{today:#}");

    let old = host.until_of(1, "the old one", |device| device["series"]["sensor.read"]["total"] == 300);
    assert_eq!((old["schema"].as_i64(), old["schema_ahead"].as_i64()), (Some(1), Some(1 - schema)), "{old:#}");
    assert_eq!((count(&old, "unknown"), count(&old, "lost_device"), count(&old, "lost_line")), (0, 12, 0), "{old:#}");

    let new = host.until_of(2, "the new one", |device| device["series"]["reads"]["total"] == 4);
    assert_eq!((new["id"].as_str(), new["schema_ahead"].as_i64()), (Some("node-9"), Some(99 - schema)), "{new:#}");
    assert_eq!((count(&new, "unknown"), count(&new, "lost"), count(&new, "crc_errors")), (6, 0, 0), "{new:#}");
    assert_eq!((count(&new, "frames"), new["last_seq"].as_i64()), (11, Some(10)), "{new:#}");
    let labels = [r#"device="node-9""#];
    assert_eq!(host.metric("daur_device_schema", &labels), Some(99.0));
    assert_eq!(host.metric("daur_device_schema_ahead", &labels), Some((99 - schema) as f64));
    assert_eq!(host.metric("daur_device_unknown_total", &labels), Some(6.0));
    let status = host.get("/api/status");
    let told = "Device node-9 speaks a newer schema than this server: 6 records skipped";
    assert!(status.contains(told), "{status}");
    host.stop();
}
