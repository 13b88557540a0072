//! Runners that await: over `embedded_hal_async::delay::DelayNs`, on any executor of futures.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use crate::reliability::retry::{Class, Config, Decision, GaveUp, Retry};
use crate::time::{Clock, Duration};

mod execute;

pub use execute::{execute, execute_with};

/// As in the blocking runner: no delay comes near the end of u32 nanoseconds.
const LONGEST_NANOS: u32 = 1_000_000_000;

/// Waits for at least `length`, however long, in delays that fit u32 nanoseconds.
pub async fn wait(delay: &mut impl DelayNs, length: Duration) {
    let mut left = length.as_nanos();
    while left > 0 {
        let nanos = u32::try_from(left).map_or(LONGEST_NANOS, |left| left.min(LONGEST_NANOS));
        delay.delay_ns(nanos).await;
        left -= u64::from(nanos);
    }
}

/// Awaits `call` for at most `limit`; `None` if it was not ready by then, and is dropped.
///
/// A call that is ready together with the limit has made it.
pub async fn within<T>(delay: &mut impl DelayNs, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut timer = pin!(wait(delay, limit));
    poll_fn(|context| {
        if let Poll::Ready(value) = call.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Makes `call` until it succeeds or `config` says to stop; `seed` decides the jitter.
///
/// Dropped at any time, it makes no further call.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
pub async fn retry<T, E, F: Future<Output = Result<T, E>>>(
    config: Config,
    seed: u64,
    clock: &impl Clock,
    delay: &mut impl DelayNs,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    let mut retry = Retry::new(config, seed, clock.now());
    let mut attempts = 0_u32;
    loop {
        attempts = attempts.saturating_add(1);
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match retry.on_failure(classify(&error), clock.now()) {
            Decision::Retry { after } => wait(delay, after).await,
            Decision::Stop { reason } => return Err(GaveUp { error, reason, attempts }),
        }
    }
}

#[cfg(test)]
mod tests;
