use core::cell::Cell;
use std::vec::Vec;

use super::*;
use crate::reliability::breaker::{self, Breaker, Consecutive, State};
use crate::reliability::budget::{self, Budget};
use crate::reliability::bulkhead;
use crate::reliability::executor::{self, Cause, Execution, Executor, Failure};
use crate::reliability::retry::Class;
use crate::reliability::retry::{Attempts, Jitter, Reason};
use crate::reliability::retry::{Config, GaveUp};
use crate::shared::Shared;
use crate::time::Instant;
use crate::time::{Clock, Duration};

/// A clock, and the delay that moves it.
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
    fn delay_ns(&mut self, nanos: u32) {
        self.0.nanos.set(self.0.nanos.get() + u64::from(nanos));
    }
}

/// One machine and the world's clock, for one thread.
struct Owned<'a, M>(core::cell::RefCell<M>, &'a World);

impl<M> Shared for Owned<'_, M> {
    type Machine = M;

    fn with<R>(&self, f: impl FnOnce(&mut M, Instant) -> R) -> R {
        f(&mut self.0.borrow_mut(), self.1.now())
    }
}

const SECOND: Duration = Duration::from_secs(1);
const RETRY: Config =
    Config { max_attempts: Attempts::Limited(4), initial_delay: SECOND, jitter: Jitter::None, ..Config::DEFAULT };

#[test]
fn a_long_wait_is_not_cut_to_u32_nanoseconds() {
    let world = World::default();
    for length in [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::from_secs(5), Duration::from_secs(90_001)]
    {
        let before = world.now();
        wait(&mut Delay(&world), length);
        assert_eq!(world.now() - before, length);
    }
}

#[test]
fn it_calls_again_after_each_wait_until_it_succeeds() {
    let world = World::default();
    let mut moments = Vec::new();
    let result = retry(
        RETRY,
        1,
        &world,
        &mut Delay(&world),
        |()| Class::Transient,
        || {
            moments.push(world.now().as_millis());
            if moments.len() < 4 { Err(()) } else { Ok(moments.len()) }
        },
    );
    assert_eq!(result, Ok(4));
    assert_eq!(moments, [0, 1_000, 3_000, 7_000]);
}

#[test]
fn it_gives_the_last_error_back() {
    let world = World::default();
    let mut calls = 0;
    let result: Result<(), _> = retry(
        RETRY,
        1,
        &world,
        &mut Delay(&world),
        |_| Class::Transient,
        || {
            calls += 1;
            Err(calls)
        },
    );
    assert_eq!(result, Err(GaveUp { error: 4, reason: Reason::Exhausted, attempts: 4 }));
}

#[test]
fn an_error_that_a_retry_does_not_help_is_given_back_at_once() {
    let world = World::default();
    let result: Result<(), _> =
        retry(RETRY, 1, &world, &mut Delay(&world), |_| Class::Permanent, || Err("wrong address"));
    assert_eq!(result, Err(GaveUp { error: "wrong address", reason: Reason::NotRetryable, attempts: 1 }));
}

#[test]
fn an_outage_longer_than_the_run_opens_the_breaker_and_the_next_run_waits_for_it() {
    let world = World::default();
    let config = executor::Config {
        retry: RETRY,
        breaker: breaker::Config { failures: 4, recovery_timeout: SECOND.times(20), ..breaker::Config::DEFAULT },
        open_wait: SECOND.times(60),
        ..executor::Config::DEFAULT
    };
    let shared = Owned(core::cell::RefCell::new(Executor::new(config, 1)), &world);
    let works_from = Instant::from_secs(15);
    let read = || if world.now() < works_from { Err("bus") } else { Ok(21) };

    let first = execute(&shared, &mut Delay(&world), |_| Class::Transient, read);
    assert_eq!(first.result, Err(Failure::Error("bus")));
    assert_eq!((first.attempts, first.cause), (4, Some(Cause::Retry(Reason::Exhausted))));
    assert_eq!(first.elapsed, SECOND.times(7));
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::Open);

    let second = execute(&shared, &mut Delay(&world), |_| Class::Transient, read);
    assert_eq!(second.result, Ok(21));
    assert_eq!((second.attempts, second.refused_by_breaker, second.elapsed), (1, 1, SECOND.times(20)));
    assert_eq!(shared.with(|executor, _| executor.breaker().state()), State::Closed);
}

#[test]
fn a_breaker_that_is_open_for_too_long_is_told_at_once() {
    let world = World::default();
    let shared = Owned(core::cell::RefCell::new(Executor::new(executor::Config::DEFAULT, 1)), &world);
    shared.with(|executor, now| executor.breaker().force_open(now));
    let refused: Execution<(), ()> =
        execute(&shared, &mut Delay(&world), |()| Class::Transient, || unreachable!("the breaker is open"));
    assert_eq!(refused.result, Err(Failure::Open { retry_at: Instant::MAX }));
    assert_eq!((refused.attempts, refused.elapsed), (0, Duration::ZERO));
}

#[test]
fn a_call_that_panics_gives_its_probe_back() {
    let world = World::default();
    let config = executor::Config {
        breaker: breaker::Config { failures: 1, recovery_timeout: SECOND, ..breaker::Config::DEFAULT },
        open_wait: SECOND,
        ..executor::Config::DEFAULT
    };
    let shared = Owned(core::cell::RefCell::new(Executor::new(config, 1)), &world);
    let _: Execution<(), ()> = execute(&shared, &mut Delay(&world), |()| Class::Permanent, || Err(()));
    let panicked = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        let _: Execution<(), ()> = execute(&shared, &mut Delay(&world), |()| Class::Transient, || panic!("a bug"));
    }));
    assert!(panicked.is_err());
    let after: Execution<_, ()> = execute(&shared, &mut Delay(&world), |()| Class::Transient, || Ok(1));
    assert_eq!((after.result, after.refused_by_breaker), (Ok(1), 0));
}

#[test]
fn a_run_in_line_looks_for_its_turn_and_gives_up_in_time() {
    let world = World::default();
    let bulkhead = bulkhead::Config { max_concurrent: 1, max_waiting: 1, max_wait: Some(SECOND) };
    let config = executor::Config { retry: RETRY, bulkhead: Some(bulkhead), ..executor::Config::DEFAULT };
    let executor: Executor<Consecutive, 1> = Executor::of(config, Breaker::new(config.breaker), 1);
    let shared = Owned(core::cell::RefCell::new(executor), &world);
    // A call within a call: the outer one has the only place.
    let outer = execute(
        &shared,
        &mut Delay(&world),
        |()| Class::Permanent,
        || {
            let inner: Execution<(), ()> =
                execute(&shared, &mut Delay(&world), |()| Class::Transient, || unreachable!("there is no place"));
            assert_eq!(inner.cause, Some(Cause::NoPlace(bulkhead::Refused::TimedOut)));
            assert_eq!(inner.elapsed, SECOND);
            Ok(1)
        },
    );
    assert_eq!(outer.result, Ok(1));
    assert_eq!(shared.with(|executor, _| executor.snapshot().bulkhead.running), 0);
}

#[test]
fn a_budget_that_is_shared_with_others_ends_the_retries() {
    let world = World::default();
    let shared = Owned(
        core::cell::RefCell::new(Executor::new(executor::Config { retry: RETRY, ..executor::Config::DEFAULT }, 1)),
        &world,
    );
    let budget = Owned(core::cell::RefCell::new(Budget::new(budget::Config::ratio(100))), &world);
    let run: Execution<(), ()> = execute_with(&shared, &budget, &mut Delay(&world), |()| Class::Transient, || Err(()));
    assert_eq!((run.attempts, run.cause), (2, Some(Cause::Retry(Reason::Budget))));
}
