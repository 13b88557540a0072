//! Retries on tokio, in paused time, and on threads: with a budget, cancelled, dropped, spawned.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use daur_core::reliability::budget::{self, Budget, Unlimited};
use daur_core::reliability::retry::{Attempts, Class, Config, GaveUp, Jitter, Reason};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration};
use daur_std::clock::TokioClock;
use daur_std::reliability::budget::SharedBudget;
use daur_std::reliability::retry::{Cancel, Never, retry, retry_blocking_with, retry_with};
use daur_std::shared::StdShared;

/// Waits of 100 ms and 200 ms between three calls.
const THREE: Config = Config {
    max_attempts: Attempts::Limited(3),
    initial_delay: Duration::from_millis(100),
    jitter: Jitter::None,
    ..Config::DEFAULT
}
.checked();

/// Waits that nobody could sit through.
const HOURS: Config = Config {
    max_attempts: Attempts::Forever,
    initial_delay: Duration::from_secs(3_600),
    max_delay: Duration::from_secs(3_600),
    jitter: Jitter::None,
    ..Config::DEFAULT
}
.checked();

/// So many retries, and nothing for a first success.
const fn retries(retries: u32) -> budget::Config {
    budget::Config::TokenBucket { capacity: 5 * retries, retry_cost: 5, first_try_gain: 1 }
}

fn always<E>(_: &E) -> Class {
    Class::Transient
}

fn down<T>() -> Result<T, &'static str> {
    Err("down")
}

fn sleep(length: Duration) -> tokio::time::Sleep {
    tokio::time::sleep(length.into())
}

#[tokio::test(start_paused = true)]
async fn one_budget_limits_the_retries_of_all_tasks_together() {
    static BUDGET: SharedBudget = SharedBudget::new(retries(10));
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn(retry_with(THREE, &BUDGET, pending(), always, || {
                CALLS.fetch_add(1, Ordering::SeqCst);
                ready(down::<()>())
            }))
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        let gave_up = task.await.unwrap().unwrap_err();
        refused += u32::from(gave_up.reason == Reason::Budget);
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), 60, "50 first tries and 10 retries");
    assert_eq!((BUDGET.snapshot().funded, BUDGET.snapshot().refused), (10, refused));
}

#[tokio::test(start_paused = true)]
async fn a_shared_machine_pays_as_well() {
    let shared = StdShared::with_clock(Budget::new(retries(1)), TokioClock);
    let answer = retry_with(THREE, &shared, pending(), always, || ready(down::<()>())).await;
    assert_eq!(answer, Err(GaveUp { error: "down", reason: Reason::Budget, attempts: 2 }));
    assert_eq!(shared.with(|budget, _| budget.snapshot().refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_while_it_waits_gives_its_retry_back() {
    let budget = SharedBudget::new(retries(1));
    {
        let run = retry_with(HOURS, &budget, pending(), always, || ready(down::<()>()));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), run).await.is_err());
    }
    assert_eq!((budget.snapshot().funded, budget.snapshot().retries_left()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn cancelled_a_wait_ends_at_once_and_no_call_follows() {
    let budget = SharedBudget::new(retries(1));
    let start = TokioClock.now();
    let cancel = sleep(Duration::from_secs(5));
    let answer = retry_with(HOURS, &budget, cancel, always, || ready(down::<()>())).await;
    assert_eq!(answer, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
    assert_eq!((TokioClock.now() - start).as_secs(), 5);
    assert_eq!(budget.snapshot().retries_left(), 1, "the retry was not made");
}

#[tokio::test(start_paused = true)]
async fn cancelled_during_a_call_its_answer_still_counts() {
    let cancel = sleep(Duration::from_secs(1));
    let answer = retry_with(THREE, Unlimited, cancel, always, || async {
        sleep(Duration::from_secs(2)).await;
        Ok::<_, &str>(42)
    });
    assert_eq!(answer.await, Ok(42));
    let cancel = sleep(Duration::from_secs(1));
    let failing = retry_with(THREE, Unlimited, cancel, always, || async {
        sleep(Duration::from_secs(2)).await;
        down::<()>()
    });
    assert_eq!(failing.await, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
}

/// The function form borrows and can be spawned, with a budget in an `Arc` and a channel that cancels.
#[tokio::test(start_paused = true)]
async fn a_run_with_everything_can_be_spawned() {
    let budget = std::sync::Arc::new(SharedBudget::new(retries(5)));
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn({
        let budget = budget.clone();
        async move {
            let name = String::from("borrowed by every call");
            let cancelled = async { _ = cancelled.await };
            retry_with(HOURS, &*budget, cancelled, always, || async {
                tokio::task::yield_now().await;
                Err::<(), _>(name.len())
            })
            .await
        }
    });
    sleep(Duration::from_secs(10)).await;
    cancel.send(()).unwrap();
    assert_eq!(task.await.unwrap(), Err(GaveUp { error: 22, reason: Reason::Cancelled, attempts: 1 }));
}

/// On a host the seed is the operating system's, another one for each run.
#[tokio::test(start_paused = true)]
async fn known_bug_a_fleet_with_one_constant_seed_on_a_host() {
    let config = Config { max_attempts: Attempts::Limited(2), jitter: Jitter::Full, ..HOURS };
    let mut waits = Vec::new();
    for _ in 0..8 {
        let start = TokioClock.now();
        let _ = retry(config, always, || ready(down::<()>())).await;
        waits.push((TokioClock.now() - start).as_millis());
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 4, "eight runs within an hour each: {waits:?}");
}

#[test]
fn rule_1_a_thread_is_cancelled_in_the_middle_of_an_hour() {
    let (cancel, budget) = (Cancel::new(), SharedBudget::new(retries(1)));
    let (called, calls) = mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            retry_blocking_with(HOURS, &budget, &cancel, always, || {
                called.send(()).unwrap();
                down::<()>()
            })
        });
        calls.recv().unwrap();
        cancel.cancel();
        run.join().unwrap()
    });
    assert_eq!(answer, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
    assert!(cancel.is_cancelled());
    assert_eq!(budget.snapshot().retries_left(), 1);
}

#[test]
fn rule_2_it_stays_cancelled_and_all_runs_that_it_was_given_to_end() {
    let cancel = Cancel::new();
    let (called, calls) = mpsc::channel();
    let run = || {
        retry_blocking_with(HOURS, Unlimited, &cancel, always, || {
            called.send(()).unwrap();
            down::<()>()
        })
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| (scope.spawn(run), calls.recv().unwrap())).collect();
        cancel.cancel();
        for (run, ()) in runs {
            assert_eq!(run.join().unwrap().unwrap_err().reason, Reason::Cancelled);
        }
    });
    // A run that comes later makes its call, and no other.
    assert_eq!(run(), Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
}

#[test]
fn on_a_thread_the_budget_refuses_at_once() {
    let budget = SharedBudget::new(budget::Config::ratio(50));
    let refused = retry_blocking_with(HOURS, &budget, &Never, always, down::<()>);
    assert_eq!(refused, Err(GaveUp { error: "down", reason: Reason::Budget, attempts: 1 }));
}
