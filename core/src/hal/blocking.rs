//! Runners that block: over `embedded_hal::delay::DelayNs`.

use embedded_hal::delay::DelayNs;

use crate::reliability::retry::{Class, Config, Decision, GaveUp, Retry};
use crate::time::{Clock, Duration};

mod execute;

pub use execute::{execute, execute_with};

/// The longest delay asked for at once: far below the 4.29 s that u32 nanoseconds hold, and also
/// within what drivers survive that compute in 32 bits themselves.
const LONGEST_NANOS: u32 = 1_000_000_000;

/// Waits for at least `length`, however long, in delays that fit u32 nanoseconds.
pub fn wait(delay: &mut impl DelayNs, length: Duration) {
    let mut left = length.as_nanos();
    while left > 0 {
        let nanos = u32::try_from(left).map_or(LONGEST_NANOS, |left| left.min(LONGEST_NANOS));
        delay.delay_ns(nanos);
        left -= u64::from(nanos);
    }
}

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
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    let mut retry = Retry::new(config, seed, clock.now());
    let mut attempts = 0_u32;
    loop {
        attempts = attempts.saturating_add(1);
        let error = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match retry.on_failure(classify(&error), clock.now()) {
            Decision::Retry { after } => wait(delay, after),
            Decision::Stop { reason } => return Err(GaveUp { error, reason, attempts }),
        }
    }
}

#[cfg(test)]
mod tests;
