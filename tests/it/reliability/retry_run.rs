//! The run's rules by number: what budget, seed and cancellation add to a retry.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use daur_core::hal::{asynch, blocking};
use daur_core::reliability::budget::{self, Budget, Snapshot};
use daur_core::reliability::retry::{Attempts, Class, Config, Decision, GaveUp, Jitter, Reason, Run};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Clock, Duration, Instant};

/// A clock, the delays that move it, and what happened when.
#[derive(Default)]
struct World {
    nanos: Cell<u64>,
    calls: RefCell<Vec<u64>>,
}

impl World {
    /// A call that fails, and is written down in milliseconds.
    fn call(&self) -> Result<(), &'static str> {
        self.calls.borrow_mut().push(self.now().as_millis());
        Err("down")
    }
}

impl Clock for World {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.nanos.get())
    }
}

struct Delay<'a>(&'a World);

impl embedded_hal::delay::DelayNs for Delay<'_> {
    fn delay_ns(&mut self, nanos: u32) {
        self.0.nanos.set(self.0.nanos.get() + u64::from(nanos));
    }
}

impl embedded_hal_async::delay::DelayNs for Delay<'_> {
    /// Over when the clock says so; the test polls after each change.
    async fn delay_ns(&mut self, nanos: u32) {
        let end = self.0.now() + Duration::from_nanos(u64::from(nanos));
        std::future::poll_fn(|_| if self.0.now() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

type Purse = CsShared<Budget, Instant>;

/// A budget of so many retries, with which each call is of no consequence.
fn purse(retries: u32) -> Purse {
    let config = budget::Config::TokenBucket { capacity: 5 * retries, retry_cost: 5, first_try_gain: 1 };
    CsShared::new(Budget::new(config), Instant::ZERO)
}

fn held(purse: &Purse) -> Snapshot {
    purse.with(|budget, _| budget.snapshot())
}

const CONFIG: Config = Config {
    max_attempts: Attempts::Limited(5),
    initial_delay: Duration::from_secs(1),
    jitter: Jitter::None,
    ..Config::DEFAULT
};

fn always(_: &&str) -> Class {
    Class::Transient
}

#[test]
fn rule_1_the_budget_pays_for_each_retry_and_refuses_what_it_cannot_pay() {
    let (world, purse) = (World::default(), purse(2));
    let run = Run::new(CONFIG, &purse, world.now());
    let gave_up = blocking::retry_with(run, 1, &world, &mut Delay(&world), || false, always, || world.call());
    assert_eq!(gave_up, Err(GaveUp { error: "down", reason: Reason::Budget, attempts: 3 }));
    assert_eq!(*world.calls.borrow(), [0, 1_000, 3_000]);
    assert_eq!((held(&purse).funded, held(&purse).refused, held(&purse).tokens), (2, 1, 0));
}

#[test]
fn rule_1_the_budget_hears_of_the_first_call_and_of_success() {
    let (world, purse) = (World::default(), purse(2));
    let ratio = CsShared::new(Budget::new(budget::Config::ratio(100)), Instant::ZERO);
    for funds in [&purse, &ratio] {
        let run = Run::new(CONFIG, funds, world.now());
        let mut calls = 0;
        let answer = blocking::retry_with(
            run,
            1,
            &world,
            &mut Delay(&world),
            || false,
            always,
            || {
                calls += 1;
                if calls == 1 { Err("down") } else { Ok(calls) }
            },
        );
        assert_eq!(answer, Ok(2));
    }
    assert_eq!(held(&purse).tokens, 10, "the retry's cost came back");
    assert_eq!(held(&ratio).tokens, 0, "the first try funded the retry");
}

#[test]
fn rule_1_what_stops_for_another_reason_takes_nothing_from_the_budget() {
    for (config, class) in [
        (Config { max_attempts: Attempts::Limited(1), ..CONFIG }, Class::Transient),
        (CONFIG, Class::Permanent),
        (Config { max_elapsed: Some(Duration::from_secs(1)), ..CONFIG }, Class::TransientAfter(Duration::from_secs(2))),
    ] {
        let purse = purse(2);
        let mut run = Run::new(config, &purse, Instant::ZERO);
        run.begin();
        assert!(matches!(run.on_failure(class, || 1, Instant::ZERO), Decision::Stop { .. }));
        drop(run);
        assert_eq!((held(&purse).tokens, held(&purse).funded), (10, 0));
    }
}

#[test]
fn rule_2_a_retry_that_is_not_made_goes_back_to_the_budget() {
    let purse = purse(2);
    let full = held(&purse);
    let mut run = Run::new(CONFIG, &purse, Instant::ZERO);
    run.begin();
    assert!(matches!(run.on_failure(Class::Transient, || 1, Instant::ZERO), Decision::Retry { .. }));
    assert_eq!(held(&purse).tokens, 5);
    run.cancel();
    run.cancel();
    drop(run);
    assert_eq!(held(&purse), full, "and only once");

    let mut made = Run::new(CONFIG, &purse, Instant::ZERO);
    made.begin();
    let _ = made.on_failure(Class::Transient, || 1, Instant::ZERO);
    made.begin();
    drop(made);
    assert_eq!(held(&purse).tokens, 5, "a retry that was made does not, whatever became of it");
}

#[test]
fn rule_2_a_future_that_is_dropped_while_it_waits_gives_its_retry_back() {
    let (world, purse) = (World::default(), purse(2));
    let full = held(&purse);
    let mut delay = Delay(&world);
    {
        let run = Run::new(CONFIG, &purse, world.now());
        let call = || ready(world.call());
        let mut run = pin!(asynch::retry_with(run, 1, &world, &mut delay, pending(), always, call));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(held(&purse).tokens, 5, "it waits, and has paid");
    }
    assert_eq!(held(&purse), full);
    assert_eq!(world.calls.borrow().len(), 1, "and makes no further call");
}

#[test]
fn rule_3_a_flag_ends_the_wait_within_ten_milliseconds() {
    let (world, purse) = (World::default(), purse(2));
    let pressed_at = Instant::from_millis(1_515);
    let run = Run::new(CONFIG, &purse, world.now());
    let pressed = || world.now() >= pressed_at;
    let gave_up = blocking::retry_with(run, 1, &world, &mut Delay(&world), pressed, always, || world.call());
    assert_eq!(gave_up, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 2 }));
    assert!(world.now() >= pressed_at && world.now() - pressed_at <= Duration::from_millis(10));
    assert_eq!((held(&purse).tokens, held(&purse).funded), (5, 1), "the second retry was not made");
}

#[test]
fn rule_3_a_cancelled_run_makes_no_further_call_even_without_a_wait() {
    let world = World::default();
    let config = Config { initial_delay: Duration::ZERO, ..CONFIG };
    let run = || Run::new(config, None::<&Purse>, world.now());
    let blocking = blocking::retry_with(run(), 1, &world, &mut Delay(&world), || true, always, || world.call());
    assert_eq!(blocking, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
    let mut delay = Delay(&world);
    let call = || ready(world.call());
    let mut run = pin!(asynch::retry_with(run(), 1, &world, &mut delay, ready(()), always, call));
    let answer = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(answer, Poll::Ready(Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 })));
}

#[test]
fn rule_3_a_call_under_way_is_finished_and_its_answer_counts() {
    let (world, answered) = (World::default(), Cell::new(false));
    let mut delay = Delay(&world);
    let run = Run::new(CONFIG, None::<&Purse>, world.now());
    let call = || std::future::poll_fn(|_| if answered.get() { Poll::Ready(Ok::<_, &str>(42)) } else { Poll::Pending });
    let mut run = pin!(asynch::retry_with(run, 1, &world, &mut delay, ready(()), always, call));
    let mut context = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut context).is_pending());
    answered.set(true);
    assert_eq!(run.as_mut().poll(&mut context), Poll::Ready(Ok(42)));
}

#[test]
fn rule_4_the_seed_is_asked_for_at_the_first_failure_only() {
    let asked = Cell::new(0);
    let seed = || {
        asked.set(asked.get() + 1);
        7
    };
    let mut run = Run::new(CONFIG, None::<&Purse>, Instant::ZERO);
    run.begin();
    assert_eq!(asked.get(), 0);
    for _ in 0..4 {
        assert!(matches!(run.on_failure(Class::Transient, seed, Instant::ZERO), Decision::Retry { .. }));
        run.begin();
    }
    assert_eq!((asked.get(), run.attempts()), (1, 5));
}

/// Not told of each call, a run would have gone on with the same seed as all others.
#[test]
fn rule_4_the_seed_is_asked_for_whatever_was_told_before_the_failure() {
    for begun in [0, 1, 2] {
        let mut run = Run::new(CONFIG, None::<&Purse>, Instant::ZERO);
        for _ in 0..begun {
            run.begin();
        }
        let mut asked = 0;
        for _ in 0..2 {
            let seed = || {
                asked += 1;
                7
            };
            let _ = run.on_failure(Class::Transient, seed, Instant::ZERO);
        }
        assert_eq!(asked, 1, "begun {begun} times");
    }
}

#[test]
fn a_blocking_wait_of_a_day_is_a_day_with_or_without_a_flag() {
    let day = Duration::from_secs(86_400);
    let config = Config { max_attempts: Attempts::Limited(2), initial_delay: day, max_delay: day, ..CONFIG };
    let world = World::default();
    let plain = blocking::retry(config, 1, &world, &mut Delay(&world), always, || world.call());
    assert_eq!(plain, Err(GaveUp { error: "down", reason: Reason::Exhausted, attempts: 2 }));
    let run = Run::new(config, None::<&Purse>, world.now());
    let flagged = blocking::retry_with(run, 1, &world, &mut Delay(&world), || false, always, || world.call());
    assert_eq!(flagged, plain);
    assert_eq!(*world.calls.borrow(), [0, 86_400_000, 86_400_000, 172_800_000]);
}

/// One response of AWS's test cases for the standard retry mode of its SDKs, and what is right then.
enum Response {
    Fails { delay: u64, quota: u32 },
    FailsForGood { reason: Reason, quota: u32 },
    Succeeds { quota: u32 },
}
use Response::{Fails, FailsForGood, Succeeds};

fn standard_mode(max_attempts: u32, tokens: u32, max_backoff: u64, responses: &[Response]) {
    let config =
        Config { max_attempts: Attempts::Limited(max_attempts), max_delay: Duration::from_secs(max_backoff), ..CONFIG };
    let purse = purse(tokens.max(5) / 5);
    if tokens == 0 {
        purse.with(|budget, _| budget.try_retry()).unwrap();
    }
    let mut run = Run::new(config, &purse, Instant::ZERO);
    for response in responses {
        run.begin();
        let quota = match *response {
            Fails { delay, quota } => {
                let after = Duration::from_secs(delay);
                assert_eq!(run.on_failure(Class::Transient, || 1, Instant::ZERO), Decision::Retry { after });
                quota
            }
            FailsForGood { reason, quota } => {
                assert_eq!(run.on_failure(Class::Transient, || 1, Instant::ZERO), Decision::Stop { reason });
                quota
            }
            Succeeds { quota } => {
                run.on_success();
                quota
            }
        };
        assert_eq!(held(&purse).tokens, quota);
    }
}

#[test]
fn aws_standard_mode_a_retry_eventually_succeeds() {
    let responses = [Fails { delay: 1, quota: 495 }, Fails { delay: 2, quota: 490 }, Succeeds { quota: 495 }];
    standard_mode(3, 500, 20, &responses);
}

#[test]
fn aws_standard_mode_max_attempts_are_reached() {
    let last = FailsForGood { reason: Reason::Exhausted, quota: 490 };
    standard_mode(3, 500, 20, &[Fails { delay: 1, quota: 495 }, Fails { delay: 2, quota: 490 }, last]);
}

#[test]
fn aws_standard_mode_the_quota_is_reached_after_a_single_retry() {
    let last = FailsForGood { reason: Reason::Budget, quota: 0 };
    standard_mode(3, 5, 20, &[Fails { delay: 1, quota: 0 }, last]);
}

#[test]
fn aws_standard_mode_no_retries_at_a_quota_of_0() {
    standard_mode(3, 0, 20, &[FailsForGood { reason: Reason::Budget, quota: 0 }]);
}

#[test]
fn aws_standard_mode_backoff_doubles_up_to_its_maximum() {
    for (max_backoff, delays) in [(20, [1, 2, 4, 8]), (3, [1, 2, 3, 3])] {
        let mut responses: Vec<_> =
            delays.into_iter().zip([495, 490, 485, 480]).map(|(delay, quota)| Fails { delay, quota }).collect();
        responses.push(FailsForGood { reason: Reason::Exhausted, quota: 480 });
        standard_mode(5, 500, max_backoff, &responses);
    }
}
