use super::*;

use std::net::TcpListener;
use std::sync::mpsc;

use daur_std::core::id::{BootId, DeviceId};
use daur_std::core::text::Text;
use daur_std::core::time::{Duration as Length, Instant as DeviceTime};
use daur_std::core::wire::frame::Frame;
use daur_std::core::wire::record::{BreakerState, Record, ResetCause, Verdict};

/// A device that says who it is, then `records`, and then listens; gives its place. One that is called `grim`
/// refuses every command, the others do not answer.
fn device(id: &str, records: Vec<Record>) -> String {
    device_that(id, records, |_| ())
}

/// The same, which tells of each command that comes.
fn device_that(id: &str, records: Vec<Record>, mut hears: impl FnMut(&TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", listener.local_addr().unwrap());
    let device = DeviceId::new(id).unwrap();
    let (boot, firmware) = (BootId(1), Text::cut("<b>\"\\\n"));
    let hello = Record::Hello { device, boot, nonce: 1, schema: 1, firmware, reset: ResetCause::Unknown };
    std::thread::spawn(move || {
        let Ok((mut line, _)) = listener.accept() else { return };
        let mut seq = 0;
        let mut say = |line: &mut TcpStream, record| {
            let mut bytes = [0; 512];
            let len = Frame { seq, at: DeviceTime::from_nanos(u64::MAX), record }.encode(&mut bytes).unwrap();
            seq += 1;
            line.write_all(&bytes[..len]).is_ok()
        };
        if ![hello].into_iter().chain(records).all(|record| say(&mut line, record)) {
            return;
        }
        let mut heard = [0; 1024];
        while let Ok(len @ 1..) = line.read(&mut heard) {
            // A command is much longer than all else that a host says.
            if len > 100 {
                hears(&line);
            }
            if device.as_str() == "grim" && len > 100 {
                say(&mut line, Record::Reply { counter: 0, verdict: Verdict::BadSignature, message: Text::cut("no") });
            }
        }
    });
    place
}

fn send(host: &Host, token: &str, id: &str) -> Reply {
    host.ask(token, "POST", &format!("/api/devices/{id}/commands"), Some(&json!({ "command": "set-interval 500" })))
}

fn host_with(places: &[String], answer_in: Length) -> Host {
    Host::start_with(|config| {
        config.devices = places.iter().map(|place| place.parse().unwrap()).collect();
        (config.link.reply_timeout, config.link.silence) = (answer_in, LONG);
    })
}

#[test]
fn whatever_a_device_says_the_figures_stay_valid_and_bounded() {
    let nasty =
        ["a\"b\\c\nd{}", "} 1\nevil 1", "# EOF", "<img src=x onerror=a()>", "__proto__", "\r\u{1b}[31m\u{85}", ""];
    let mut records: Vec<Record> = Vec::new();
    let many = (0..1_000).map(|n| format!("n{n}"));
    for name in nasty.into_iter().map(str::to_owned).chain(many) {
        let name = Text::cut(&name);
        records.push(Record::Counter { name, total: u64::MAX });
        let (state, opened, refused) = (BreakerState::Open, u64::MAX, u64::MAX);
        records.push(Record::Breaker { name, state, consecutive_failures: 9, opened, refused, retry_at: None });
    }
    records.push(Record::Health { live: true, ready: false });
    // Two at once that claim to be the same one.
    let host = host_with(&[device("node", records.clone()), device("node", records)], LONG);
    let ada = host.token("ada");
    let heard =
        |status: &Value| status["devices"].as_array().unwrap().iter().all(|device| device["ready"] == json!(false));
    assert!(eventually(|| heard(&host.get(&ada, "/api/status").json())));

    let status = host.get(&ada, "/api/status").json();
    let known = &status["devices"][0];
    assert_eq!((known["series"].as_object().unwrap().len(), known["breakers"].as_object().unwrap().len()), (128, 128));
    assert!(status["attention"].as_array().unwrap().len() < 20, "{}", status["attention"]);
    assert!(status["attention"].to_string().contains("124 more breakers are not closed"), "{}", status["attention"]);

    let impostor =
        format!("{} has the name of another device, node", status["devices"][1]["endpoint"].as_str().unwrap());
    assert!(status["attention"].to_string().contains(&impostor), "{}", status["attention"]);

    let figures = host.call("GET", "/metrics", &[], None).text;
    let mut series = std::collections::HashSet::new();
    for line in figures.lines().filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE ")) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        assert!(name.starts_with("daur_") || name.starts_with("process_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name), "twice: {line}");
    }
    assert!(figures.contains(r#"series="a\"b\\c\nd{}""#), "{figures}");
}

#[test]
fn a_command_to_a_device_is_audited_with_its_actor_its_device_and_what_became_of_it() {
    let (heard, commanded) = mpsc::channel();
    let deaf = device_that("deaf", Vec::new(), move |line| heard.send(line.try_clone().unwrap()).unwrap());
    let host = host_with(&[deaf, device("grim", Vec::new())], LONG);
    let ada = host.token("ada");
    let send = |id: &str| send(&host, &ada, id);
    // No id that a path can hold is anything else than unknown, and none crowds out what follows it.
    for id in ["other", "%ff", "%0a", &"x".repeat(300)] {
        send(id).is_problem(404, "not_found");
    }
    host.get(&ada, "/api/devices/%ff").is_problem(404, "not_found");
    host.call("GET", "/api/devices/%ff", &[], None).is_problem(401, "unauthenticated");

    assert!(eventually(|| host.get(&ada, "/api/devices/deaf").status == 200));
    // One waits for the device, which does not answer; the other is told to come again.
    std::thread::scope(|scope| {
        let one = scope.spawn(|| send("deaf"));
        let line: TcpStream = commanded.recv().unwrap();
        assert_eq!(send("deaf").is_problem(503, "overloaded"), Some(1));
        line.shutdown(std::net::Shutdown::Both).unwrap();
        assert_ne!(one.join().unwrap().status, 200);
    });

    assert!(eventually(|| host.get(&ada, "/api/devices/grim").status == 200));
    assert_eq!(send("grim").json()["verdict"], "bad_signature");

    let audited = host.audited(&ada, "command");
    for event in [
        "denied: device grim: bad_signature: set-interval 500",
        "failure: device other: no attached device has said this id: set-interval 500",
        "failure: device deaf: another command to this device is waiting for its answer: set-interval 500",
    ] {
        assert!(audited.iter().any(|found| found == event), "{event} in {audited:?}");
    }
    let crowded = audited.iter().find(|event| event.contains("xxx")).unwrap();
    assert!(crowded.ends_with(": no attached device has said this id: set-interval 500"), "{crowded}");
}

#[test]
fn a_device_that_does_not_answer_is_not_waited_for_for_ever_and_may_have_run_the_command() {
    let host = host_with(&[device("deaf", Vec::new())], Length::from_millis(50));
    let ada = host.token("ada");
    assert!(eventually(|| host.get(&ada, "/api/devices/deaf").status == 200));
    send(&host, &ada, "deaf").is_problem(504, "timeout");
    let told = "failure: device deaf: the device did not answer; it may have run the command: set-interval 500";
    assert_eq!(host.audited(&ada, "command"), [told]);
}

#[test]
fn a_device_that_is_named_twice_is_refused() {
    let dir = Dir::new();
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), dir.0.join("data"));
    config.devices = vec!["tcp:127.0.0.1:9".parse().unwrap(), "tcp:127.0.0.1:9".parse().unwrap()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(Server::start(config)).err().expect("a refusal");
    assert_eq!(refused.to_string(), "the device tcp:127.0.0.1:9 is named twice");
}
