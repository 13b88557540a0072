//! `daur-host replay`: a trace as a device writes it, one that is changed, one that is not all there.

use super::*;

use daur_std::core::crc::Crc32;
use daur_std::core::id::{BootId, DeviceId};
use daur_std::core::monitoring::errors::{self, Errors};
use daur_std::core::monitoring::trace::{self, Head, Input, Keep, Setup, Trace, Writer};
use daur_std::core::performance::cache::{self, Cache};
use daur_std::core::reliability::health::{self, CheckConfig, Health, Outcome};
use daur_std::core::reliability::limiter::{self, Limiter};
use daur_std::core::text::Text;
use daur_std::core::time::Instant as DeviceTime;
use daur_std::monitoring::trace::Replay;

/// What a device with `BYTES` for it has recorded: sizes that the host has no machine of, of which it makes one.
fn recorded<const BYTES: usize>(keep: Keep) -> Vec<u8> {
    let at = DeviceTime::from_millis;
    let mut trace: Trace<BYTES> = Trace::new(trace::Config { keep, every: 2 });
    let mut limiter = Limiter::new(limiter::Config::DEFAULT);
    let mut cache: Cache<u32, u32, 5> = Cache::new(cache::Config::DEFAULT);
    let mut health: Health<1> = Health::new(health::Config::DEFAULT);
    let mut errors: Errors<2, 1> = Errors::new(errors::Config::DEFAULT);
    let begin = [
        ("commands", Setup::Limiter { config: limiter::Config::DEFAULT }),
        ("registers", Setup::Cache { config: cache::Config::DEFAULT, capacity: 5 }),
        ("health", Setup::Health { config: health::Config::DEFAULT, checks: 1 }),
        ("err\u{1b}[2Jors", Setup::Errors { config: errors::Config::DEFAULT, kinds: 2, last: 1 }),
    ];
    for (number, (name, setup)) in (0..).zip(begin) {
        trace.declare(number, Text::cut(name), &setup, at(1));
    }
    for name in ["sensor", "one too many"] {
        let input = Input::AddCheck { name: Text::cut(name), config: CheckConfig::READINESS };
        trace.drive(2, &mut health, &input, at(1)).unwrap();
    }
    for n in 0..60_u32 {
        let now = at(2 + u64::from(n));
        let kind = ["i2c", "crc", "uart"][n as usize % 3];
        trace.drive(0, &mut limiter, &Input::Check { n: 1 }, now).unwrap();
        trace.drive(1, &mut cache, &Input::Insert { key: n % 7, value: n, ttl: None }, now).unwrap();
        trace.drive(1, &mut cache, &Input::Get { key: n % 3 }, now).unwrap();
        let took = daur_std::core::time::Duration::from_millis(3);
        let outcome = if n % 10 < 5 { Outcome::Pass } else { Outcome::Fail };
        trace.drive(2, &mut health, &Input::Report { check: 0, outcome, took }, now).unwrap();
        let error = Input::Error { kind: Text::cut(kind), message: Text::cut("no\nanswer") };
        trace.drive(3, &mut errors, &error, now).unwrap();
    }
    let mut file = Vec::new();
    let mut put = |byte| file.push(byte);
    let head = Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), every: 2 };
    let mut writer = Writer::begin(&head, &mut put);
    writer.copy(&trace);
    writer.end(&trace);
    file
}

#[test]
fn a_trace_is_played_and_what_is_changed_damaged_or_not_all_there_has_its_exit_code() {
    let dir = Dir::new();
    let path = dir.0.join("trace");
    let play = |file: &[u8], more: &[&str]| {
        std::fs::write(&path, file).unwrap();
        let mut command = Command::new(PROGRAM);
        let output = command.arg("replay").arg(&path).args(more).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let file = recorded::<8_000>(Keep::First);
    let (code, told, said) = play(&file, &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.last(), Some(&"306 inputs, states equal"));
    let has = |words: &[&str]| lines.iter().any(|line| line.split_whitespace().eq(words.iter().copied()));
    assert!(has(&["0.001000000", "commands", "begins", "as", "limiter", "0", "refused"]), "{told}");
    assert!(has(&["0.009000000", "health", "report", "0", "fail", "3ms", "unhealthy"]), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");

    // Every input, as JSON; and the same without a machine.
    let json = |more: &[&str]| -> Vec<Value> {
        let (code, told, _) = play(&file, more);
        assert_eq!(code, Some(0));
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = json(&["--all", "--json"]);
    assert_eq!((all.len(), &all[306]), (307, &json!({"inputs": 306, "missing": 0, "equal": true, "error": null})));
    assert_eq!((&all[6]["at_ns"], &all[6]["state"]["limiter"]["refused"]), (&json!(2_000_000), &json!(0)));
    let listed = json(&["--list", "--json"]);
    assert_eq!((listed.len(), &listed[6]["input"]), (306, &json!("check 1")));

    // One bit of one input.
    let (mut damaged, mut changed) = (file.clone(), file.clone());
    let at = file.len() / 2;
    damaged[at] ^= 1;
    let (code, told, said) = play(&damaged, &[]);
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(said.contains("its check sum is wrong"), "{said}");
    // The last check's sum stands before the end: two length bytes, two numbers, the count, two sums.
    let at = file.len() - 4 - 8 - 2;
    changed[at] ^= 1;
    changed.truncate(file.len() - 4);
    changed.extend(Crc32::of(&changed).to_le_bytes());
    let (code, told, said) = play(&changed, &[]);
    assert_eq!((code, said.as_str()), (Some(1), ""), "{told}");
    assert!(told.lines().last().unwrap().starts_with("input 305: diverged: the device's sum is "), "{told}");
    let (code, told, _) = play(&changed, &["--json"]);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((code, &last["equal"], &last["inputs"]), (Some(1), &json!(false), &json!(306)));

    // Its beginning is missing: it can be shown, and not be played.
    let partial = recorded::<600>(Keep::Last);
    let (code, _, said) = play(&partial, &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("inputs before it are missing"), "{said}");
    let (code, told, _) = play(&partial, &["--list"]);
    assert!(code == Some(0) && told.lines().next().unwrap().ends_with("inputs are missing here"), "{told}");

    let (code, _, said) = play(b"SQLite format 3", &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("it is no trace"), "{said}");
    std::fs::remove_file(&path).unwrap();
    let gone = Command::new(PROGRAM).arg("replay").arg(&path).output().unwrap();
    assert_eq!(gone.status.code(), Some(2));
}

#[test]
fn what_the_host_makes_smaller_behaves_as_what_is_small() {
    let file = recorded::<8_000>(Keep::First);
    let mut replay = Replay::open(&file).unwrap();
    let played: Vec<_> = replay.by_ref().map(|played| played.unwrap()).collect();
    assert_eq!((replay.inputs(), replay.missing()), (306, 0));
    assert_eq!(played.last().unwrap().number, 305);
}
