//! Bulkhead, hedge and executor on tokio, in paused time, and on threads.

use std::cell::Cell;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use daur_core::reliability::breaker::{self, Breaker, Consecutive, State};
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::bulkhead::{self, Refused};
use daur_core::reliability::executor::{Cause, Config, Driver, Executor, Failure, Step};
use daur_core::reliability::retry::{self, Attempts, Class, Jitter, Reason};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::{ManualClock, TokioClock};
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::executor::{execute, execute_blocking, execute_blocking_with, execute_with};
use daur_std::reliability::hedge::{self, Hedge};
use daur_std::reliability::resilient_executor;
use daur_std::shared::StdShared;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
const ONE: bulkhead::Config = bulkhead::Config { max_concurrent: 1, max_waiting: 2, max_wait: None };

fn always<E>(_: &E) -> Class {
    Class::Transient
}

fn bulkhead_of(config: bulkhead::Config) -> SharedBulkhead<256, TokioClock> {
    SharedBulkhead::with_clock(config, TokioClock).expect("valid")
}

/// Polls once, with a waker that counts.
fn poll_once<F: Future + Unpin>(future: &mut F, woken: &Arc<Woken>) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Woken {
    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

mod in_a_bulkhead {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rule_1_a_place_comes_back_at_the_end_after_a_panic_and_with_a_dropped_future() {
        let bulkhead = bulkhead_of(ONE);
        assert_eq!(bulkhead.call_async(ready(1)).await, Ok(1));
        let panicking = || bulkhead.call(|| panic!("the caller's"));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert!(tokio::time::timeout(SECOND, bulkhead.call_async(pending::<()>())).await.is_err());
        let spawned = tokio::spawn({
            let bulkhead = bulkhead.clone();
            async move { bulkhead.call_async(async { panic!("the task's") }).await.map(|()| 0) }
        });
        assert!(spawned.await.is_err());
        assert_eq!(bulkhead.snapshot().running, 0);
        assert!(bulkhead.try_acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn rule_2_whoever_is_dropped_while_waiting_leaves_the_line() {
        let bulkhead = bulkhead_of(ONE);
        let place = bulkhead.try_acquire().unwrap();
        assert!(tokio::time::timeout(SECOND, bulkhead.acquire()).await.is_err());
        assert_eq!(bulkhead.snapshot().waiting, 0);
        drop(place);
        assert!(bulkhead.try_acquire().is_ok());
    }

    #[test]
    fn rule_2_a_turn_that_had_come_is_passed_on_when_its_future_is_dropped() {
        let bulkhead = bulkhead_of(ONE);
        let place = bulkhead.try_acquire().unwrap();
        let (first_woken, second_woken) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (mut first, mut second) = (bulkhead.start(), bulkhead.start());
        assert!(poll_once(&mut first, &first_woken).is_pending());
        assert!(poll_once(&mut second, &second_woken).is_pending());
        drop(place);
        assert_eq!((first_woken.count(), second_woken.count()), (1, 0), "rule 3: nobody else is woken");
        drop(first);
        assert_eq!(second_woken.count(), 1);
        assert!(matches!(poll_once(&mut second, &second_woken), Poll::Ready(Ok(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_3_callers_are_served_in_the_order_in_which_they_came() {
        let bulkhead = bulkhead_of(bulkhead::Config { max_waiting: 200, ..ONE });
        let place = bulkhead.try_acquire().unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let (bulkhead, order) = (bulkhead.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    let _place = bulkhead.acquire().await.expect("there is room in line");
                    order.lock().unwrap().push(n);
                    tokio::task::yield_now().await;
                })
            })
            .collect();
        while bulkhead.snapshot().waiting < 200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bulkhead.acquire().await.unwrap_err(), Refused::Full { running: 1, waiting: 200 });
        drop(place);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn rule_3_whoever_is_dropped_before_the_turn_has_come_is_not_woken() {
        let bulkhead = bulkhead_of(ONE);
        let _place = bulkhead.try_acquire().unwrap();
        let woken = Arc::new(Woken::default());
        // Who asks anew at each poll would else be polled for ever.
        for _ in 0..3 {
            assert!(poll_once(&mut bulkhead.start(), &woken).is_pending());
        }
        assert_eq!((woken.count(), bulkhead.snapshot().waiting), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_turn_is_lost_when_some_are_dropped_while_it_comes() {
        let bulkhead = bulkhead_of(bulkhead::Config { max_concurrent: 2, max_waiting: 64, max_wait: None });
        let tasks = (0_u32..16).map(|task| {
            let bulkhead = bulkhead.clone();
            tokio::spawn(async move {
                for round in 0..400 {
                    // Some give up after so many polls; the others must all get through.
                    let mut polls_left = (task * 7 + round) % 5;
                    let mut place = bulkhead.start();
                    let place = std::future::poll_fn(|context| match place.poll_acquire(context) {
                        Poll::Ready(place) => Poll::Ready(Some(place.expect("there is room in line"))),
                        Poll::Pending if task % 2 == 0 => Poll::Pending,
                        Poll::Pending if polls_left == 0 => Poll::Ready(None),
                        Poll::Pending => {
                            polls_left -= 1;
                            context.waker().wake_by_ref();
                            Poll::Pending
                        }
                    });
                    let _place = place.await;
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let shown = bulkhead.snapshot();
        assert_eq!((shown.running, shown.waiting, shown.refused), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_max_wait() {
        let bulkhead = bulkhead_of(bulkhead::Config { max_wait: Some(Duration::from_secs(5)), ..ONE });
        let _place = bulkhead.try_acquire().unwrap();
        let start = TokioClock.now();
        assert_eq!(bulkhead.acquire().await.unwrap_err(), Refused::TimedOut);
        assert_eq!((TokioClock.now() - start).as_secs(), 5);
        assert_eq!(bulkhead.snapshot().timed_out, 1);
    }

    #[test]
    fn threads_and_tasks_never_run_more_than_may() {
        let bulkhead: SharedBulkhead =
            SharedBulkhead::new(bulkhead::Config { max_concurrent: 3, max_waiting: 16, max_wait: None }).unwrap();
        let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::hint::spin_loop();
            running.fetch_sub(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _place = bulkhead.acquire_blocking().expect("there is room in line");
                        work();
                    }
                });
            }
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for _ in 0..500 {
                        bulkhead.call_async(async { work() }).await.expect("there is room in line");
                    }
                });
            });
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        let shown = bulkhead.snapshot();
        assert_eq!((shown.admitted, shown.running, shown.waiting, shown.refused), (4_500, 0, 0, 0));
    }
}

mod hedged {
    use super::*;

    const AFTER_A_SECOND: hedge::Config = hedge::Config { delay: Duration::from_secs(1) };

    /// A call that answers after so many seconds.
    async fn answer<E>(after: u32, answer: Result<u32, E>) -> Result<u32, E> {
        tokio::time::sleep(SECOND * after).await;
        answer
    }

    /// Makes the calls one after the other, and gives the answer with the seconds it took.
    async fn race(hedge: &Hedge, calls: [(u32, Result<u32, &'static str>); 2]) -> (Result<u32, &'static str>, u64) {
        let start = TokioClock.now();
        let mut calls = calls.into_iter();
        let given = hedge.call(|| calls.next().map(|(after, with)| answer(after, with)).expect("never a third")).await;
        (given, (TokioClock.now() - start).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn rule_1_a_call_that_is_quick_is_made_once() {
        let hedge = Hedge::new(hedge::Config { delay: Duration::from_secs(2) });
        assert_eq!(race(&hedge, [(1, Ok(1)), (0, Ok(2))]).await, (Ok(1), 1));
        let shown = hedge.snapshot();
        assert_eq!((shown.calls, shown.hedged, shown.won), (1, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_2_the_first_success_is_the_answer() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        assert_eq!(race(&hedge, [(10, Ok(1)), (2, Ok(2))]).await, (Ok(2), 3));
        assert_eq!(race(&hedge, [(2, Ok(1)), (10, Ok(2))]).await, (Ok(1), 2));
        let shown = hedge.snapshot();
        assert_eq!((shown.calls, shown.hedged, shown.won), (2, 2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_2_the_other_call_is_dropped_before_the_answer_is_given() {
        struct Under<'a>(&'a Cell<u32>);
        impl Drop for Under<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let hedge = Hedge::new(AFTER_A_SECOND);
        let (calls, under_way) = (Cell::new(0), Cell::new(0));
        let given = hedge.call(|| {
            calls.set(calls.get() + 1);
            under_way.set(under_way.get() + 1);
            let (under, slow) = (Under(&under_way), calls.get() == 1);
            async move {
                let _under = under;
                if slow { pending().await } else { Ok::<_, ()>(()) }
            }
        });
        assert_eq!((given.await, calls.get(), under_way.get()), (Ok(()), 2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_3_a_failure_within_the_delay_is_the_answer_and_a_later_one_waits_for_the_other() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        assert_eq!(race(&hedge, [(0, Err("at once")), (0, Ok(2))]).await, (Err("at once"), 0));
        assert_eq!(race(&hedge, [(2, Err("first")), (5, Ok(2))]).await, (Ok(2), 6));
        assert_eq!(race(&hedge, [(5, Ok(1)), (0, Err("second"))]).await, (Ok(1), 5));
        assert_eq!(race(&hedge, [(2, Err("first")), (5, Err("second"))]).await, (Err("second"), 6));
        assert_eq!(race(&hedge, [(5, Err("first")), (0, Err("second"))]).await, (Err("first"), 5));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_4_dropped_it_drops_both_and_gives_both_places_back() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        let bulkhead = bulkhead_of(bulkhead::Config { max_concurrent: 2, ..ONE });
        {
            let mut call = pin!(hedge.call_within(&bulkhead, pending::<Result<(), ()>>));
            assert!(tokio::time::timeout(SECOND * 2, &mut call).await.is_err());
            assert_eq!(bulkhead.snapshot().running, 2);
        }
        assert_eq!(bulkhead.snapshot().running, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_as_soon_as_its_call_is_over() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        let bulkhead = bulkhead_of(bulkhead::Config { max_concurrent: 2, ..ONE });
        for lengths in [[2, 10], [10, 1]] {
            let mut calls = lengths.into_iter();
            // Whichever is over first fails.
            let call = || {
                let length = calls.next().expect("never a third");
                answer(length, if length < 10 { Err("down") } else { Ok(1) })
            };
            let mut call = pin!(hedge.call_within(&bulkhead, call));
            assert!(tokio::time::timeout(SECOND * 3 / 2, &mut call).await.is_err());
            assert_eq!(bulkhead.snapshot().running, 2);
            assert!(tokio::time::timeout(SECOND, &mut call).await.is_err());
            assert_eq!(bulkhead.snapshot().running, 1);
            assert_eq!(call.await, Ok(Ok(1)));
            assert_eq!(bulkhead.snapshot().running, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_either_call_gives_both_places_back() {
        for panics in [1, 2] {
            let hedge = Hedge::new(AFTER_A_SECOND);
            let bulkhead = bulkhead_of(bulkhead::Config { max_concurrent: 2, ..ONE });
            let places = bulkhead.clone();
            let task = tokio::spawn(async move {
                let mut calls = 0;
                let call = || {
                    calls += 1;
                    let nth = calls;
                    async move {
                        tokio::time::sleep(SECOND * 2).await;
                        if nth == panics {
                            panic!("the caller's")
                        }
                        pending::<Result<(), ()>>().await
                    }
                };
                hedge.call_within(&places, call).await
            });
            assert!(task.await.unwrap_err().is_panic());
            assert_eq!(bulkhead.snapshot().running, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rule_5_without_a_place_the_second_call_is_not_made() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        let bulkhead = bulkhead_of(ONE);
        let given = hedge.call_within(&bulkhead, || answer(3, Ok::<_, ()>(1))).await;
        assert_eq!(given, Ok(Ok(1)));
        let shown = hedge.snapshot();
        assert_eq!((shown.hedged, shown.withheld), (0, 1));
        assert_eq!(bulkhead.snapshot().running, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_5_second_calls_stay_within_the_budget() {
        let hedge = Hedge::new(AFTER_A_SECOND);
        let budget = StdShared::with_clock(Budget::new(budget::Config::ratio(20)), TokioClock);
        for _ in 0..10 {
            assert_eq!(hedge.call_funded(&budget, || answer(3, Ok::<_, ()>(1))).await, Ok(1));
        }
        let shown = hedge.snapshot();
        assert_eq!((shown.calls, shown.hedged, shown.withheld), (10, 2, 8));
    }

    #[test]
    fn a_hedge_without_a_delay_is_refused() {
        let error = Hedge::try_new(hedge::Config { delay: Duration::ZERO }).expect_err("invalid");
        assert_eq!(error.to_string(), "hedge: `delay` is 0, which would make every call twice");
    }
}

/// Waits of one second between three calls.
const THREE: retry::Config = retry::Config {
    max_attempts: Attempts::Limited(3),
    initial_delay: Duration::from_secs(1),
    strategy: retry::Strategy::Constant,
    jitter: Jitter::None,
    ..retry::Config::DEFAULT
}
.checked();

const NARROW: Config = Config { retry: THREE, bulkhead: Some(ONE), ..Config::DEFAULT };

type Narrow<C> = StdShared<Executor<Consecutive, 2>, C>;

fn narrow<C>(config: Config, clock: C) -> Narrow<C> {
    StdShared::with_clock(Executor::of(config, Breaker::new(config.breaker), 7), clock)
}

fn bulkhead_shown<C: Clock>(shared: &Narrow<C>) -> (u32, u32) {
    let shown = shared.with(|executor, _| executor.snapshot().bulkhead);
    (shown.running, shown.waiting)
}

#[tokio::test(start_paused = true)]
async fn runs_take_turns_in_the_bulkhead_of_their_executor() {
    let shared = Arc::new(narrow(NARROW, TokioClock));
    let start = TokioClock.now();
    let runs = [(); 3].map(|()| {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let call = || async {
                tokio::time::sleep(SECOND).await;
                Ok::<_, &str>(())
            };
            execute(&*shared, always, call).await.result
        })
    });
    for run in runs {
        assert_eq!(run.await.unwrap(), Ok(()));
    }
    assert_eq!((TokioClock.now() - start).as_secs(), 3, "one after the other");
    assert_eq!(bulkhead_shown(&shared), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_is_told_at_once_and_not_retried() {
    let shared = narrow(Config { bulkhead: Some(bulkhead::Config { max_waiting: 0, ..ONE }), ..NARROW }, TokioClock);
    let mut slow = pin!(execute(&shared, always, pending::<Result<(), &str>>));
    assert!(tokio::time::timeout(SECOND, &mut slow).await.is_err());
    let refused = Refused::Full { running: 1, waiting: 0 };
    let run = execute(&shared, always, || ready(Ok::<_, &str>(()))).await;
    assert_eq!((run.result, run.cause), (Err(Failure::NoPlace(refused)), Some(Cause::NoPlace(refused))));
    assert_eq!((run.attempts, run.elapsed), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_returns_its_permit() {
    let breaker = breaker::Config { failures: 1, recovery_timeout: Duration::from_secs(1), ..breaker::Config::DEFAULT };
    let shared = narrow(Config { breaker, ..NARROW }, TokioClock);
    let _down = execute(&shared, |_| Class::Permanent, || ready(Err::<(), _>("down"))).await;
    tokio::time::advance(SECOND).await;
    for _ in 0..3 {
        let calling = execute(&shared, always, pending::<Result<(), &str>>);
        assert!(tokio::time::timeout(SECOND, calling).await.is_err());
        assert_eq!(bulkhead_shown(&shared), (0, 0), "the place is back");
        assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::HalfOpen);
    }
    assert_eq!(execute(&shared, always, || ready(Ok::<_, &str>(1))).await.result, Ok(1), "the probe is back");
}

/// Polled so many times and then dropped, wherever it is: in line, in a call, in a wait, waiting for the breaker.
#[tokio::test(start_paused = true)]
async fn a_run_dropped_after_any_poll_gives_everything_back() {
    const BUDGET: budget::Config = budget::Config::TokenBucket { capacity: 100, retry_cost: 5, first_try_gain: 1 };
    let breaker = breaker::Config { failures: 2, recovery_timeout: Duration::from_secs(3), ..breaker::Config::DEFAULT };
    let config = Config {
        breaker,
        budget: Some(BUDGET),
        attempt_timeout: Some(Duration::from_secs(2)),
        open_wait: Duration::from_secs(60),
        ..NARROW
    };
    let (mut polls, mut ended) = (0, false);
    while !ended {
        polls += 1;
        let shared = narrow(config, TokioClock);
        let others = StdShared::with_clock(Budget::new(BUDGET), TokioClock);
        let mut ahead = Some(Box::pin(execute(&shared, always, || async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, &str>(())
        })));
        assert!(poll_now(ahead.as_mut().unwrap()).await.is_pending());
        let calls = Cell::new(0_u32);
        let mut run = Box::pin(execute_with(&shared, &others, always, || {
            calls.set(calls.get() + 1);
            let nth = calls.get();
            async move {
                tokio::time::sleep(SECOND / 2).await;
                match nth {
                    1 => Err("down"),
                    2 => pending().await,
                    _ => Ok(nth),
                }
            }
        }));
        for _ in 0..polls {
            if let Poll::Ready(run) = poll_now(&mut run).await {
                assert_eq!((run.result, run.attempts, run.refused_by_breaker), (Ok(3), 3, 1));
                ended = true;
                break;
            }
            // Somebody else's run ends meanwhile.
            if let Some(run) = &mut ahead
                && poll_now(run).await.is_ready()
            {
                ahead = None;
            }
            tokio::time::advance(SECOND / 4).await;
        }
        drop(run);
        drop(ahead);
        assert_eq!(bulkhead_shown(&shared), (0, 0), "after {polls} polls");
        let made = calls.get().saturating_sub(1);
        let paid = if ended { 5 * (made - 1) } else { 5 * made };
        assert_eq!(others.with(|budget, _| budget.snapshot().tokens), 100 - paid, "after {polls} polls");
        tokio::time::advance(SECOND * 60).await;
        let probe = execute(&shared, always, || ready(Ok::<_, &str>(1))).await;
        assert_eq!((probe.result, probe.attempts), (Ok(1), 1), "after {polls} polls");
    }
    assert!(polls > 20, "{polls}");
}

/// Polls once.
async fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))).await
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_in_line_leaves_it() {
    let shared = narrow(NARROW, TokioClock);
    let mut slow = Box::pin(execute(&shared, always, pending::<Result<(), &str>>));
    assert!(tokio::time::timeout(SECOND, &mut slow).await.is_err());
    let waiting = execute(&shared, always, || ready(Ok::<_, &str>(())));
    assert!(tokio::time::timeout(SECOND, waiting).await.is_err());
    assert_eq!(bulkhead_shown(&shared), (1, 0));
    drop(slow);
    assert_eq!(bulkhead_shown(&shared), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_total_time_ends_a_wait_in_line() {
    let shared = narrow(Config { total_timeout: Some(Duration::from_secs(5)), ..NARROW }, TokioClock);
    let place = shared.with(|executor, now| {
        let mut run = executor.start(now);
        executor.admit(&mut run, now)
    });
    let start = TokioClock.now();
    let run = execute(&shared, always, || ready(Ok::<_, &str>(()))).await;
    assert_eq!((run.result, run.cause, run.attempts), (Err(Failure::TimedOut), Some(Cause::TimedOut), 0));
    assert_eq!((TokioClock.now() - start).as_secs(), 5);
    assert_eq!(bulkhead_shown(&shared), (1, 0));
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn a_shared_budget_limits_the_retries_of_two_executors() {
    let budget = StdShared::with_clock(Budget::new(budget::Config::ratio(60)), TokioClock);
    let config = Config { breaker: breaker::Config { failures: 1_000, ..breaker::Config::DEFAULT }, ..NARROW };
    let both = [narrow(config, TokioClock), narrow(config, TokioClock)];
    let mut calls = 0;
    for n in 0..10 {
        let run = execute_with(&both[n % 2], &budget, always, || ready(Err::<(), _>("down"))).await;
        calls += run.attempts;
        assert_eq!(run.cause, Some(Cause::Retry(Reason::Budget)));
    }
    assert_eq!(calls, 10 + 6, "60 % of 10 first tries");
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_wait_is_cancelled_is_given_back_to_both_budgets() {
    const BUDGET: budget::Config = budget::Config::TokenBucket { capacity: 5, retry_cost: 5, first_try_gain: 1 };
    let shared = narrow(Config { budget: Some(BUDGET), ..NARROW }, TokioClock);
    let others = StdShared::with_clock(Budget::new(BUDGET), TokioClock);
    for _ in 0..3 {
        let waiting = execute_with(&shared, &others, always, || ready(Err::<(), _>("down")));
        assert!(tokio::time::timeout(SECOND / 2, waiting).await.is_err());
    }
    assert_eq!(others.with(|budget, _| budget.snapshot().tokens), 5);
    assert_eq!(shared.with(|executor, _| executor.snapshot().budget.map(|budget| budget.tokens)), Some(5));
}

#[test]
fn a_thread_in_line_is_woken_when_its_turn_has_come() {
    let shared = narrow(NARROW, daur_std::clock::StdClock);
    let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let run = execute_blocking(&shared, always, || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, &str>(())
                    });
                    assert_eq!(run.result, Ok(()));
                }
            });
        }
    });
    assert_eq!((most.load(Ordering::SeqCst), bulkhead_shown(&shared)), (1, (0, 0)));
}

#[test]
fn a_thread_stays_within_a_shared_budget_too() {
    let at_once = retry::Config { initial_delay: Duration::ZERO, max_delay: Duration::ZERO, ..THREE };
    let shared = narrow(Config { retry: at_once, ..NARROW }, Instant::ZERO);
    let budget = StdShared::with_clock(Budget::new(budget::Config::ratio(100)), Instant::ZERO);
    let run = execute_blocking_with(&shared, &budget, always, || Err::<(), _>("down"));
    assert_eq!((run.attempts, run.cause), (2, Some(Cause::Retry(Reason::Budget))));
}

#[test]
fn a_run_can_be_cancelled_between_its_calls() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let shared = narrow(NARROW, &clock);
    let budget = StdShared::with_clock(Budget::new(budget::Config::ratio(100)), &clock);
    let mut driver = Driver::new(&shared, &budget);
    let Step::Call { guard, .. } = driver.next::<()>(None) else { panic!("not admitted") };
    driver.fail(guard, Failure::Error("down"), Class::Transient);
    assert_eq!(budget.with(|budget, _| budget.snapshot().retries_left()), 0);
    driver.cancel();
    let Step::End(run) = driver.next::<()>(None) else { panic!("it goes on") };
    assert_eq!((run.result, run.cause), (Err(Failure::Error("down")), Some(Cause::Retry(Reason::Cancelled))));
    assert_eq!(budget.with(|budget, _| budget.snapshot().retries_left()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_is_one_attempt_of_its_executor() {
    let shared = narrow(Config { attempt_timeout: Some(Duration::from_secs(10)), ..NARROW }, TokioClock);
    let hedge = Hedge::new(hedge::Config { delay: Duration::from_secs(1) });
    let calls = Cell::new(0);
    let run = execute(&shared, always, || {
        hedge.call(|| {
            calls.set(calls.get() + 1);
            let slow = calls.get() == 1;
            async move { if slow { pending().await } else { Ok::<_, &str>(1) } }
        })
    });
    let run = run.await;
    assert_eq!((run.result, run.attempts, calls.get()), (Ok(1), 1, 2));
    assert_eq!(bulkhead_shown(&shared), (0, 0));
}

#[test]
fn the_executor_of_the_process_is_one() {
    assert!(std::ptr::eq(resilient_executor(), resilient_executor()));
    let run = execute_blocking(resilient_executor(), always, || Ok::<_, &str>(42));
    assert!(run.success());
    assert_eq!(resilient_executor().with(|executor, _| executor.snapshot().bulkhead.running), 0);
}
