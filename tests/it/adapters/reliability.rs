//! The runners on tokio, in paused time, and on threads.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use daur_core::reliability::breaker::{self, State};
use daur_core::reliability::executor::{Cause, Config, Executor, Failure};
use daur_core::reliability::retry::{self, Attempts, Class, GaveUp, Jitter, Reason};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::{ManualClock, TokioClock};
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::executor::{execute, execute_blocking, shared_on_tokio};
use daur_std::reliability::retry::{Timeouts, retry_blocking, retry_within, retry_within_blocking};
use daur_std::shared::StdShared;

/// Waits of 100 ms and 200 ms between three calls.
const THREE: retry::Config = retry::Config {
    max_attempts: Attempts::Limited(3),
    initial_delay: Duration::from_millis(100),
    jitter: Jitter::None,
    ..retry::Config::DEFAULT
}
.checked();

fn always<E>(_: &E) -> Class {
    Class::Transient
}

/// The time in milliseconds that `future` takes, in tens: a timer of tokio's may go off a millisecond
/// or two after its time.
async fn timed<T>(future: impl Future<Output = T>) -> (T, u64) {
    let start = TokioClock.now();
    let value = future.await;
    (value, tens((TokioClock.now() - start).as_millis()))
}

fn tens(millis: u64) -> u64 {
    millis / 10 * 10
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_again_after_the_machines_waits() {
    let mut calls = 0;
    let run = daur_std::reliability::retry::retry(THREE, always, || {
        calls += 1;
        std::future::ready(if calls < 3 { Err("not yet") } else { Ok(calls) })
    });
    let (answer, took) = timed(run).await;
    assert_eq!(answer, Ok(3));
    assert_eq!(took, 300);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_comes_back_with_the_reason() {
    let exhausted = daur_std::reliability::retry::retry(THREE, always, || async { Err::<(), _>("down") }).await;
    assert_eq!(exhausted, Err(GaveUp { error: "down", reason: Reason::Exhausted, attempts: 3 }));
    let wrong = daur_std::reliability::retry::retry(THREE, |_| Class::Permanent, || async { Err::<(), _>("wrong") });
    assert_eq!(wrong.await, Err(GaveUp { error: "wrong", reason: Reason::NotRetryable, attempts: 1 }));
}

#[tokio::test(start_paused = true)]
async fn what_the_callee_asks_for_is_waited() {
    let mut calls = 0;
    let run = daur_std::reliability::retry::retry(
        THREE,
        |_| Class::TransientAfter(Duration::from_secs(7)),
        || {
            calls += 1;
            std::future::ready(if calls < 2 { Err("busy") } else { Ok(()) })
        },
    );
    assert_eq!(timed(run).await, (Ok(()), 7_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_dropped_and_made_again() {
    let timeouts = Timeouts { total: None, attempt: Some(Duration::from_secs(2)) };
    let run = retry_within(THREE, timeouts, always, pending::<Result<(), &str>>);
    let (run, took) = timed(run).await;
    assert_eq!(run.result, Err(Failure::TimedOut));
    assert_eq!((run.attempts, run.cause, took), (3, Some(Cause::Retry(Reason::Exhausted)), 6_300));
    assert_eq!(tens(run.elapsed.as_millis()), 6_300);
}

#[tokio::test(start_paused = true)]
async fn the_total_time_ends_a_call_under_way() {
    let timeouts = Timeouts { total: Some(Duration::from_secs(3)), attempt: Some(Duration::from_secs(2)) };
    let run = retry_within(THREE, timeouts, always, pending::<Result<(), &str>>);
    let (run, took) = timed(run).await;
    assert_eq!((run.attempts, took), (2, 3_000));
    assert_eq!(run.result, Err(Failure::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_ready_together_with_its_deadline_has_made_it() {
    let timeouts = Timeouts { total: None, attempt: Some(Duration::from_secs(2)) };
    let run = retry_within(THREE, timeouts, always, || async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        Ok::<_, &str>(1)
    });
    assert_eq!(run.await.result, Ok(1));
}

/// Opens on two failures in a row, probes after 5 s.
const FRAGILE: breaker::Config =
    breaker::Config { failures: 2, recovery_timeout: Duration::from_secs(5), ..breaker::Config::DEFAULT };

fn opened(config: Config) -> StdShared<Executor, TokioClock> {
    let shared = shared_on_tokio(config).unwrap();
    shared.with(|executor, now| {
        for _ in 0..2 {
            let permit = executor.breaker().try_acquire(now).unwrap();
            executor.breaker().on_failure(permit, now);
        }
        assert_eq!(executor.breaker().state(), State::Open);
    });
    shared
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_waited_for_if_the_run_may() {
    let patient = Config { retry: THREE, breaker: FRAGILE, open_wait: Duration::from_secs(5), ..Config::DEFAULT };
    let shared = opened(patient);
    let (run, took) = timed(execute(&shared, always, || async { Ok::<_, &str>(1) })).await;
    assert_eq!((run.result, run.attempts, run.refused_by_breaker, took), (Ok(1), 1, 1, 5_000));
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_told_at_once_if_it_may_not() {
    let shared = opened(Config { retry: THREE, breaker: FRAGILE, ..Config::DEFAULT });
    let (run, took) = timed(execute(&shared, always, || async { Ok::<_, &str>(1) })).await;
    let retry_at = shared.with(|_, now| now + Duration::from_secs(5));
    assert_eq!((run.result, run.attempts, took), (Err(Failure::Open { retry_at }), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_gives_the_probe_back_and_records_nothing() {
    let shared = opened(Config { retry: THREE, breaker: FRAGILE, ..Config::DEFAULT });
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    {
        let run = execute(&shared, always, pending::<Result<(), &str>>);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), run).await.is_err());
    }
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::HalfOpen);
    let run = execute(&shared, always, || async { Ok::<_, &str>(1) }).await;
    assert_eq!((run.result, run.refused_by_breaker), (Ok(1), 0));
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::Closed);
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let run = async {
        let shared = shared_on_tokio(Config::DEFAULT).unwrap();
        let name = String::from("borrowed by every call");
        execute(&shared, always, || {
            let name = name.clone();
            async move {
                CALLS.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, String>(name.len())
            }
        })
        .await
        .result
    };
    assert_eq!(tokio::spawn(run).await.unwrap(), Ok(22));
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
}

/// Waits of no length, so that the blocking runners need not be waited for.
const AT_ONCE: retry::Config =
    retry::Config { initial_delay: Duration::ZERO, max_delay: Duration::ZERO, ..THREE }.checked();

#[test]
fn a_thread_makes_the_call_again_too() {
    let mut calls = 0;
    let answer = retry_blocking(AT_ONCE, always, || {
        calls += 1;
        if calls < 3 { Err("not yet") } else { Ok(calls) }
    });
    assert_eq!(answer, Ok(3));
    let gave_up = retry_blocking(AT_ONCE, always, || Err::<(), _>("down"));
    assert_eq!(gave_up, Err(GaveUp { error: "down", reason: Reason::Exhausted, attempts: 3 }));
}

#[test]
fn on_a_thread_no_call_is_begun_after_the_total_time() {
    let run = retry_within_blocking(THREE, Duration::from_millis(50), always, || Err::<(), _>("down"));
    assert_eq!((run.result, run.attempts, run.cause), (Err(Failure::Error("down")), 1, Some(Cause::TimedOut)));
}

#[test]
fn a_panic_on_a_thread_gives_the_probe_back() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { retry: AT_ONCE, breaker: FRAGILE, ..Config::DEFAULT };
    let shared = StdShared::with_clock(Executor::new(config, 7), &clock);
    let failed = execute_blocking(&shared, always, || Err::<(), _>("down"));
    assert_eq!((failed.attempts, failed.refused_by_breaker), (2, 1));
    clock.advance(Duration::from_secs(5));
    let panicking = || execute_blocking(&shared, always, || -> Result<(), &str> { panic!("the caller's") });
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::HalfOpen);
    assert_eq!(execute_blocking(&shared, always, || Ok::<_, &str>(5)).result, Ok(5));
}

#[tokio::test]
async fn a_dropped_future_gives_the_breakers_probe_back() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = SharedBreaker::of(breaker::Breaker::new(FRAGILE), &clock);
    for _ in 0..2 {
        assert_eq!(breaker.call_async(async { Err::<(), _>("down") }).await, Err(Failure::Error("down")));
    }
    let refused = breaker.call_async(async { Ok::<_, &str>(()) }).await;
    assert_eq!(refused, Err(Failure::Open { retry_at: Instant::from_secs(6) }));
    clock.set(Instant::from_secs(6));
    {
        let mut call = Box::pin(breaker.call_async(pending::<Result<(), &str>>()));
        tokio::select! {
            biased;
            _ = &mut call => unreachable!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        assert!(breaker.admit().is_err(), "the probe is out");
    }
    assert_eq!(breaker.call_async(async { Ok::<_, &str>(1) }).await, Ok(1));
    assert_eq!(breaker.state(), State::Closed);
}
