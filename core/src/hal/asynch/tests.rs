use core::cell::{Cell, RefCell};
use core::future::{pending, ready};
use core::task::{Context, Waker};
use std::boxed::Box;

use super::*;
use crate::reliability::breaker::{self, Breaker, Consecutive, State};
use crate::reliability::bulkhead;
use crate::reliability::executor::{self, Cause, Executor, Failure};
use crate::reliability::retry::Class;
use crate::reliability::retry::Config;
use crate::reliability::retry::{Attempts, Jitter, Reason};
use crate::shared::Shared;
use crate::time::Instant;
use crate::time::{Clock, Duration};

/// A clock that the test moves, and a delay that is over when the clock says so.
#[derive(Default)]
struct World {
    nanos: Cell<u64>,
}

impl Clock for World {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.nanos.get())
    }
}

struct Delay<'a>(&'a World);

impl DelayNs for Delay<'_> {
    async fn delay_ns(&mut self, nanos: u32) {
        let end = self.0.nanos.get() + u64::from(nanos);
        poll_fn(|_| if self.0.nanos.get() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

struct Owned<'a, M>(RefCell<M>, &'a World);

impl<M> Shared for Owned<'_, M> {
    type Machine = M;

    fn with<R>(&self, f: impl FnOnce(&mut M, Instant) -> R) -> R {
        f(&mut self.0.borrow_mut(), self.1.now())
    }
}

/// Polls to the end, one tenth of a second of the world's time between any two polls.
fn block_on<T>(world: &World, future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        world.nanos.set(world.nanos.get() + 100_000_000);
    }
    panic!("it never ends");
}

const SECOND: Duration = Duration::from_secs(1);
const RETRY: Config =
    Config { max_attempts: Attempts::Limited(3), initial_delay: SECOND, jitter: Jitter::None, ..Config::DEFAULT };

#[test]
fn a_long_wait_is_not_cut_to_u32_nanoseconds() {
    let world = World::default();
    block_on(&world, wait(&mut Delay(&world), Duration::from_secs(3_600)));
    assert_eq!(world.now(), Instant::from_secs(3_600));
}

#[test]
fn it_calls_again_after_each_wait_until_it_succeeds() {
    let world = World::default();
    let mut calls = 0;
    let mut delay = Delay(&world);
    let call = || {
        calls += 1;
        ready(if calls < 3 { Err(()) } else { Ok(calls) })
    };
    let result = block_on(&world, retry(RETRY, 1, &world, &mut delay, |()| Class::Transient, call));
    assert_eq!((result, world.now()), (Ok(3), Instant::from_secs(3)));
}

#[test]
fn a_call_that_outlasts_its_deadline_is_dropped_and_counts_as_a_failure() {
    let world = World::default();
    let config = executor::Config { retry: RETRY, attempt_timeout: Some(SECOND), ..executor::Config::DEFAULT };
    let shared = Owned(RefCell::new(Executor::new(config, 1)), &world);
    let mut delay = Delay(&world);
    let run = execute(&shared, &mut delay, |()| Class::Transient, pending::<Result<(), ()>>);
    let execution = block_on(&world, run);
    assert_eq!(execution.result, Err(Failure::TimedOut));
    assert_eq!((execution.attempts, execution.cause), (3, Some(Cause::Retry(Reason::Exhausted))));
    assert_eq!(execution.elapsed, SECOND.times(6));
    assert_eq!(shared.with(|executor, _| executor.breaker().snapshot().consecutive_failures), 3);
}

#[test]
fn a_run_that_is_dropped_during_a_call_gives_its_probe_back() {
    let world = World::default();
    let config = executor::Config {
        breaker: breaker::Config { failures: 1, ..breaker::Config::DEFAULT },
        ..executor::Config::DEFAULT
    };
    let shared = Owned(RefCell::new(Executor::new(config, 1)), &world);
    shared.with(|executor, now| {
        let permit = executor.breaker().try_acquire(now).unwrap();
        executor.breaker().on_failure(permit, now);
    });
    world.nanos.set(SECOND.times(60).as_nanos());
    for _ in 0..3 {
        let mut delay = Delay(&world);
        let mut run = Box::pin(execute(&shared, &mut delay, |()| Class::Transient, pending::<Result<(), ()>>));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let full = shared.with(|executor, now| executor.breaker().try_acquire(now).is_err());
        assert!(full, "the run holds the only probe");
    }
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::HalfOpen);
    let mut delay = Delay(&world);
    let run = execute(&shared, &mut delay, |()| Class::Transient, || ready(Ok(1)));
    assert_eq!(block_on(&world, run).result, Ok(1));
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::Closed);
}

/// One call at a time, and one in line.
fn narrow(world: &World) -> Owned<'_, Executor<Consecutive, 1>> {
    let bulkhead = bulkhead::Config { max_concurrent: 1, max_waiting: 1, max_wait: Some(SECOND.times(5)) };
    let config = executor::Config { retry: RETRY, bulkhead: Some(bulkhead), ..executor::Config::DEFAULT };
    Owned(RefCell::new(Executor::of(config, Breaker::new(config.breaker), 1)), world)
}

#[test]
fn a_run_in_line_makes_its_call_when_the_other_is_done() {
    let world = World::default();
    let shared = narrow(&world);
    let (mut one, mut other, mut third) = (Delay(&world), Delay(&world), Delay(&world));
    let mut first = Box::pin(execute(
        &shared,
        &mut one,
        |()| Class::Transient,
        || async {
            wait(&mut Delay(&world), SECOND).await;
            Ok(1)
        },
    ));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = Box::pin(execute(&shared, &mut other, |()| Class::Transient, || ready(Ok(2))));
    assert!(second.as_mut().poll(&mut context).is_pending());
    let full = block_on(&world, execute(&shared, &mut third, |()| Class::Transient, || ready(Ok(3))));
    assert!(matches!(full.cause, Some(Cause::NoPlace(bulkhead::Refused::Full { .. }))));
    assert_eq!(block_on(&world, first).result, Ok(1));
    assert_eq!(block_on(&world, second).result, Ok(2));
    assert_eq!(world.now(), Instant::from_secs(1));
}

#[test]
fn a_run_waits_in_line_for_as_long_as_it_may() {
    let world = World::default();
    let shared = narrow(&world);
    let (mut one, mut other) = (Delay(&world), Delay(&world));
    let mut first = Box::pin(execute(&shared, &mut one, |()| Class::Transient, pending::<Result<(), ()>>));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let second = block_on(&world, execute(&shared, &mut other, |()| Class::Transient, || ready(Ok(2))));
    assert_eq!(second.result, Err(Failure::NoPlace(bulkhead::Refused::TimedOut)));
    assert_eq!((second.attempts, second.elapsed), (0, SECOND.times(5)));
}
