//! Runners that await: over `embedded_hal_async::delay::DelayNs`, on any executor of futures.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use crate::time::Duration;

mod execute;
mod retry;

pub use execute::{execute, execute_with};
pub use retry::{retry, retry_with};

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

#[cfg(test)]
mod tests;
