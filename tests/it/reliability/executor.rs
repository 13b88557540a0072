//! The executor's rules by number, step by step without any runner.

use daur_core::reliability::breaker::{self, CountWindow, Event, State, Window};
use daur_core::reliability::executor::{Admit, Cause, Config, Executor, Failure, Guard, Next, Permit, Run};
use daur_core::reliability::retry::{self, Attempts, Class, Jitter, Reason};
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
