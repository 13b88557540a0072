//! Runners that await: over `embedded_hal_async::delay::DelayNs`, on any executor of futures.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use crate::reliability::breaker::Mode;
use crate::reliability::executor::{Admit, Execution, Executor, Failure, Guard, Next};
use crate::reliability::retry::Class;
use crate::shared::Shared;
use crate::time::Duration;

mod retry;

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

/// Makes `call` through a shared executor: retry, breaker and time limits.
///
/// A call that outlasts its deadline is dropped and counts as a transient failure. Dropped while a
/// call runs, it gives the permit back and records nothing.
pub async fn execute<S, M, T, E, F>(
    shared: &S,
    delay: &mut impl DelayNs,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    let mut run = shared.with(Executor::start);
    let mut last = None;
    loop {
        let (admit, now) = shared.with(|executor, now| (executor.admit(&mut run, now), now));
        let (permit, deadline) = match admit {
            Admit::Go { permit, deadline } => (permit, deadline),
            Admit::Wait { until } => {
                wait(delay, until - now).await;
                continue;
            }
            Admit::Stop(cause) => return run.finish(Err(Failure::of(last, cause)), Some(cause), now),
        };
        let guard = Guard::new(shared, permit);
        let answer = match deadline {
            None => Some(call().await),
            Some(deadline) => within(delay, deadline - now, call()).await,
        };
        let (failure, class) = match answer {
            Some(Ok(value)) => {
                let now = guard.on_success(&mut run);
                return run.finish(Ok(value), None, now);
            }
            Some(Err(error)) => {
                let class = classify(&error);
                (Failure::Error(error), class)
            }
            None => (Failure::TimedOut, Class::Transient),
        };
        let (next, now) = guard.on_failure(&mut run, class);
        match next {
            Next::Retry { at } => {
                last = Some(failure);
                wait(delay, at - now).await;
            }
            Next::Stop(cause) => return run.finish(Err(failure), Some(cause), now),
        }
    }
}

#[cfg(test)]
mod tests;
