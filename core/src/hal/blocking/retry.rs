//! Retries that block.

use embedded_hal::delay::DelayNs;

use super::wait;
use crate::reliability::budget::{Funds, Unlimited};
use crate::reliability::retry::{Class, Config, GaveUp, Run};
use crate::time::{Clock, Duration};

/// How long a wait goes on at most without asking whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(10);

/// Makes `call` until it succeeds or `config` says to stop; `seed` decides the jitter.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
///
/// # Example
/// ```
/// use daur_core::hal::blocking;
/// use daur_core::reliability::retry::{Class, Config};
/// use daur_core::time::Instant;
/// # struct Delay;
/// # impl embedded_hal::delay::DelayNs for Delay {
/// #     fn delay_ns(&mut self, _: u32) {}
/// # }
/// # let (mut delay, clock) = (Delay, Instant::ZERO);
///
/// let mut calls = 0;
/// let read = || {
///     calls += 1;
///     if calls < 3 { Err("bus") } else { Ok(42) }
/// };
/// assert_eq!(blocking::retry(Config::DEFAULT, 7, &clock, &mut delay, |_| Class::Transient, read), Ok(42));
/// assert_eq!(calls, 3);
/// ```
pub fn retry<T, E>(
    config: Config,
    seed: u64,
    clock: &impl Clock,
    delay: &mut impl DelayNs,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    let run = Run::new(config, Unlimited, clock.now());
    let wait = |length| {
        wait(delay, length);
        true
    };
    run.drive(|| seed, clock, wait, classify, call)
}

/// As [`retry`], for a `run` with a budget, and until `cancelled` says so.
///
/// `cancelled` is asked before each wait and every 10 ms of it, so that an interrupt that sets a flag
/// ends the wait and with it the run. A call that is under way is not touched.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
///
/// # Example
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use daur_core::hal::blocking;
/// use daur_core::reliability::budget::{self, Budget};
/// use daur_core::reliability::retry::{Class, Config, Reason, Run};
/// use daur_core::shared::CsShared;
/// use daur_core::time::Instant;
/// # struct Delay;
/// # impl embedded_hal::delay::DelayNs for Delay {
/// #     fn delay_ns(&mut self, _: u32) {}
/// # }
/// # let mut delay = Delay;
///
/// /// All drivers of the bus retry from this.
/// static BUDGET: CsShared<Budget, Instant> = CsShared::new(Budget::new(budget::Config::DEFAULT), Instant::ZERO);
/// static BUTTON: AtomicBool = AtomicBool::new(false);
///
/// let run = Run::new(Config::DEFAULT, &BUDGET, Instant::ZERO);
/// let pressed = || BUTTON.load(Ordering::Relaxed);
/// let read = || -> Result<u16, &str> {
///     BUTTON.store(true, Ordering::Relaxed);
///     Err("bus")
/// };
/// let gave_up = blocking::retry_with(run, 7, &Instant::ZERO, &mut delay, pressed, |_| Class::Transient, read);
/// assert_eq!(gave_up.unwrap_err().reason, Reason::Cancelled);
/// ```
pub fn retry_with<T, E>(
    run: Run<impl Funds>,
    seed: u64,
    clock: &impl Clock,
    delay: &mut impl DelayNs,
    mut cancelled: impl FnMut() -> bool,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    let wait = |length: Duration| {
        let mut left = length;
        while !cancelled() {
            if left.is_zero() {
                return true;
            }
            wait(delay, left.min(PATIENCE));
            left = left - PATIENCE;
        }
        false
    };
    run.drive(|| seed, clock, wait, classify, call)
}
