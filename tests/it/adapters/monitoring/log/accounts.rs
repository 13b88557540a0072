//! `written + dropped == sent`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use daur_core::time::UnixTime;
use daur_std::monitoring::log::sink::{Output, Sink};
use daur_std::monitoring::log::{Config, Format, Level, Logger};
use tracing_subscriber::layer::SubscriberExt;

use super::{Gate, LONG, Memory, add_up, listening, log_to, message, quiet};

/// Fails, or panics, while it is told to.
struct Moody {
    fails: Arc<AtomicBool>,
    panics: bool,
    taken: Memory,
}

impl Sink for Moody {
    fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            assert!(!self.panics, "as it was told to");
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken.write(line, at)
    }
}

#[test]
fn rule_1_all_is_written_where_nothing_is_in_the_way() {
    let sink = Memory::default();
    let log = log_to(quiet(), vec![sink.output("memory")]);
    listening(&log, || {
        for n in 0..20_000 {
            tracing::info!(n, "line");
        }
    });
    let counts = log.shutdown(LONG);
    add_up(&counts);
    assert_eq!((counts.sent, counts.queued), (20_000, 0));
    // The queue may have been full; then it says so.
    let lines = sink.lines();
    let said = lines.iter().filter(|line| line.contains(" line n=")).count() as u64;
    assert_eq!(said, counts.written);
    let told: u64 =
        lines.iter().filter_map(|line| message(line).split_once(" lines dropped")?.0.parse::<u64>().ok()).sum();
    let one = lines.iter().filter(|line| message(line).starts_with("1 line dropped")).count() as u64;
    assert_eq!(told + one, counts.dropped);
}

#[test]
fn rule_1_a_slow_sink_is_given_up_at_the_shutdowns_deadline_and_every_line_is_counted() {
    let (gate, asked, lets, taken) = Gate::new();
    let log = log_to(quiet(), vec![Output::new("slow", Format::Human, gate)]);
    listening(&log, || {
        for n in 0..1_000 {
            tracing::info!(n, "line");
        }
    });
    // It takes ten, and hangs at the next.
    for _ in 0..10 {
        asked.recv().unwrap();
        lets.send(()).unwrap();
    }
    asked.recv().unwrap();
    add_up(&log.counts());
    let counts = log.shutdown(Duration::ZERO);
    assert_eq!((counts.sent, counts.written, counts.dropped, counts.queued), (1_000, 10, 990, 0));
    add_up(&counts);

    // What is said afterwards is counted too, and what the sink does afterwards changes nothing.
    listening(&log, || tracing::info!("too late"));
    drop(lets);
    let after = log.shutdown(LONG);
    assert_eq!((after.sent, after.written, after.dropped), (1_001, 10, 991));
    assert_eq!(after.refused, 1);
    assert!(taken.lines().len() <= 11, "a writer that was given up writes no more than it had begun");
}

#[test]
fn rule_2_lines_after_the_shutdown_are_counted_and_keep_no_writer_busy() {
    let taken = Memory::default();
    let log = log_to(quiet(), vec![taken.output("all")]);
    let (stop, ended) = (AtomicBool::new(false), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            listening(&log, || {
                while !stop.load(Ordering::SeqCst) {
                    tracing::info!("line");
                }
                tracing::info!("the last");
            });
            ended.wait();
        });
        while log.counts().written == 0 {
            std::thread::yield_now();
        }
        // Which comes to its end although somebody goes on for ever.
        add_up(&log.shutdown(LONG));
        let told = taken.lines().len();
        stop.store(true, Ordering::SeqCst);
        ended.wait();
        assert_eq!(taken.lines().len(), told, "there is no log any more to tell it in");
    });
    let counts = log.counts();
    add_up(&counts);
    assert!(counts.refused > 0 && counts.queued == 0, "{counts:?}");
    assert!(log.flush(LONG), "all is decided, and that is all that is waited for");
}

#[test]
fn rule_2_and_3_what_the_queue_has_no_room_for_is_dropped_at_once_and_told_in_its_place() {
    let (gate, asked, lets, taken) = Gate::new();
    let config = Config { queue_bytes: 4_096, max_line: 1_024, ..quiet() };
    let log = log_to(config, vec![Output::new("slow", Format::Human, gate)]);
    listening(&log, || {
        tracing::info!("first");
        asked.recv().unwrap(); // The writer hangs; no caller does.
        for n in 0..500 {
            tracing::info!(n, "line");
        }
    });
    let counts = log.counts();
    assert!(counts.refused > 300, "{counts:?}");
    add_up(&counts);
    drop(lets);
    assert!(log.flush(LONG));
    listening(&log, || tracing::info!("after"));
    let end = log.shutdown(LONG);
    add_up(&end);
    assert_eq!((end.sent, end.dropped, end.refused), (502, counts.refused, counts.refused));

    let lines = taken.lines();
    let kept = 500 - counts.refused;
    let place = lines.iter().position(|line| line.contains("dropped")).unwrap();
    assert_eq!(message(&lines[place]), format!("{} lines dropped: the queue was full", counts.refused));
    assert_eq!(place as u64, 1 + kept, "behind those that came before");
    assert!(lines[place - 1].ends_with(&format!("n={}", kept - 1)) && lines[place + 1].ends_with("after"));
    // It is remembered too.
    let recent = log.recent(1_000, Level::Warn, 0);
    assert_eq!((recent.len(), recent[0].seq), (1, 501));
}

#[test]
fn rule_2_a_sink_that_fails_for_a_while_says_so_when_it_works_again_and_the_other_has_all() {
    let (fails, taken, other) = (Arc::new(AtomicBool::new(false)), Memory::default(), Memory::default());
    let moody = Moody { fails: Arc::clone(&fails), panics: false, taken: taken.clone() };
    let log = log_to(quiet(), vec![Output::new("moody", Format::Human, moody), other.output("other")]);
    let say = |n: u32| listening(&log, || tracing::info!(n, "line"));
    say(0);
    assert!(log.flush(LONG));
    fails.store(true, Ordering::SeqCst);
    (1..=7).for_each(say);
    assert!(log.flush(LONG));
    let during = log.counts();
    assert_eq!((during.sent, during.written, during.dropped), (8, 1, 7));
    assert!(during.sinks[0].last_error.as_deref().is_some_and(|why| why.contains("no storage space")), "{during:?}");
    fails.store(false, Ordering::SeqCst);
    say(8);
    let counts = log.shutdown(LONG);
    add_up(&counts);
    assert_eq!((counts.written, counts.dropped), (2, 7));
    assert_eq!((counts.sinks[0].written, counts.sinks[1].written), (2, 9));
    let lines = taken.lines();
    assert_eq!(lines.len(), 3);
    assert!(message(&lines[1]).starts_with("7 lines dropped: ") && lines[2].ends_with("n=8"), "{lines:?}");
    assert_eq!(other.lines().len(), 9);
}

#[test]
fn rule_1_a_sink_that_never_works_costs_every_line_and_the_count_says_so() {
    let moody = Moody { fails: Arc::new(AtomicBool::new(true)), panics: false, taken: Memory::default() };
    let log = log_to(quiet(), vec![Output::new("full", Format::Json, moody)]);
    listening(&log, || (0..100).for_each(|n| tracing::info!(n, "line")));
    let counts = log.shutdown(LONG);
    assert_eq!((counts.sent, counts.written, counts.dropped), (100, 0, 100));
    add_up(&counts);
}

#[test]
fn rule_5_a_sink_that_panics_has_not_taken_that_line_and_is_asked_again() {
    let (fails, taken) = (Arc::new(AtomicBool::new(true)), Memory::default());
    let moody = Moody { fails: Arc::clone(&fails), panics: true, taken: taken.clone() };
    let log = log_to(quiet(), vec![Output::new("panics", Format::Human, moody)]);
    listening(&log, || tracing::info!("one"));
    assert!(log.flush(LONG));
    fails.store(false, Ordering::SeqCst);
    listening(&log, || tracing::info!("two"));
    let counts = log.shutdown(LONG);
    assert_eq!((counts.written, counts.dropped), (1, 1));
    assert_eq!(message(&taken.lines()[0]), "1 line dropped: the sink panicked");
}

/// Logs while it writes.
struct Chatty {
    log: tracing::Dispatch,
    taken: Memory,
}

impl Sink for Chatty {
    fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()> {
        tracing::dispatcher::with_default(&self.log, || tracing::error!("a sink speaks of itself"));
        self.taken.write(line, at)
    }
}

#[test]
fn rule_5_what_a_sink_logs_while_it_writes_is_left_out_and_counted_apart() {
    // The sink is made before the log that it logs to.
    struct Later(std::sync::mpsc::Receiver<Chatty>, Option<Chatty>);
    impl Sink for Later {
        fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()> {
            let Self(comes, chatty) = self;
            chatty.get_or_insert_with(|| comes.recv().unwrap()).write(line, at)
        }
    }
    let (gives, comes) = std::sync::mpsc::channel();
    let taken = Memory::default();
    let log = log_to(quiet(), vec![Output::new("chatty", Format::Human, Later(comes, None))]);
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(log.layer()));
    gives.send(Chatty { log: dispatch.clone(), taken: taken.clone() }).unwrap();
    tracing::dispatcher::with_default(&dispatch, || (0..5).for_each(|n| tracing::info!(n, "line")));
    let counts = log.shutdown(LONG);
    assert_eq!((counts.sent, counts.written, counts.from_sinks), (5, 5, 5));
    assert_eq!(taken.lines().len(), 5);
}

/// Logs while it is formatted.
struct Nested;

impl std::fmt::Display for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        tracing::info!("from within");
        f.write_str("nested")
    }
}

/// Panics while it is formatted.
struct Bomb;

impl std::fmt::Display for Bomb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("a value that cannot be shown");
    }
}

#[test]
fn a_value_may_log_or_panic_while_it_is_formatted() {
    let sink = Memory::default();
    let log = log_to(quiet(), vec![sink.output("memory")]);
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(log.layer()));
    let say = |work: &dyn Fn()| tracing::dispatcher::with_default(&dispatch, work);
    // `tracing` itself leaves out what is said while it hands on an event: it must not hang or mix the two.
    say(&|| tracing::info!("outer {}", Nested));
    let bomb = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| say(&|| tracing::info!("{}", Bomb))));
    assert!(bomb.is_err());
    say(&|| tracing::info!("goes on"));
    let counts = log.shutdown(LONG);
    add_up(&counts);
    assert_eq!(counts.dropped, 0);
    let lines = sink.lines();
    assert!(lines.iter().any(|line| line.ends_with("outer nested")), "{lines:?}");
    assert!(lines.last().unwrap().ends_with("goes on"));
}

#[test]
fn rule_1_holds_while_eight_threads_send_and_somebody_looks_and_shuts_down_in_between() {
    const EACH: u64 = 2_000;
    for round in 0..4 {
        let sink = Memory::default();
        let config = Config { queue_bytes: 64 << 10, max_line: 1_024, ..quiet() };
        let log = log_to(config, vec![sink.output("memory")]);
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(log.layer()));
        let (barrier, sent) = (Barrier::new(9), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (dispatch, barrier, sent) = (&dispatch, &barrier, &sent);
                scope.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || {
                        barrier.wait();
                        for n in 0..EACH {
                            tracing::info!(thread, n, "line");
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
            }
            barrier.wait();
            // In the midst of it, but for the last round.
            while round < 3 && sent.load(Ordering::Relaxed) < 4_000 * round {
                add_up(&log.counts());
            }
            if round < 3 {
                add_up(&log.shutdown(LONG));
            }
        });
        let counts = log.shutdown(LONG);
        add_up(&counts);
        assert_eq!((counts.sent, counts.queued), (8 * EACH, 0));
        let lines = sink.lines();
        let mut last = [None; 8];
        let mut whole = 0;
        for line in lines.iter().filter(|line| !line.contains("dropped")) {
            let numbers = message(line).strip_prefix("line thread=").and_then(|rest| rest.split_once(" n="));
            let (thread, n) = numbers.unwrap_or_else(|| panic!("torn: {line}"));
            let (thread, n) = (thread.parse::<usize>().unwrap(), n.parse::<u64>().unwrap());
            assert!(last[thread] < Some(n), "a thread's lines stay in order");
            last[thread] = Some(n);
            whole += 1;
        }
        assert_eq!(whole, counts.written);
    }
}

#[test]
fn a_log_without_sinks_remembers() {
    let log = log_to(quiet(), vec![]);
    listening(&log, || tracing::warn!("kept in memory"));
    assert_eq!(log.shutdown(LONG).written, 1);
    assert_eq!(log.recent(1, Level::Trace, 0)[0].message, "kept in memory");
}

#[test]
fn the_last_handle_that_goes_ends_the_log_with_all_that_was_said() {
    let sink = Memory::default();
    let log = log_to(quiet(), vec![sink.output("memory")]);
    let layer = tracing_subscriber::registry().with(log.layer());
    drop(log);
    tracing::subscriber::with_default(layer, || tracing::info!("still there"));
    assert!(sink.lines()[0].ends_with("still there"));
}

#[test]
fn sizes_out_of_range_are_refused_by_name() {
    for (config, field) in [
        (Config { max_line: 10, ..quiet() }, "max_line"),
        (Config { queue_bytes: 16 << 10, ..quiet() }, "queue_bytes"),
        (Config { recent: 2_000_000, ..quiet() }, "recent"),
    ] {
        let refused = Logger::try_new(config).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }
}
