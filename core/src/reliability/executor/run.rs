//! One run of calls, and how it ended.

use core::fmt;

use super::{Cause, Executor, Next};
use crate::reliability::breaker::{self, Consecutive, Event, Mode};
use crate::reliability::bulkhead;
use crate::reliability::retry::{Class, Reason, Retry};
use crate::reliability::timeout::Deadline;
use crate::shared::Shared;
use crate::time::{Duration, Instant};

/// Allows one call: by the breaker, and by the bulkhead. Handed back with the outcome.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "report the call's outcome with it, or cancel it"]
pub struct Permit {
    pub(super) breaker: breaker::Permit,
    pub(super) place: bulkhead::Permit,
}

/// Follows one run of calls for one result.
#[derive(Debug)]
pub struct Run {
    pub(super) retry: Retry,
    pub(super) started: Instant,
    pub(super) end: Deadline,
    /// No call before this moment.
    pub(super) not_before: Instant,
    /// What is left of `open_wait`.
    pub(super) open_wait: Duration,
    pub(super) attempts: u32,
    pub(super) refused: u32,
    pub(super) event: Option<Event>,
    /// Its place in line.
    pub(super) ticket: Option<bulkhead::Ticket>,
    /// The executor's own budget has paid for a retry that is not made yet.
    pub(super) paid: bool,
}

impl Run {
    /// Calls made so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Times the breaker refused.
    #[must_use]
    pub const fn refused(&self) -> u32 {
        self.refused
    }

    /// When it began.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// When it must be over.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.end
    }

    /// Takes the breaker's last change of state that a step of this run made. One step makes at most one.
    pub const fn take_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// The run's end, with `result`.
    pub fn finish<T, E>(&self, result: Result<T, Failure<E>>, cause: Option<Cause>, now: Instant) -> Execution<T, E> {
        Execution {
            result,
            attempts: self.attempts,
            elapsed: now - self.started,
            refused_by_breaker: self.refused,
            fallback_used: false,
            fallback_error: None,
            cause,
        }
    }
}

/// Keeps a permit while its call runs, and gives it back if the call is cancelled or panics.
///
/// For runners that share an executor: dropped without a report, it is [`Executor::cancel`]. It wakes
/// whoever gets the place.
#[derive(Debug)]
pub struct Guard<'a, S, M = Consecutive, const WAITING: usize = 0>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    shared: &'a S,
    permit: Option<Permit>,
}

impl<'a, S, M, const WAITING: usize> Guard<'a, S, M, WAITING>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    /// Keeps `permit`, which `shared` has given.
    pub const fn new(shared: &'a S, permit: Permit) -> Self {
        Self { shared, permit: Some(permit) }
    }

    /// Reports a success; says when that was.
    pub fn on_success(mut self, run: &mut Run) -> Instant {
        let permit = self.permit.take();
        with_wake(self.shared, |executor, now| {
            if let Some(permit) = permit {
                executor.on_success(run, permit, now);
            }
            now
        })
    }

    /// Reports a failure; says how it goes on, and when that was.
    pub fn on_failure(mut self, run: &mut Run, class: Class) -> (Next, Instant) {
        let permit = self.permit.take();
        with_wake(self.shared, |executor, now| match permit {
            Some(permit) => (executor.on_failure(run, permit, class, now), now),
            // `self` is used up by a report, so its permit is still there.
            None => (Next::Stop(Cause::Retry(Reason::NotRetryable)), now),
        })
    }
}

impl<S, M, const WAITING: usize> Drop for Guard<'_, S, M, WAITING>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            with_wake(self.shared, |executor, now| executor.cancel(permit, now));
        }
    }
}

/// Makes one step, then wakes, outside of `with`, whose turn it has brought.
pub(super) fn with_wake<S, M, R, const WAITING: usize>(
    shared: &S,
    step: impl FnOnce(&mut Executor<M, WAITING>, Instant) -> R,
) -> R
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    let (result, waker) = shared.with(|executor, now| (step(executor, now), executor.take_waker()));
    if let Some(waker) = waker {
        waker.wake();
    }
    result
}

/// Says what came instead of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure<E> {
    /// The last call's own error.
    Error(E),
    /// The breaker refused the first call already.
    Open {
        /// When it admits again.
        retry_at: Instant,
    },
    /// The bulkhead had no place for the first call already.
    NoPlace(bulkhead::Refused),
    /// The last call was interrupted by a time limit, or none was over when time was.
    TimedOut,
}

impl<E> Failure<E> {
    /// What a run that ended with `cause` failed with, if its last call failed with `last`.
    pub fn of(last: Option<Self>, cause: Cause) -> Self {
        match (last, cause) {
            (Some(last), _) => last,
            (None, Cause::Open { retry_at }) => Self::Open { retry_at },
            (None, Cause::NoPlace(refused)) => Self::NoPlace(refused),
            (None, _) => Self::TimedOut,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Open { .. } => f.write_str("the circuit breaker is open: the call was not made"),
            Self::NoPlace(refused) => refused.fmt(f),
            Self::TimedOut => f.write_str("the call took longer than it may"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Failure<E> {}

/// Tells how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub struct Execution<T, E> {
    /// The value, or what came instead.
    pub result: Result<T, Failure<E>>,
    /// Calls made.
    pub attempts: u32,
    /// How long all of it took.
    pub elapsed: Duration,
    /// Times the breaker refused.
    pub refused_by_breaker: u32,
    /// Whether the value is a fallback's.
    pub fallback_used: bool,
    /// The error of a fallback that failed too; the first error is in `result`.
    pub fallback_error: Option<E>,
    /// Why there was no further call; `None` after a success. Stays when a fallback gave the value.
    pub cause: Option<Cause>,
}

impl<T, E> Execution<T, E> {
    /// The end of a run whose first call gave `value` at once.
    pub const fn of_value(value: T) -> Self {
        Self {
            result: Ok(value),
            attempts: 1,
            elapsed: Duration::ZERO,
            refused_by_breaker: 0,
            fallback_used: false,
            fallback_error: None,
            cause: None,
        }
    }

    /// The end of a run whose first call failed at once, for whoever calls without an executor.
    pub fn of_failure(failure: Failure<E>) -> Self {
        Self {
            result: Err(failure),
            attempts: 1,
            elapsed: Duration::ZERO,
            refused_by_breaker: 0,
            fallback_used: false,
            fallback_error: None,
            cause: None,
        }
    }

    /// Whether there is a value.
    pub const fn success(&self) -> bool {
        self.result.is_ok()
    }
}
