use std::sync::{Mutex, MutexGuard, PoisonError};

use embassy_time::MockDriver;

use super::*;
use crate::time::Duration;

/// There is one driver for all tests: only one of them at a time may count on it.
fn driver() -> (&'static MockDriver, MutexGuard<'static, ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    (MockDriver::get(), ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn rule_1_the_clock_follows_the_driver() {
    let (driver, _guard) = driver();
    let before = EmbassyClock.now();
    driver.advance(embassy_time::Duration::from_secs(90_000));
    assert_eq!(EmbassyClock.now() - before, Duration::from_secs(90_000));
    driver.advance(embassy_time::Duration::from_ticks(1));
    assert_eq!(
        EmbassyClock.now() - before,
        Duration::from_secs(90_000) + Duration::from_nanos(1_000_000_000 / u64::from(HZ))
    );
}

#[cfg(feature = "macros")]
#[test]
fn rule_2_a_wait_is_over_no_earlier_than_asked_for() {
    use crate::attributes::AsyncSleep;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};

    let (driver, _guard) = driver();
    let mut sleep = pin!(EmbassyClock.sleep(Duration::from_nanos(2_500)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(sleep.as_mut().poll(&mut context).is_pending());
    driver.advance(embassy_time::Duration::from_micros(2));
    assert!(sleep.as_mut().poll(&mut context).is_pending());
    driver.advance(embassy_time::Duration::from_micros(1));
    assert!(sleep.as_mut().poll(&mut context).is_ready());
}

#[cfg(feature = "embedded-hal-async")]
#[test]
fn the_async_runner_takes_the_delay_of_embassy_as_it_is() {
    use crate::hal::asynch;
    use crate::reliability::retry::{Attempts, Class, Config, Jitter};
    use core::future::{Future, ready};
    use core::pin::pin;
    use core::task::{Context, Waker};

    let (driver, _guard) = driver();
    let config = Config { max_attempts: Attempts::Limited(2), jitter: Jitter::None, ..Config::DEFAULT };
    let mut delay = embassy_time::Delay;
    let mut calls = 0;
    let read = || {
        calls += 1;
        ready(if calls < 2 { Err("bus") } else { Ok(42) })
    };
    let mut run = pin!(asynch::retry(config, 7, &EmbassyClock, &mut delay, |_| Class::Transient, read));
    let mut context = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut context).is_pending());
    driver.advance(embassy_time::Duration::from_millis(999));
    assert!(run.as_mut().poll(&mut context).is_pending());
    driver.advance(embassy_time::Duration::from_millis(2));
    assert!(matches!(run.as_mut().poll(&mut context), core::task::Poll::Ready(Ok(42))));
}
