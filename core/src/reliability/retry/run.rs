//! One run of calls: its retry, its budget, and the loops that the runners share.

use core::future::Future;

use super::{Class, Config, Decision, GaveUp, Reason, Retry};
use crate::reliability::budget::{Funds, Unlimited};
use crate::time::{Clock, Duration, Instant};

/// Counts the calls of one run and asks for each further one (`retry`).
///
/// A [`Retry`] with what a runner needs around it: a budget that other runs share, and cancellation.
/// The attributes and the runners in [`hal`](crate::hal) and `daur-std` are written with it; write
/// your own where a call or a wait is of a kind that they do not know.
///
/// # Rules
/// 1. The budget hears of the first call, pays for each retry before it is waited for, and hears of
///    success. If it does not pay, the run stops with [`Reason::Budget`].
/// 2. A retry that has been paid for and is not made, since the run was cancelled or dropped while it
///    waited, is given back.
/// 3. Cancelled, a run makes no further call; one that is under way is not touched.
/// 4. The seed of the jitter is asked for at the first failure only.
///
/// # Cost
/// 136 bytes of RAM and 1,820 of flash on thumbv6m (image `retry_run`, with [`Unlimited`] funds), the
/// retry included. Each step is O(1).
///
/// # Errors
/// [`GaveUp`] from [`Run::drive`].
///
/// # Sharing
/// Each run has its own; the budget is shared. Dropping a run at any time is safe: rule 2.
///
/// # Example
/// ```
/// use daur_core::reliability::budget::Unlimited;
/// use daur_core::reliability::retry::{Class, Config, Decision, Run};
/// use daur_core::time::Instant;
///
/// let mut now = Instant::ZERO;
/// let mut run = Run::new(Config::DEFAULT, Unlimited, now);
/// run.begin();
/// // The call fails.
/// let Decision::Retry { after } = run.on_failure(Class::Transient, || 7, now) else { unreachable!() };
/// now += after;
/// run.begin();
/// // The second one succeeds.
/// run.on_success();
/// assert_eq!(run.attempts(), 2);
/// ```
#[derive(Debug)]
pub struct Run<F: Funds = Unlimited> {
    retry: Retry,
    funds: F,
    attempts: u32,
    /// A retry is paid for and not yet made.
    paid: bool,
}

impl<F: Funds> Run<F> {
    /// A run that begins now and whose retries `funds` pays for.
    #[must_use]
    pub const fn new(config: Config, funds: F, now: Instant) -> Self {
        Self { retry: Retry::new(config, 0, now), funds, attempts: 0, paid: false }
    }

    /// A call is made now.
    pub fn begin(&mut self) {
        if self.attempts == 0 {
            self.funds.on_first_try();
        }
        self.attempts = self.attempts.saturating_add(1);
        self.paid = false;
    }

    /// The call succeeded.
    pub fn on_success(&mut self) {
        self.funds.on_success(self.attempts);
    }

    /// The call failed: whether and when to make the next one. Asks for the jitter's seed at the first
    /// failure.
    pub fn on_failure(&mut self, class: Class, seed: impl FnOnce() -> u64, now: Instant) -> Decision {
        if self.retry.failures() == 0 {
            self.retry.reseed(seed());
        }
        let decision = self.retry.on_failure(class, now);
        if let Decision::Retry { .. } = decision {
            if self.funds.try_retry().is_err() {
                return Decision::Stop { reason: Reason::Budget };
            }
            self.paid = true;
        }
        decision
    }

    /// Nobody wants the answer any more: a retry that was paid for is given back.
    pub fn cancel(&mut self) {
        if self.paid {
            self.paid = false;
            self.funds.cancel_retry();
        }
    }

    /// Calls made.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The last error with what is known about its end.
    pub const fn gave_up<E>(&self, error: E, reason: Reason) -> GaveUp<E> {
        GaveUp { error, reason, attempts: self.attempts }
    }

    /// Makes `call` until it succeeds or the rules say to stop, and holds up the caller meanwhile.
    ///
    /// `wait` waits for at least so long, and says whether to go on: `false` cancels the run.
    ///
    /// # Errors
    /// [`GaveUp`] with the last call's error.
    pub fn drive<T, E>(
        mut self,
        mut seed: impl FnMut() -> u64,
        clock: &impl Clock,
        mut wait: impl FnMut(Duration) -> bool,
        mut classify: impl FnMut(&E) -> Class,
        mut call: impl FnMut() -> Result<T, E>,
    ) -> Result<T, GaveUp<E>> {
        loop {
            self.begin();
            let error = match call() {
                Ok(value) => {
                    self.on_success();
                    return Ok(value);
                }
                Err(error) => error,
            };
            match self.on_failure(classify(&error), &mut seed, clock.now()) {
                Decision::Retry { after } if wait(after) => {}
                // Dropped right here, it gives the retry back.
                Decision::Retry { .. } => return Err(self.gave_up(error, Reason::Cancelled)),
                Decision::Stop { reason } => return Err(self.gave_up(error, reason)),
            }
        }
    }

    /// Awaits `call` until it succeeds or the rules say to stop. Dropped at any time, it makes no
    /// further call.
    ///
    /// # Errors
    /// [`GaveUp`] with the last call's error.
    pub async fn drive_async<T, E, C: Future<Output = Result<T, E>>>(
        mut self,
        mut seed: impl FnMut() -> u64,
        clock: &impl Clock,
        mut wait: impl Wait,
        mut classify: impl FnMut(&E) -> Class,
        mut call: impl FnMut() -> C,
    ) -> Result<T, GaveUp<E>> {
        loop {
            self.begin();
            let error = match call().await {
                Ok(value) => {
                    self.on_success();
                    return Ok(value);
                }
                Err(error) => error,
            };
            match self.on_failure(classify(&error), &mut seed, clock.now()) {
                Decision::Retry { after } => {
                    if !wait.wait(after).await {
                        return Err(self.gave_up(error, Reason::Cancelled));
                    }
                }
                Decision::Stop { reason } => return Err(self.gave_up(error, reason)),
            }
        }
    }
}

impl<F: Funds> Drop for Run<F> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Waits between the calls of [`Run::drive_async`].
pub trait Wait {
    /// Waits for at least `length` and gives whether to go on: `false` cancels the run.
    fn wait(&mut self, length: Duration) -> impl Future<Output = bool>;
}
