//! [`RetryLayer`].

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use super::*;
use daur_core::reliability::breaker::Open;
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::bulkhead::Refused;
use daur_core::reliability::limiter::Limited;
use daur_core::reliability::retry::{Attempts, Class, Config, ConfigError, GaveUp, Jitter, Reason};
use daur_core::shared::Shared;
use daur_core::time::Instant;
use daur_std::reliability::layers::{BreakerLayer, RetryLayer};
use daur_std::shared::StdShared;

/// Waits of 100 ms and 200 ms between three calls.
const THREE: Config = Config {
    max_attempts: Attempts::Limited(3),
    initial_delay: Duration::from_millis(100),
    jitter: Jitter::None,
    ..Config::DEFAULT
};
const LAYER: RetryLayer = RetryLayer::new(THREE);

type Outcome = Result<u32, Error<&'static str>>;

/// A service that gives these outcomes, one a call, and then successes with the number of the call.
fn scripted(outcomes: Vec<Outcome>) -> Strict<impl FnMut(()) -> std::future::Ready<Outcome> + Clone> {
    let calls = Arc::new(AtomicU32::new(0));
    strict(move |()| {
        let nth = calls.fetch_add(1, Ordering::SeqCst);
        ready(outcomes.get(nth as usize).cloned().unwrap_or(Ok(nth + 1)))
    })
}

fn gave_up<T>(error: Error<&'static str>, reason: Reason, attempts: u32) -> Result<T, Error<&'static str>> {
    Err(Error::GaveUp(Box::new(GaveUp { error, reason, attempts })))
}

#[tokio::test(start_paused = true)]
async fn rule_1_a_failure_is_retried_after_the_waits_of_the_config() {
    let (answer, took) = timed(once(LAYER, scripted(vec![Err(DOWN), Err(DOWN)]), ())).await;
    assert_eq!((answer, took), (Ok(3), 300));
    let (answer, took) = timed(once(LAYER, scripted(vec![Err(DOWN); 9]), ())).await;
    assert_eq!((answer, took), (gave_up(DOWN, Reason::Exhausted, 3), 300));
    let (answer, took) = timed(once(LAYER, scripted(vec![]), ())).await;
    assert_eq!((answer, took), (Ok(1), 0));
}

#[tokio::test(start_paused = true)]
async fn known_bug_a_fleet_does_not_come_back_in_step() {
    let layer = RetryLayer::new(Config { jitter: Jitter::Full, initial_delay: Duration::from_secs(50), ..THREE });
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(timed(once(layer, scripted(vec![Err(DOWN)]), ())).await.1);
    }
    waits.dedup();
    assert!(waits.len() > 4, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn rule_2_the_judge_says_what_a_failure_is() {
    let permanent = LAYER.classify(|_: &&str| Class::Permanent);
    assert_eq!(once(permanent, scripted(vec![Err(DOWN)]), ()).await, gave_up(DOWN, Reason::NotRetryable, 1));
    let hinted = LAYER.classify(|_: &&str| Class::TransientAfter(Duration::from_secs(7)));
    assert_eq!(timed(once(hinted, scripted(vec![Err(DOWN)]), ())).await, (Ok(2), 7_000));
    let odd_ones_fail = LAYER.judge(|answer: Result<&u32, &&str>| match answer {
        Ok(answer) if answer % 2 == 0 => None,
        _ => Some(Class::Transient),
    });
    assert_eq!(timed(once(odd_ones_fail, scripted(vec![Ok(5), Err(DOWN), Ok(8)]), ())).await, (Ok(8), 300));
}

#[tokio::test(start_paused = true)]
async fn rule_3_a_run_that_ends_in_an_answer_gives_it() {
    let all_fail = LAYER.judge(|_: Result<&u32, &&str>| Some(Class::Transient));
    assert_eq!(once(all_fail, scripted(vec![Ok(5), Ok(6), Ok(7)]), ()).await, Ok(7));
    let elapsed = RetryLayer::new(Config { max_elapsed: Some(Duration::from_millis(100)), ..THREE });
    assert_eq!(once(elapsed, scripted(vec![Err(DOWN); 9]), ()).await, gave_up(DOWN, Reason::Elapsed, 2));
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_refusal_is_waited_for_if_the_run_may() {
    let patient = LAYER.refusal_wait(Duration::from_secs(5));
    let open = |secs| Error::Open(Open { retry_at: TokioClock.now() + Duration::from_secs(secs) });
    let limited = |secs| Error::Limited(Limited { retry_at: TokioClock.now() + Duration::from_secs(secs) });

    let outcomes = vec![Err(open(3)), Err(DOWN), Err(limited(5)), Err(DOWN)];
    // 3 s, 100 ms, what is left of the 5 s, 200 ms; three attempts and two refusals.
    assert_eq!(timed(once(patient, scripted(outcomes), ())).await, (Ok(5), 5_200));

    let refused = open(6);
    let (answer, took) = timed(once(patient, scripted(vec![Err(refused.clone())]), ())).await;
    assert_eq!((answer, took), (Err(refused), 0));
    let refused = limited(1);
    assert_eq!(once(LAYER, scripted(vec![Err(refused.clone())]), ()).await, Err(refused));

    let refused = open(6);
    let outcomes = vec![Err(DOWN), Err(refused.clone())];
    assert_eq!(once(patient, scripted(outcomes), ()).await, gave_up(refused, Reason::Elapsed, 1));

    let by_hand = Error::Open(Open { retry_at: Instant::MAX });
    assert_eq!(once(patient, scripted(vec![Err(by_hand.clone())]), ()).await, Err(by_hand));
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_refusal_whose_moment_has_passed_makes_no_busy_loop() {
    let patient = LAYER.refusal_wait(Duration::from_millis(20));
    let calls = Arc::new(AtomicU32::new(0));
    let past = Error::Open(Open { retry_at: Instant::ZERO });
    let stubborn = {
        let calls = Arc::clone(&calls);
        let past = past.clone();
        strict(move |()| {
            calls.fetch_add(1, Ordering::SeqCst);
            ready(Err::<(), _>(past.clone()))
        })
    };
    assert_eq!(once(patient, stubborn, ()).await, Err(past));
    assert_eq!(calls.load(Ordering::SeqCst), 21);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_full_bulkhead_ends_the_run() {
    let patient = LAYER.refusal_wait(Duration::from_secs(5));
    let full = Error::Full(Refused::TimedOut);
    assert_eq!(once(patient, scripted(vec![Err(full.clone())]), ()).await, Err(full.clone()));
    let (answer, took) = timed(once(patient, scripted(vec![Err(DOWN), Err(full.clone())]), ())).await;
    assert_eq!((answer, took), (gave_up(full, Reason::NotRetryable, 1), 100));
}

#[tokio::test(start_paused = true)]
async fn rule_5_a_time_limit_is_transient_and_what_gave_up_is_not() {
    let late = Error::TimedOut(Duration::from_secs(1));
    assert_eq!(once(LAYER, scripted(vec![Err(late.clone()), Err(late)]), ()).await, Ok(3));
    let GaveUp { error, reason, attempts } = GaveUp { error: DOWN, reason: Reason::Exhausted, attempts: 3 };
    let inner = gave_up::<()>(error, reason, attempts).unwrap_err();
    let outer = gave_up(inner.clone(), Reason::NotRetryable, 1);
    assert_eq!(once(LAYER, scripted(vec![Err(inner)]), ()).await, outer);
    assert_eq!(outer.unwrap_err().inner(), Some(&"down"));
}

fn budget(retries: u32) -> Arc<StdShared<Budget>> {
    let config = budget::Config::TokenBucket { capacity: retries, retry_cost: 1, first_try_gain: 1 };
    Arc::new(StdShared::new(Budget::new(config)))
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_retry_that_the_budget_does_not_pay_for_is_not_made() {
    let budget = budget(3);
    let layer = LAYER.budget(Arc::clone(&budget));
    assert_eq!(once(layer.clone(), scripted(vec![Err(DOWN); 9]), ()).await, gave_up(DOWN, Reason::Exhausted, 3));
    assert_eq!(once(layer.clone(), scripted(vec![Err(DOWN); 9]), ()).await, gave_up(DOWN, Reason::Budget, 2));
    assert_eq!(once(layer.clone(), scripted(vec![Err(DOWN); 9]), ()).await, gave_up(DOWN, Reason::Budget, 1));
    let snapshot = budget.with(|budget, _| budget.snapshot());
    assert_eq!((snapshot.tokens, snapshot.funded, snapshot.refused), (0, 3, 2));
    // A success at the first try pays for the next retry, which gets its cost back by succeeding.
    assert_eq!(once(layer.clone(), scripted(vec![]), ()).await, Ok(1));
    for _ in 0..5 {
        assert_eq!(once(layer.clone(), scripted(vec![Err(DOWN)]), ()).await, Ok(2));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_retry_that_is_not_made_is_paid_back() {
    let budget = budget(3);
    let tokens = || budget.with(|budget, _| budget.snapshot().tokens);
    let mut service = LAYER.budget(Arc::clone(&budget)).layer(scripted(vec![Err(DOWN)]));
    {
        let mut waiting = pin!(service.ready().await.unwrap().call(()));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        assert_eq!(tokens(), 2);
    }
    // `pin!` keeps its value to the end of the block, which was just now.
    assert_eq!(tokens(), 3);
    // One that was made is not.
    let outcome_of_second_never_comes = strict({
        let calls = AtomicU32::new(0);
        let calls = Arc::new(calls);
        move |()| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { Err(DOWN) } else { pending::<Outcome>().await } }
        }
    });
    let run = once(LAYER.budget(Arc::clone(&budget)), outcome_of_second_never_comes, ());
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), run).await.is_err());
    assert_eq!(tokens(), 2);
}

#[tokio::test(start_paused = true)]
async fn rule_7_a_retry_waits_until_its_service_is_ready() {
    let ready_at = TokioClock.now() + Duration::from_secs(2);
    let asked = Arc::new(AtomicU32::new(0));
    let calls = Arc::new(AtomicU32::new(0));
    let inner = strict_when(
        move |()| ready(if calls.fetch_add(1, Ordering::SeqCst) == 0 { Err(DOWN) } else { Ok(()) }),
        move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            if first || TokioClock.now() >= ready_at { Poll::Ready(Ok(())) } else { Poll::Pending }
        },
    );
    let mut run = pin!(once(LAYER, inner, ()));
    assert!(poll_once(run.as_mut()).await.is_pending());
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert!(poll_once(run.as_mut()).await.is_pending(), "it waited, and now asks");
    }
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(at_once(run).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn rule_7_a_service_that_fails_to_become_ready_ends_the_run() {
    let asked = AtomicU32::new(0);
    let dead = Error::Inner("dead");
    let inner = strict_when(
        |()| ready(Err::<(), _>(DOWN)),
        move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Poll::Ready(if first { Ok(()) } else { Err(Error::Inner("dead")) })
        },
    );
    assert_eq!(once(LAYER, inner, ()).await, Err(dead));
}

#[tokio::test(start_paused = true)]
async fn rule_8_the_failed_call_is_dropped_before_the_wait() {
    let held = Arc::new(AtomicBool::new(false));
    let inner = {
        let held = Arc::clone(&held);
        strict(move |()| {
            let held = Arc::clone(&held);
            held.store(true, Ordering::SeqCst);
            let guard = OnDrop(move || held.store(false, Ordering::SeqCst));
            // Not dropped by the end of a block, but with the future.
            let mut done = false;
            poll_fn(move |_| {
                let _guard = &guard;
                assert!(!std::mem::replace(&mut done, true));
                Poll::Ready(Err::<(), _>(DOWN))
            })
        })
    };
    let mut service = LAYER.layer(inner);
    let mut run = pin!(service.ready().await.unwrap().call(()));
    assert!(poll_once(run.as_mut()).await.is_pending());
    assert!(!held.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_makes_no_further_call() {
    let calls = Arc::new(AtomicU32::new(0));
    let counting = {
        let calls = Arc::clone(&calls);
        strict(move |()| {
            calls.fetch_add(1, Ordering::SeqCst);
            ready(Err::<(), _>(DOWN))
        })
    };
    let run = once(LAYER, counting, ());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(150), run).await.is_err());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn over_a_breaker_it_waits_for_the_probe_and_counts_only_what_was_called() {
    use daur_core::reliability::breaker::{Breaker, Config};
    use daur_std::reliability::breaker::SharedBreaker;

    let config = Config { failures: 2, recovery_timeout: Duration::from_secs(5), ..Config::DEFAULT };
    let breaker = Arc::new(SharedBreaker::of(Breaker::new(config), TokioClock));
    let layers = (LAYER.refusal_wait(Duration::from_secs(10)), BreakerLayer::new(breaker));
    let (answer, took) = timed(once(layers, scripted(vec![Err(DOWN), Err(DOWN)]), ())).await;
    // 100 ms to the second failure, which opens; 200 ms to the refusal; what is left of the 5 s to the probe.
    assert_eq!((answer, took), (Ok(3), 5_100));
}

#[test]
fn an_invalid_config_is_refused() {
    let none = Config { max_attempts: Attempts::Limited(0), ..THREE };
    assert_eq!(RetryLayer::try_new(none).err(), Some(ConfigError::NoAttempts));
}
