//! Retries that await.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use super::wait;
use crate::reliability::budget::{Funds, Unlimited};
use crate::reliability::retry::{Class, Config, GaveUp, Run, Wait};
use crate::time::{Clock, Duration};

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
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    let run = Run::new(config, Unlimited, clock.now());
    retry_with(run, seed, clock, delay, pending(), classify, call).await
}

/// As [`retry`], for a `run` with a budget, and until `cancel` is ready.
///
/// `cancel` ends a wait and with it the run; a call that is under way is finished first. To interrupt
/// that one too, drop the whole future: what was paid for a retry that is not made then goes back to
/// the budget.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
pub async fn retry_with<T, E, F: Future<Output = Result<T, E>>>(
    run: Run<impl Funds>,
    seed: u64,
    clock: &impl Clock,
    delay: &mut impl DelayNs,
    cancel: impl Future<Output = ()>,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    let cancel = pin!(cancel);
    run.drive_async(|| seed, clock, Waiting { delay, cancel }, classify, call).await
}

struct Waiting<'a, D, C> {
    delay: &'a mut D,
    cancel: Pin<&'a mut C>,
}

impl<D: DelayNs, C: Future<Output = ()>> Wait for Waiting<'_, D, C> {
    async fn wait(&mut self, length: Duration) -> bool {
        let mut timer = pin!(wait(self.delay, length));
        poll_fn(|context| {
            if self.cancel.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            timer.as_mut().poll(context).map(|()| true)
        })
        .await
    }
}
