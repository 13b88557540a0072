//! Runners that block: over `embedded_hal::delay::DelayNs`.

use embedded_hal::delay::DelayNs;

use crate::reliability::breaker::Mode;
use crate::reliability::executor::{Admit, Execution, Executor, Failure, Guard, Next};
use crate::reliability::retry::{Class, Config, Decision, GaveUp, Retry};
use crate::shared::Shared;
use crate::time::{Clock, Duration};

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

/// Makes `call` through a shared executor: retry, breaker and time limits.
///
/// A blocking call cannot be interrupted: of the time limits, only the end of `total_timeout`
/// matters, after which no further call is made. A call that panics gives its permit back.
pub fn execute<S, M, T, E>(
    shared: &S,
    delay: &mut impl DelayNs,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M>>,
    M: Mode,
{
    let mut run = shared.with(Executor::start);
    let mut last = None;
    loop {
        let (admit, now) = shared.with(|executor, now| (executor.admit(&mut run, now), now));
        let permit = match admit {
            Admit::Go { permit, .. } => permit,
            Admit::Wait { until } => {
                wait(delay, until - now);
                continue;
            }
            Admit::Stop(cause) => return run.finish(Err(Failure::of(last, cause)), Some(cause), now),
        };
        let guard = Guard::new(shared, permit);
        let error = match call() {
            Ok(value) => {
                let now = guard.on_success(&mut run);
                return run.finish(Ok(value), None, now);
            }
            Err(error) => error,
        };
        let (next, now) = guard.on_failure(&mut run, classify(&error));
        match next {
            Next::Retry { at } => {
                last = Some(Failure::Error(error));
                wait(delay, at - now);
            }
            Next::Stop(cause) => return run.finish(Err(Failure::Error(error)), Some(cause), now),
        }
    }
}

#[cfg(test)]
mod tests;
