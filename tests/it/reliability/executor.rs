//! The executor's rules by number, step by step without any runner.

use daur_core::reliability::breaker::{self, Breaker, Consecutive, CountWindow, Event, State, Window};
use daur_core::reliability::executor::{Admit, Cause, Config, Executor, Failure, Guard, Next, Permit, Run};
use daur_core::reliability::retry::{self, Attempts, Class, Jitter, Reason};
use daur_core::reliability::timeout::Deadline;
use daur_core::reliability::{budget, bulkhead};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const START: Instant = Instant::from_secs(1_000);
const CONFIG: Config = Config {
    retry: retry::Config {
        max_attempts: Attempts::Limited(10),
        initial_delay: SECOND,
        jitter: Jitter::None,
        ..retry::Config::DEFAULT
    },
    breaker: breaker::Config { failures: 3, recovery_timeout: Duration::from_secs(30), ..breaker::Config::DEFAULT },
    ..Config::DEFAULT
};

fn go(executor: &mut Executor, run: &mut Run, now: Instant) -> Permit {
    match executor.admit(run, now) {
        Admit::Go { permit, .. } => permit,
        other => panic!("not admitted: {other:?}"),
    }
}

/// Lets one call fail and says when the next one is due.
fn fail(executor: &mut Executor, run: &mut Run, now: Instant) -> Instant {
    let permit = go(executor, run, now);
    match executor.on_failure(run, permit, Class::Transient, now) {
        Next::Retry { at } => at,
        Next::Stop(cause) => panic!("stopped: {cause}"),
    }
}

#[test]
fn a_run_retries_until_it_succeeds_and_tells_how_it_went() {
    let mut executor = Executor::new(CONFIG, 1);
    let mut run = executor.start(START);
    let at = fail(&mut executor, &mut run, START);
    assert_eq!(at, START + SECOND);
    assert_eq!(executor.admit(&mut run, START), Admit::Wait { until: at }, "not before it is due");
    let at = fail(&mut executor, &mut run, at);
    let permit = go(&mut executor, &mut run, at);
    executor.on_success(&mut run, permit, at);
    let execution = run.finish::<_, ()>(Ok(42), None, at);
    assert!(execution.success() && !execution.fallback_used);
    assert_eq!((execution.attempts, execution.elapsed), (3, SECOND.times(3)));
    let shown = executor.snapshot();
    assert_eq!((shown.runs, shown.succeeded, shown.retries), (1, 1, 2));
}

#[test]
fn rule_1_every_attempt_asks_the_breaker_and_a_refusal_is_no_attempt() {
    let mut executor = Executor::new(CONFIG, 1);
    let mut run = executor.start(START);
    let at = fail(&mut executor, &mut run, START);
    let at = fail(&mut executor, &mut run, at);
    let at = fail(&mut executor, &mut run, at);
    assert!(matches!(run.take_event(), Some(Event::Opened { .. })));
    assert_eq!(run.take_event(), None);
    assert!(matches!(executor.admit(&mut run, at), Admit::Stop(Cause::Open { .. })));
    assert_eq!((run.attempts(), run.refused()), (3, 1));
}

#[test]
fn rule_2_an_open_breaker_is_waited_for_as_long_as_the_run_may() {
    let mut executor = Executor::new(Config { open_wait: Duration::from_secs(60), ..CONFIG }, 1);
    executor.breaker().reset(START);
    let mut run = executor.start(START);
    let mut at = START;
    for _ in 0..3 {
        at = fail(&mut executor, &mut run, at);
    }
    let opened_at = START + SECOND.times(3);
    let until = opened_at + Duration::from_secs(30);
    assert_eq!(executor.admit(&mut run, at), Admit::Wait { until });
    assert_eq!(executor.admit(&mut run, until - SECOND), Admit::Wait { until });
    assert_eq!(run.refused(), 1, "waiting asks nobody");
    let probe = go(&mut executor, &mut run, until);
    assert_eq!(run.take_event(), Some(Event::HalfOpened));
    executor.on_success(&mut run, probe, until);
    assert_eq!(run.take_event(), Some(Event::Closed));
}

#[test]
fn rule_2_waiting_for_a_breaker_ends_even_if_others_always_come_first() {
    let mut executor = Executor::new(Config { open_wait: Duration::from_secs(100), ..CONFIG }, 1);
    let mut first = executor.start(START);
    let mut now = START;
    for _ in 0..3 {
        now = fail(&mut executor, &mut first, now);
    }
    let mut unlucky = executor.start(now);
    let mut waits = 0;
    while let Admit::Wait { until } = executor.admit(&mut unlucky, now) {
        now = until;
        waits += 1;
        // Somebody else takes the probe's place and fails, just before.
        let probe = executor.breaker().try_acquire(now).expect("a probe");
        executor.breaker().on_failure(probe, now);
    }
    assert!((2..=4).contains(&waits), "{waits}");
    assert_eq!(unlucky.attempts(), 0);
}

#[test]
fn rule_2_a_forced_open_breaker_is_never_waited_for() {
    for open_wait in [Duration::from_secs(3_600), Duration::MAX] {
        let mut executor = Executor::new(Config { open_wait, ..CONFIG }, 1);
        executor.breaker().force_open(START);
        let mut run = executor.start(START);
        assert_eq!(executor.admit(&mut run, START), Admit::Stop(Cause::Open { retry_at: Instant::MAX }));
    }
    let cause = Cause::Open { retry_at: Instant::MAX };
    assert_eq!(Failure::<()>::of(None, cause), Failure::Open { retry_at: Instant::MAX });
}

#[test]
fn rule_2_no_run_waits_for_a_breaker_beyond_its_own_time() {
    for config in [
        Config { total_timeout: Some(SECOND.times(20)), ..CONFIG },
        Config { retry: retry::Config { max_elapsed: Some(SECOND.times(20)), ..CONFIG.retry }, ..CONFIG },
    ] {
        let mut executor = Executor::new(Config { open_wait: Duration::MAX, ..config }, 1);
        let mut run = executor.start(START);
        let mut at = START;
        for _ in 0..3 {
            at = fail(&mut executor, &mut run, at);
        }
        assert!(matches!(executor.admit(&mut run, at), Admit::Stop(Cause::Open { .. })));
    }
}

#[test]
fn rule_3_an_ignored_failure_is_neither_counted_nor_retried() {
    let mut executor = Executor::new(CONFIG, 1);
    for _ in 0..100 {
        let mut run = executor.start(START);
        let permit = go(&mut executor, &mut run, START);
        let next = executor.on_failure(&mut run, permit, Class::Ignored, START);
        assert_eq!(next, Next::Stop(Cause::Retry(Reason::NotRetryable)));
    }
    assert_eq!(executor.breaker().state(), State::Closed);
}

#[test]
fn rule_3_a_permanent_failure_ends_the_run_and_counts() {
    let mut executor = Executor::new(CONFIG, 1);
    for _ in 0..3 {
        let mut run = executor.start(START);
        let permit = go(&mut executor, &mut run, START);
        let next = executor.on_failure(&mut run, permit, Class::Permanent, START);
        assert_eq!(next, Next::Stop(Cause::Retry(Reason::NotRetryable)));
    }
    assert_eq!(executor.breaker().state(), State::Open);
}

#[test]
fn rule_4_no_call_starts_when_the_total_time_is_over() {
    let config = Config { total_timeout: Some(SECOND.times(2)), attempt_timeout: Some(SECOND.times(5)), ..CONFIG };
    let mut executor = Executor::new(config, 1);
    let end = START + SECOND.times(2);
    let mut run = executor.start(START);
    let Admit::Go { permit, deadline } = executor.admit(&mut run, START) else { panic!("not admitted") };
    assert_eq!(deadline, Some(end), "the earlier of the two");
    // The next call would be due exactly at the end.
    let next = executor.on_failure(&mut run, permit, Class::Transient, START + SECOND);
    assert_eq!(next, Next::Stop(Cause::TimedOut));
    assert_eq!(executor.admit(&mut run, end), Admit::Stop(Cause::TimedOut));
}

#[test]
fn rule_4_an_attempt_has_its_own_deadline() {
    let mut executor = Executor::new(Config { attempt_timeout: Some(SECOND), ..CONFIG }, 1);
    let mut run = executor.start(START);
    let admit = executor.admit(&mut run, START);
    assert!(matches!(admit, Admit::Go { deadline: Some(at), .. } if at == START + SECOND), "{admit:?}");
}

#[test]
fn rule_5_a_dropped_guard_gives_the_probe_back() {
    let config = Config { breaker: breaker::Config { failures: 1, ..CONFIG.breaker }, ..CONFIG };
    let shared = CsShared::new(Executor::new(config, 1), START);
    shared.with(|executor, now| {
        let permit = executor.breaker().try_acquire(now).expect("closed");
        executor.breaker().on_failure(permit, now);
    });
    let at = START + Duration::from_secs(30);
    for _ in 0..100 {
        let permit = shared.with(|executor, _| {
            let mut run = executor.start(at);
            go(executor, &mut run, at)
        });
        assert!(shared.with(|executor, _| executor.breaker().try_acquire(at)).is_err(), "the probe is out");
        drop(Guard::new(&shared, permit));
    }
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::HalfOpen);
}

#[test]
fn a_run_that_is_used_up_reports_the_last_error() {
    let config = Config { retry: retry::Config { max_attempts: Attempts::Limited(1), ..CONFIG.retry }, ..CONFIG };
    let mut executor = Executor::new(config, 1);
    let mut run = executor.start(START);
    let permit = go(&mut executor, &mut run, START);
    let Next::Stop(cause) = executor.on_failure(&mut run, permit, Class::Transient, START) else { panic!("retried") };
    assert_eq!(cause, Cause::Retry(Reason::Exhausted));
    let execution = run.finish::<(), _>(Err(Failure::of(Some(Failure::Error("bus")), cause)), Some(cause), START);
    assert_eq!(execution.result, Err(Failure::Error("bus")));
}

#[test]
fn two_runs_of_one_executor_are_not_in_step() {
    let retry = retry::Config { jitter: Jitter::Full, ..CONFIG.retry };
    let mut executor = Executor::new(Config { retry, ..CONFIG }, 1);
    let mut due = [START; 2].map(|now| {
        let mut run = executor.start(now);
        fail(&mut executor, &mut run, now)
    });
    due.sort_unstable();
    assert!(due[0] < due[1]);
}

#[test]
fn an_invalid_part_is_named() {
    let config = Config { breaker: breaker::Config { failures: 0, ..CONFIG.breaker }, ..CONFIG };
    let error = Executor::try_new(config, 1).expect_err("invalid");
    assert_eq!(error.to_string(), "breaker: `failures` is 0; at least 1 is needed");
}

#[test]
fn an_executor_can_judge_by_a_rate_too() {
    const WINDOW: Window = Window { calls: 20, failure_pct: 50, min_calls: 20 };
    static SHARED: CsShared<Executor<CountWindow<1>>, Instant> =
        CsShared::new(Executor::windowed(CONFIG, WINDOW, 1), START);
    for n in 0..20 {
        assert_eq!(SHARED.with(|executor, _| executor.breaker().state()), State::Closed, "after {n}");
        SHARED.with(|executor, now| {
            let mut run = executor.start(now);
            let Admit::Go { permit, .. } = executor.admit(&mut run, now) else { panic!("not admitted") };
            if n % 2 == 0 {
                let _ = executor.on_failure(&mut run, permit, Class::Permanent, now);
            } else {
                executor.on_success(&mut run, permit, now);
            }
        });
    }
    assert_eq!(SHARED.with(|executor, _| executor.breaker().state()), State::Open);
}

/// One call at a time, and two in line.
const NARROW: Config =
    Config { bulkhead: Some(bulkhead::Config { max_concurrent: 1, max_waiting: 2, max_wait: None }), ..CONFIG };

fn narrow(config: Config) -> Executor<Consecutive, 2> {
    Executor::of(config, Breaker::new(config.breaker), 1)
}

fn in_line<const N: usize>(executor: &mut Executor<Consecutive, N>, run: &mut Run, now: Instant) {
    let admit = executor.admit(run, now);
    assert!(matches!(admit, Admit::Line { .. }), "not in line: {admit:?}");
}

#[test]
fn rule_1_a_refusal_of_the_bulkhead_is_no_attempt_and_nothing_for_the_breaker() {
    let mut executor = narrow(NARROW);
    let mut runs = [(); 4].map(|()| executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut runs[0], START) else { panic!("not admitted") };
    in_line(&mut executor, &mut runs[1], START);
    in_line(&mut executor, &mut runs[2], START);
    let cause = Cause::NoPlace(bulkhead::Refused::Full { running: 1, waiting: 2 });
    assert_eq!(executor.admit(&mut runs[3], START), Admit::Stop(cause));
    assert_eq!(Failure::<&str>::of(None, cause).to_string(), "the bulkhead is full: as many calls run and wait as may");
    assert_eq!(runs[3].attempts(), 0);
    executor.on_success(&mut runs[0], permit, START);
    assert_eq!(executor.snapshot().breaker.consecutive_failures, 0);
}

#[test]
fn rule_5_a_cancelled_call_gives_its_place_to_the_next_in_line() {
    let mut executor = narrow(NARROW);
    let (mut first, mut second) = (executor.start(START), executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut first, START) else { panic!("not admitted") };
    in_line(&mut executor, &mut second, START);
    executor.cancel(permit, START);
    assert!(matches!(executor.admit(&mut second, START), Admit::Go { .. }));
}

#[test]
fn rule_5_whoever_is_dropped_in_line_leaves_it() {
    let mut executor = narrow(NARROW);
    let mut runs = [(); 3].map(|()| executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut runs[0], START) else { panic!("not admitted") };
    in_line(&mut executor, &mut runs[1], START);
    in_line(&mut executor, &mut runs[2], START);
    executor.abandon(&mut runs[1], START);
    executor.on_success(&mut runs[0], permit, START);
    assert!(matches!(executor.admit(&mut runs[2], START), Admit::Go { .. }));
    assert_eq!(executor.snapshot().bulkhead.waiting, 0);
}

#[test]
fn rule_6_a_run_in_line_holds_no_probe_and_asks_the_breaker_again() {
    let mut executor = narrow(Config { breaker: breaker::Config { failures: 1, ..CONFIG.breaker }, ..NARROW });
    let (mut slow, mut next, mut last) = (executor.start(START), executor.start(START), executor.start(START));
    let Admit::Go { permit: slow_permit, .. } = executor.admit(&mut slow, START) else { panic!("not admitted") };
    // Somebody opens the breaker meanwhile, and it becomes half-open before the slow call is back.
    let permit = executor.breaker().try_acquire(START).expect("closed");
    let _opened = executor.breaker().on_failure(permit, START);
    let half_open = START + Duration::from_secs(30);
    in_line(&mut executor, &mut next, half_open);
    in_line(&mut executor, &mut last, half_open);
    let probe = executor.breaker().try_acquire(half_open).expect("nobody in line holds the probe");
    // Now it is the turn of the next, but the only probe is out: it gives its turn to the last.
    executor.cancel(slow_permit, half_open);
    assert!(matches!(executor.admit(&mut next, half_open), Admit::Stop(Cause::Open { .. })));
    executor.breaker().cancel(probe, half_open);
    assert!(matches!(executor.admit(&mut last, half_open), Admit::Go { .. }));
}

#[test]
fn rule_6_a_clock_that_steps_back_keeps_no_turn_idle() {
    let mut executor = narrow(NARROW);
    let (mut slow, mut retried) = (executor.start(START), executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut retried, START) else { panic!("not admitted") };
    let Next::Retry { at } = executor.on_failure(&mut retried, permit, Class::Transient, START) else { panic!() };
    let Admit::Go { permit, .. } = executor.admit(&mut slow, at) else { panic!("not admitted") };
    in_line(&mut executor, &mut retried, at);
    // Before the wait that is behind it already.
    in_line(&mut executor, &mut retried, START);
    executor.cancel(permit, START);
    assert!(matches!(executor.admit(&mut retried, START), Admit::Go { .. }));
}

#[test]
fn rule_6_the_line_is_left_when_the_runs_time_is_over() {
    let mut executor = narrow(Config { total_timeout: Some(SECOND), ..NARROW });
    let (mut slow, mut next) = (executor.start(START), executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut slow, START) else { panic!("not admitted") };
    assert_eq!(executor.admit(&mut next, START), Admit::Line { until: START + SECOND });
    assert_eq!(executor.admit(&mut next, START + SECOND), Admit::Stop(Cause::TimedOut));
    assert_eq!(executor.snapshot().bulkhead.waiting, 0);
    executor.cancel(permit, START);
}

#[test]
fn rule_6_max_wait_ends_the_wait_in_line() {
    let patience = bulkhead::Config { max_concurrent: 1, max_waiting: 2, max_wait: Some(SECOND) };
    let mut executor = narrow(Config { bulkhead: Some(patience), ..CONFIG });
    let (mut slow, mut next) = (executor.start(START), executor.start(START));
    let Admit::Go { permit, .. } = executor.admit(&mut slow, START) else { panic!("not admitted") };
    assert_eq!(executor.admit(&mut next, START), Admit::Line { until: START + SECOND });
    let refused = Cause::NoPlace(bulkhead::Refused::TimedOut);
    assert_eq!(executor.admit(&mut next, START + SECOND), Admit::Stop(refused));
    executor.cancel(permit, START);
}

#[test]
fn rule_7_all_runs_together_retry_within_the_budget() {
    let config = Config {
        budget: Some(budget::Config::TokenBucket { capacity: 10, retry_cost: 5, first_try_gain: 1 }),
        breaker: breaker::Config { failures: 100, ..CONFIG.breaker },
        ..CONFIG
    };
    let mut executor = Executor::new(config, 1);
    let mut retries = 0;
    for _ in 0..10 {
        let mut run = executor.start(START);
        let permit = go(&mut executor, &mut run, START);
        match executor.on_failure(&mut run, permit, Class::Transient, START) {
            Next::Retry { .. } => retries += 1,
            next => assert_eq!(next, Next::Stop(Cause::Retry(Reason::Budget))),
        }
    }
    assert_eq!(retries, 2);
    assert_eq!(executor.snapshot().budget.expect("it has one").refused, 8);
}

#[test]
fn rule_7_a_retry_that_is_not_made_is_given_back() {
    let config = Config {
        budget: Some(budget::Config::TokenBucket { capacity: 5, retry_cost: 5, first_try_gain: 1 }),
        breaker: breaker::Config { failures: 100, ..CONFIG.breaker },
        ..CONFIG
    };
    let mut executor = Executor::new(config, 1);
    for _ in 0..10 {
        let mut run = executor.start(START);
        let _at = fail(&mut executor, &mut run, START);
        executor.abandon(&mut run, START);
        // Twice does no harm.
        executor.abandon(&mut run, START);
    }
    assert_eq!(executor.snapshot().budget.expect("it has one").tokens, 5);
}

#[test]
fn rule_8_a_run_ends_by_the_deadline_it_was_given() {
    let mut executor = Executor::new(Config { total_timeout: Some(SECOND.times(10)), ..CONFIG }, 1);
    for (deadline, end) in [(2, 2), (60, 10)] {
        let mut run = executor.start_by(Deadline::after(SECOND.times(deadline), START), START);
        let Admit::Go { permit, deadline } = executor.admit(&mut run, START) else { panic!("not admitted") };
        assert_eq!(deadline, Some(START + SECOND.times(end)));
        executor.cancel(permit, START);
        assert_eq!(executor.admit(&mut run, START + SECOND.times(end)), Admit::Stop(Cause::TimedOut));
    }
}

#[test]
fn known_bug_permits_destroyed_by_a_timeout() {
    // Calls that time out again and again, in a bulkhead of one, with the only probe of the breaker.
    let mut executor = narrow(Config { attempt_timeout: Some(SECOND), ..NARROW });
    let mut now = START;
    for _ in 0..100 {
        let mut run = executor.start(now);
        let Admit::Go { permit, deadline } = executor.admit(&mut run, now) else { panic!("wedged") };
        now = deadline.expect("it has one");
        let _next = executor.on_failure(&mut run, permit, Class::Transient, now);
        executor.abandon(&mut run, now);
        assert_eq!(executor.snapshot().bulkhead.running, 0);
        now += Duration::from_secs(30);
    }
}

#[test]
fn known_bug_wedged_when_every_probe_was_ignored() {
    let mut executor =
        Executor::new(Config { breaker: breaker::Config { failures: 1, ..CONFIG.breaker }, ..CONFIG }, 1);
    let mut run = executor.start(START);
    let _at = fail(&mut executor, &mut run, START);
    let now = START + Duration::from_secs(30);
    for _ in 0..100 {
        let mut run = executor.start(now);
        let permit = go(&mut executor, &mut run, now);
        let _next = executor.on_failure(&mut run, permit, Class::Ignored, now);
    }
    assert_eq!(executor.breaker().state(), State::HalfOpen);
}

#[test]
fn a_limit_of_nothing_is_refused() {
    for (config, message) in [
        (
            Config { total_timeout: Some(Duration::ZERO), ..CONFIG },
            "executor: `total_timeout` is 0; leave it out for no limit",
        ),
        (
            Config { attempt_timeout: Some(Duration::ZERO), ..CONFIG },
            "executor: `attempt_timeout` is 0; leave it out for no limit",
        ),
        (NARROW, "bulkhead: `max_waiting` is more than the type's `WAITING` places"),
        (Config { budget: Some(budget::Config::ratio(0)), ..CONFIG }, "budget: `percent` must be from 1 to 1000"),
    ] {
        assert_eq!(Executor::try_new(config, 1).expect_err("invalid").to_string(), message);
        assert_eq!(config.validate().expect_err("invalid").to_string(), message);
    }
}
