//! What becomes of events, fields, spans and levels.

use std::sync::{Barrier, Mutex};

use daur_std::monitoring::log::sink::Output;
use daur_std::monitoring::log::{Config, Format, Level, Value, logger};
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{LONG, Memory, listening, log_to, quiet};

#[test]
fn a_line_has_its_fields_with_their_types_and_the_spans_it_was_said_in() {
    let (human, machine) = (Memory::default(), Memory::default());
    let outputs = vec![human.output("human"), Output::new("json", Format::Json, machine.clone())];
    let log = log_to(quiet(), outputs);
    listening(&log, || {
        let request = tracing::info_span!("request", id = 7, user = tracing::field::Empty);
        let _in = request.enter();
        request.record("user", "ada");
        let _deeper = tracing::info_span!("query").entered();
        let error = std::io::Error::other(std::fmt::Error);
        let error: &dyn std::error::Error = &error;
        tracing::warn!(attempt = 2u8, below = -3, ratio = 0.5, ok = false, name = "a b", error, "no answer");
    });
    assert!(log.flush(LONG));
    let line = log.recent(1, Level::Trace, 0).remove(0);
    assert_eq!((line.level, line.message.as_str(), line.seq), (Level::Warn, "no answer", 1));
    assert!(line.target.ends_with("log::layer"), "{}", line.target);
    let field = |name: &str| line.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    assert_eq!(field("attempt"), Some(&Value::Unsigned(2)));
    assert_eq!(field("below"), Some(&Value::Signed(-3)));
    assert_eq!(field("ratio"), Some(&Value::Float(0.5)));
    assert_eq!(field("ok"), Some(&Value::Bool(false)));
    let said = human.lines().remove(0);
    let expected = " WARN request{id=7 user=ada}:query: ";
    assert!(said.contains(expected) && said.contains("no answer attempt=2 below=-3"), "{said}");
    assert!(said.contains("name=\"a b\""), "{said}");

    let object: serde_json::Value = serde_json::from_str(&machine.lines()[0]).unwrap();
    assert_eq!(object["level"], "warn");
    assert_eq!(object["fields"]["attempt"], 2);
    assert_eq!(object["fields"]["error"].as_str(), field("error").map(ToString::to_string).as_deref());
    assert_eq!(object["spans"], json!([{"name": "request", "fields": {"id": 7, "user": "ada"}}, {"name": "query"}]));
    // As the API gives it.
    let of_api = serde_json::to_value(&line).unwrap();
    assert_eq!(of_api["fields"], object["fields"]);
    assert_eq!(of_api["repeated"], 0);
}

#[test]
fn what_a_span_calls_its_fields_changes_nothing_of_the_line() {
    let taken = Memory::default();
    let log = log_to(quiet(), vec![taken.output("all")]);
    listening(&log, || {
        let _in = tracing::info_span!("send", message = "of the span", log.target = "of the span").entered();
        tracing::info!("of the line");
    });
    assert!(log.flush(LONG));
    let line = log.recent(1, Level::Trace, 0).remove(0);
    assert_eq!(line.message, "of the line");
    assert!(line.target.ends_with("log::layer"), "{}", line.target);
    assert_eq!(line.spans[0].fields[0], ("message".to_owned(), Value::Text("of the span".to_owned())));
    assert!(
        taken.lines()[0].contains("send{message=\"of the span\" log.target=\"of the span\"}: "),
        "{:?}",
        taken.lines()
    );
}

#[test]
fn a_span_shows_the_last_value_of_each_field_however_often_it_is_set() {
    let log = log_to(Config { max_line: 512, ..quiet() }, vec![]);
    listening(&log, || {
        let span = tracing::info_span!("copy", file = "a", done = tracing::field::Empty, of = 9);
        let _in = span.enter();
        for done in 0..1_000 {
            span.record("done", done);
        }
        tracing::info!("so far");
        span.record("file", "x".repeat(500).as_str());
        tracing::info!("too much");
    });
    assert!(log.flush(LONG));
    let lines = log.recent(2, Level::Trace, 0);
    let fields = &lines[0].spans[0].fields;
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["file", "of", "done"]);
    assert_eq!((&fields[2].1, lines[0].cut), (&Value::Signed(999), false));
    assert!(lines[1].cut, "what did not fit is said to be missing");
}

#[test]
fn fields_that_threads_set_in_one_span_at_the_same_time_are_all_there() {
    /// Meets the other while it is formatted.
    struct Meets<'a>(&'a Barrier);

    impl std::fmt::Debug for Meets<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.wait();
            f.write_str("there")
        }
    }

    let log = log_to(quiet(), vec![]);
    let subscriber = tracing::Dispatch::new(tracing_subscriber::registry().with(log.layer()));
    let (span, both) = (Mutex::new(None), Barrier::new(2));
    tracing::dispatcher::with_default(&subscriber, || {
        let empty = tracing::field::Empty;
        *span.lock().unwrap() = Some(tracing::info_span!("both", one = empty, two = empty));
    });
    let span = span.into_inner().unwrap().unwrap();
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let (subscriber, span, both) = (&subscriber, &span, &both);
            scope.spawn(move || {
                tracing::dispatcher::with_default(subscriber, || {
                    span.record(name, tracing::field::debug(Meets(both)));
                });
            });
        }
    });
    tracing::dispatcher::with_default(&subscriber, || span.in_scope(|| tracing::info!("said")));
    assert!(log.flush(LONG));
    let line = log.recent(1, Level::Trace, 0).remove(0);
    assert_eq!(line.spans[0].fields.len(), 2, "{line:?}");
}

#[test]
fn rule_6_the_shortest_lines_say_something_and_find_room_whatever_their_target_is() {
    const LONG_TARGET: &str = "a_crate::with::modules::that::lie::deeper::than::the::whole::line::may::be::long";
    let log = log_to(Config { max_line: 64, queue_bytes: 128, ..quiet() }, vec![]);
    listening(&log, || tracing::info!(target: LONG_TARGET, "x"));
    let counts = log.shutdown(LONG);
    assert_eq!((counts.sent, counts.written, counts.cut), (1, 1, 1));
    let line = log.recent(1, Level::Trace, 0).remove(0);
    assert!(
        line.cut && line.message == "x" && LONG_TARGET.starts_with(&line.target) && line.target.len() == 20,
        "{line:?}"
    );
}

#[test]
fn where_in_the_code_another_facade_was_called_is_no_field() {
    let log = log_to(quiet(), vec![]);
    listening(&log, || {
        tracing::info!(target: "log", { log.target = "app", log.file = "a.rs", log.line = 7, log.size = "2" }, "said");
    });
    assert!(log.flush(LONG));
    let line = log.recent(1, Level::Trace, 0).remove(0);
    assert_eq!(line.target, "app");
    assert_eq!(line.fields, [("log.size".to_owned(), Value::Text("2".to_owned()))]);
}

#[test]
fn rule_4_control_characters_and_forged_lines_stay_within_their_line() {
    let (human, machine) = (Memory::default(), Memory::default());
    let log = log_to(quiet(), vec![human.output("human"), Output::new("json", Format::Json, machine.clone())]);
    let evil = "a\n2026-01-01T00:00:00Z ERROR forged: b\r\t\u{1b}[2J\u{202e}\u{0}\u{85}\u{2028}\"\\ü";
    listening(&log, || tracing::info!(evil, "{evil}"));
    let counts = log.shutdown(LONG);
    assert_eq!(counts.written, 1);
    for line in human.lines().iter().chain(&machine.lines()) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{2028}']) && line.contains('ü'), "{line:?}");
    }
    let object: serde_json::Value = serde_json::from_str(&machine.lines()[0]).unwrap();
    assert_eq!((object["message"].as_str(), object["fields"]["evil"].as_str()), (Some(evil), Some(evil)));
}

#[test]
fn rule_6_a_line_that_is_too_long_is_cut_at_a_character_and_counted() {
    let sink = Memory::default();
    let log = log_to(Config { max_line: 256, queue_bytes: 4_096, ..quiet() }, vec![sink.output("memory")]);
    listening(&log, || {
        tracing::info!("{}", "ö".repeat(1_000));
        tracing::info!(a = "x".repeat(200), b = "y".repeat(200), "fields");
        tracing::info!("short");
    });
    let counts = log.shutdown(LONG);
    assert_eq!((counts.written, counts.cut), (3, 2));
    let lines = sink.lines();
    assert!(lines[0].ends_with("ö [cut]") && lines[0].len() < 400, "{}", lines[0]);
    assert!(lines[1].ends_with("[cut]") && lines[2].ends_with("short"));
    assert!(log.recent(3, Level::Info, 0)[0].cut);
}

#[test]
fn rule_7_recent_lines_come_oldest_first_by_level_and_number_and_repetitions_are_one() {
    let log = log_to(Config { recent: 4, ..quiet() }, vec![]);
    listening(&log, || {
        tracing::error!("a");
        for _ in 0..3 {
            tracing::warn!(n = 1, "b");
        }
        tracing::warn!(n = 2, "b");
        tracing::info!("c");
    });
    assert!(log.flush(LONG));
    let told = |limit, least, after| -> Vec<_> {
        log.recent(limit, least, after).into_iter().map(|line| (line.seq, line.message, line.repeated)).collect()
    };
    let line = |seq, message: &str, repeated| (seq, message.to_owned(), repeated);
    assert_eq!(told(9, Level::Info, 0), [line(1, "a", 0), line(4, "b", 2), line(5, "b", 0), line(6, "c", 0)]);
    assert_eq!(told(2, Level::Warn, 0), [line(4, "b", 2), line(5, "b", 0)]);
    assert_eq!(told(9, Level::Info, 5), [line(6, "c", 0)]);
    assert_eq!(told(9, Level::Info, 6), []);
    // Whoever has seen the first sees the line again with its count.
    assert_eq!(told(9, Level::Warn, 2), [line(4, "b", 2), line(5, "b", 0)]);
    listening(&log, || tracing::info!("d"));
    assert!(log.flush(LONG));
    assert_eq!(told(9, Level::Info, 0)[0], line(4, "b", 2), "the oldest makes room");
}

#[test]
fn the_level_is_set_while_it_runs_and_a_target_may_have_its_own() {
    let targets = vec![("noisy".to_owned(), Level::Error), ("billing".to_owned(), Level::Debug)];
    let log = log_to(Config { targets, ..quiet() }, vec![]);
    let say = |n: u32| {
        tracing::debug!(n, "debug");
        tracing::info!(target: "noisy::inner", n, "noise");
        tracing::debug!(target: "billing", n, "a target of the code");
        logger("billing").debug("a named one");
        logger("noisy").warn("left out");
        logger(String::from("other")).info(format_args!("{n} of another"));
    };
    listening(&log, || {
        say(1);
        assert_eq!(log.level(), Level::Info);
        log.set_level(Level::Debug);
        say(2);
        log.set_level(Level::Error);
        say(3);
    });
    let counts = log.shutdown(LONG);
    assert_eq!((counts.sent, counts.written), (9, 9));
    let lines = log.recent(99, Level::Trace, 0);
    let said: Vec<_> = lines.iter().map(|line| (line.target.as_str(), line.message.as_str())).collect();
    let billing = [("billing", "a target of the code"), ("billing", "a named one")];
    assert_eq!(said[..3], [billing[0], billing[1], ("other", "1 of another")]);
    assert_eq!((said[3].1, &said[4..7]), ("debug", &[billing[0], billing[1], ("other", "2 of another")][..]));
    assert_eq!(said[7..], billing);
}

#[test]
fn other_layers_see_what_this_log_leaves_out() {
    use std::sync::atomic::{AtomicU32, Ordering};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    struct Counter(std::sync::Arc<AtomicU32>);
    impl<S: tracing::Subscriber> Layer<S> for Counter {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let seen = std::sync::Arc::new(AtomicU32::new(0));
    let log = log_to(Config { level: Level::Error, ..quiet() }, vec![]);
    let both = tracing_subscriber::registry().with(log.layer()).with(Counter(seen.clone()));
    tracing::subscriber::with_default(both, || {
        tracing::debug!("for the other");
        tracing::error!("for both");
    });
    assert_eq!((seen.load(Ordering::SeqCst), log.shutdown(LONG).sent), (2, 1));
}

#[test]
fn an_export_is_written_beside_and_takes_its_place_at_once() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-export-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let log = log_to(quiet(), vec![]);
    listening(&log, || (0..3).for_each(|n| tracing::info!(n, "line")));
    let (text, json) = (dir.join("daur.txt"), dir.join("daur.jsonl"));
    std::fs::write(&text, "an old one").unwrap();
    assert_eq!((log.export(&text).unwrap(), log.export(&json).unwrap()), (3, 3));
    let lines = std::fs::read_to_string(&text).unwrap();
    assert!(lines.lines().count() == 3 && lines.lines().all(|line| line.contains(" INFO ")), "{lines}");
    for (n, line) in std::fs::read_to_string(&json).unwrap().lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((line["fields"]["n"].as_u64(), line["seq"].as_u64()), (Some(n as u64), Some(n as u64 + 1)));
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside them");
    let refused = log.export(dir.join("missing/daur.txt")).unwrap_err().to_string();
    assert!(refused.contains("missing/daur.txt"), "{refused}");
    std::fs::remove_dir_all(&dir).unwrap();
}
