//! Runners that block: over `embedded_hal::delay::DelayNs`.

use embedded_hal::delay::DelayNs;

use crate::reliability::breaker::Mode;
use crate::reliability::executor::{Admit, Execution, Executor, Failure, Guard, Next};
use crate::reliability::retry::Class;
use crate::shared::Shared;
use crate::time::Duration;

mod retry;

pub use retry::{retry, retry_with};

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
