//! The shared breaker between threads and tasks.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use daur_core::reliability::breaker::{
    Breaker, Cause, Config, Consecutive, CountWindow, Event, ModeConfig, Open, Opens, Slow, SlowCalls, State, Window,
};
use daur_core::reliability::executor::Failure;
use daur_core::reliability::retry::Class;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::{ManualClock, TokioClock};
use daur_std::reliability::breaker::{HostMode, SharedBreaker};

const CONFIG: Config = Config { failures: 1, recovery_timeout: Duration::from_secs(10), ..Config::DEFAULT };

/// A breaker whose wait is just over.
fn about_to_probe(config: Config, clock: &ManualClock) -> SharedBreaker<Consecutive, &ManualClock> {
    let breaker = SharedBreaker::of(Breaker::new(config), clock);
    breaker.call(|| Err::<(), _>("down")).unwrap_err();
    clock.advance(config.recovery_timeout);
    breaker
}

/// Counts how often it is read.
#[derive(Default)]
struct Counting(AtomicU32);

impl Clock for Counting {
    fn now(&self) -> Instant {
        self.0.fetch_add(1, Ordering::SeqCst);
        Instant::from_secs(1)
    }
}

#[test]
fn rule_1_while_nothing_would_change_neither_admission_nor_success_reads_the_clock() {
    let clock = Counting::default();
    let breaker = SharedBreaker::of(Breaker::new(Config { failures: 2, ..CONFIG }), &clock);
    let call = |result: Result<(), ()>| {
        let before = clock.0.load(Ordering::SeqCst);
        let _ = breaker.call(|| result);
        clock.0.load(Ordering::SeqCst) - before
    };
    assert!(call(Ok(())) > 0, "the first call writes the word");
    assert_eq!((call(Ok(())), call(Ok(()))), (0, 0));
    assert_eq!(call(Err(())), 1, "a failure counts");
    assert_eq!(call(Ok(())), 1, "a success starts the count over");
    assert_eq!(call(Ok(())), 0);
    call(Err(()));
    call(Err(()));
    assert_eq!(call(Ok(())), 1, "open, the lock decides");
    assert_eq!(breaker.snapshot().refused, 1);
}

#[test]
fn rule_2_a_panic_gives_the_permit_back_and_records_nothing() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = about_to_probe(CONFIG, &clock);
    let panics = AssertUnwindSafe(|| breaker.call(|| -> Result<(), ()> { panic!("the caller's") }));
    assert!(catch_unwind(panics).is_err());
    assert_eq!((breaker.state(), breaker.snapshot().opened), (State::HalfOpen, 1));
    assert_eq!(breaker.call(|| Ok::<_, ()>(1)), Ok(1));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn rule_3_only_a_mode_that_times_calls_reads_the_clock_at_admission() {
    let window = Opens::CountWindow(Window { calls: 10, ..Window::DEFAULT });
    let slow = Some(SlowCalls::DEFAULT);
    for (mode, admission, report) in [
        (ModeConfig::DEFAULT, 0, 0),
        (ModeConfig { opens: window, ..ModeConfig::DEFAULT }, 0, 1),
        (ModeConfig { opens: window, slow, ..ModeConfig::DEFAULT }, 1, 1),
    ] {
        let clock = Counting::default();
        let breaker = SharedBreaker::of(Breaker::<HostMode>::try_any(CONFIG, mode, 7).unwrap(), &clock);
        breaker.reset();
        let before = clock.0.load(Ordering::SeqCst);
        let guard = breaker.admit().unwrap();
        let admitted = clock.0.load(Ordering::SeqCst);
        guard.on_success();
        assert_eq!((admitted - before, clock.0.load(Ordering::SeqCst) - admitted), (admission, report), "{mode:?}");
    }
}

#[test]
fn rule_4_the_classifier_decides_what_counts() {
    let breaker = SharedBreaker::of(Breaker::new(CONFIG), Instant::ZERO);
    let failing = |class| breaker.call_classified(|_| class, || Err::<(), _>(7));
    for _ in 0..3 {
        assert_eq!(failing(Class::Ignored), Err(Failure::Error(7)));
        assert_eq!(breaker.state(), State::Closed);
    }
    assert_eq!(failing(Class::Permanent), Err(Failure::Error(7)));
    assert_eq!(breaker.state(), State::Open);
}

/// Two threads, 100,000 tries each: 100 openings with 1,000 tries of either.
#[test]
fn known_bug_half_open_over_admission_under_two_threads() {
    for round in 0..100 {
        let probes = 1 + round % 5;
        let clock = ManualClock::new(Instant::from_secs(1));
        let breaker = about_to_probe(Config { probes, success_threshold: probes, ..CONFIG }, &clock);
        let guards = std::thread::scope(|scope| {
            // Kept, so that no place is given back.
            let ask = || (0..1_000).filter_map(|_| breaker.admit().ok()).collect::<Vec<_>>();
            let threads = [scope.spawn(ask), scope.spawn(ask)];
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(guards.len(), probes as usize, "round {round}");
        assert_eq!(guards.iter().filter(|guard| guard.event() == Some(Event::HalfOpened)).count(), 1);
    }
}

/// Two threads, 100,000 tries each, whose probes are all cancelled: never more at once than the
/// probes, and never wedged.
#[test]
fn probes_that_two_threads_give_back_are_never_more_than_allowed_at_once() {
    const PROBES: u32 = 1;
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = about_to_probe(Config { probes: PROBES, success_threshold: PROBES, ..CONFIG }, &clock);
    let inside = AtomicU32::new(0);
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    if let Ok(guard) = breaker.admit() {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < PROBES);
                        admitted.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                }
            });
        }
    });
    assert!(admitted.load(Ordering::SeqCst) >= 1);
    assert_eq!(breaker.call(|| Ok::<_, &str>(1)), Ok(1), "not wedged");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn known_bug_wedged_when_every_probe_was_ignored() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = about_to_probe(CONFIG, &clock);
    for _ in 0..1_000 {
        let ignored = breaker.call_classified(|_| Class::Ignored, || Err::<(), _>("not found"));
        assert_eq!(ignored, Err(Failure::Error("not found")));
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.call(|| Ok::<_, &str>(1)), Ok(1));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn known_bug_permits_destroyed_by_a_timeout() {
    let breaker = SharedBreaker::of(Breaker::new(CONFIG), TokioClock);
    breaker.call(|| Err::<(), _>("down")).unwrap_err();
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    for _ in 0..100 {
        let call = breaker.call_async(pending::<Result<(), &str>>());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), call).await.is_err());
    }
    assert_eq!(breaker.call_async(async { Ok::<_, &str>(1) }).await, Ok(1));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_opens_a_breaker_that_times_it() {
    const PAIR: Window = Window { calls: 2, failure_pct: 100, min_calls: 2 };
    const SLOW: SlowCalls = SlowCalls { slow_call: Duration::from_secs(2), slow_pct: 100 };
    let mode = Slow::<CountWindow<1>>::of_calls(PAIR, SLOW);
    let breaker = SharedBreaker::of(Breaker::with_mode(CONFIG, mode), TokioClock);
    for _ in 0..2 {
        let call = async {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            Ok::<_, &str>(())
        };
        assert_eq!(breaker.call_async(call).await, Ok(()));
    }
    assert!(matches!(breaker.call_async(async { Ok::<_, &str>(()) }).await, Err(Failure::Open { .. })));
}

#[test]
fn a_config_that_is_read_at_run_time_makes_a_breaker_of_its_mode() {
    let mode = ModeConfig {
        opens: Opens::CountWindow(Window { calls: 1_024, failure_pct: 50, min_calls: 4 }),
        ..ModeConfig::DEFAULT
    };
    let breaker: SharedBreaker<HostMode> = SharedBreaker::try_any(CONFIG, mode).unwrap();
    for _ in 0..3 {
        breaker.call(|| Err::<(), _>("down")).unwrap_err();
    }
    assert_eq!(breaker.state(), State::Closed, "the mode's own condition counts, not `failures`");
    assert_eq!(breaker.admit().unwrap().on_failure(), Some(Event::Opened { cause: Cause::Failures }));
    let too_large = ModeConfig { opens: Opens::CountWindow(Window { calls: 1_025, ..Window::DEFAULT }), ..mode };
    assert!(SharedBreaker::try_any(CONFIG, too_large).is_err());
}

/// A dashboard that looks every second would have taken the event that a log waits for.
#[test]
fn who_looks_takes_no_event_from_who_calls() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let breaker = about_to_probe(CONFIG, &clock);
    assert_eq!((breaker.state(), breaker.snapshot().retry_at, breaker.refuses()), (State::HalfOpen, None, None));
    let probe = breaker.admit().unwrap();
    assert_eq!(probe.event(), Some(Event::HalfOpened));
    assert_eq!(breaker.snapshot().retry_at, Some(clock.now() + CONFIG.probe_lease));
    // The lease of a probe that nobody reports is over: as if it had been polled.
    clock.advance(CONFIG.probe_lease);
    assert_eq!((breaker.state(), breaker.snapshot().retry_at), (State::HalfOpen, None));
    probe.on_success();
    assert_eq!(breaker.state(), State::Closed, "nobody has taken its place");
    breaker.force_open();
    assert_eq!(breaker.refuses(), Some(Open { retry_at: Instant::MAX }));
}

#[test]
fn by_hand_it_can_be_left_to_count_only() {
    let breaker = SharedBreaker::of(Breaker::new(CONFIG), Instant::ZERO);
    breaker.metrics_only();
    for _ in 0..10 {
        breaker.call(|| Err::<(), _>("down")).unwrap_err();
    }
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::MetricsOnly, 10));
}
