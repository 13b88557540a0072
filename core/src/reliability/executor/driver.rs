//! The loop that all runners share.

use core::task::{Context, Poll, Waker};

use super::run::with_wake;
use super::{Admit, Cause, Execution, Executor, Failure, Guard, Next, Run};
use crate::reliability::breaker::{Consecutive, Mode};
use crate::reliability::budget::{Funds, Unlimited};
use crate::reliability::retry::{Class, Reason};
use crate::reliability::timeout::Deadline;
use crate::shared::Shared;
use crate::time::{Duration, Instant};

/// Says what a runner does next.
#[must_use]
pub enum Step<'a, S, T, E, M = Consecutive, const WAITING: usize = 0>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    /// Make the call, and report how it ended with the guard.
    Call {
        /// Gives everything back if it is dropped without a report.
        guard: Guard<'a, S, M, WAITING>,
        /// When to interrupt the call.
        limit: Option<Duration>,
    },
    /// Wait for so long, then ask again.
    Wait(Duration),
    /// Stand in line: ask again when woken, and after so long at the latest.
    Line(Option<Duration>),
    /// The run is over.
    End(Execution<T, E>),
}

/// Drives one run through a shared [`Executor`]: the steps of a runner, less its calls and waits.
///
/// The runners in [`hal`](crate::hal) and `daur-std` are this and a way to wait; write your own where a
/// call or a wait is of a kind that they do not know. Dropped at any time, it leaves the line and gives
/// back what was paid for a retry that is not made.
///
/// # Example
/// ```
/// use daur_core::reliability::budget::Unlimited;
/// use daur_core::reliability::executor::{Config, Driver, Executor, Failure, Step};
/// use daur_core::reliability::retry::Class;
/// use daur_core::shared::Shared;
/// # use daur_core::time::Instant;
/// # struct Owned(std::cell::RefCell<Executor>);
/// # impl Shared for Owned {
/// #     type Machine = Executor;
/// #     fn with<R>(&self, f: impl FnOnce(&mut Executor, Instant) -> R) -> R {
/// #         f(&mut self.0.borrow_mut(), Instant::MAX)
/// #     }
/// # }
/// # let shared = Owned(std::cell::RefCell::new(Executor::new(Config::DEFAULT, 7)));
///
/// let mut driver = Driver::new(&shared, Unlimited);
/// let execution = loop {
///     match driver.next(None) {
///         Step::Call { guard, .. } => match Err("down") {
///             Ok(value) => break driver.succeed(guard, value),
///             Err(error) => driver.fail(guard, Failure::Error(error), Class::Permanent),
///         },
///         Step::Wait(_) | Step::Line(_) => {} // wait
///         Step::End(execution) => break execution,
///     }
/// };
/// assert_eq!(execution.result, Err::<(), _>(Failure::Error("down")));
/// ```
#[derive(Debug)]
pub struct Driver<'a, S, E, F = Unlimited, M = Consecutive, const WAITING: usize = 0>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    F: Funds,
    M: Mode,
{
    shared: &'a S,
    funds: F,
    run: Run,
    last: Option<Failure<E>>,
    stopped: Option<(Cause, Instant)>,
    /// `funds` have paid for a retry that is not made yet.
    paid: bool,
    over: bool,
}

impl<'a, S, E, F, M, const WAITING: usize> Driver<'a, S, E, F, M, WAITING>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    F: Funds,
    M: Mode,
{
    /// Begins a run whose retries `funds` pay for, beside the executor's own budget.
    pub fn new(shared: &'a S, funds: F) -> Self {
        Self::by(shared, funds, Deadline::NEVER)
    }

    /// Begins a run that must be over by `deadline`.
    pub fn by(shared: &'a S, funds: F, deadline: Deadline) -> Self {
        let run = shared.with(|executor, now| executor.start_by(deadline, now));
        Self { shared, funds, run, last: None, stopped: None, paid: false, over: false }
    }

    /// What to do now. In line, `waker` is woken when the turn has come.
    pub fn next<T>(&mut self, waker: Option<&Waker>) -> Step<'a, S, T, E, M, WAITING> {
        if let Some((cause, at)) = self.stopped {
            return self.stop(cause, at);
        }
        let run = &mut self.run;
        let (admit, now) = with_wake(self.shared, |executor, now| (executor.admit_with(run, waker, now), now));
        match admit {
            Admit::Go { permit, deadline } => {
                let guard = Guard::new(self.shared, permit);
                self.paid = false;
                if self.run.attempts == 1 {
                    self.funds.on_first_try();
                }
                Step::Call { guard, limit: deadline.map(|deadline| deadline - now) }
            }
            Admit::Wait { until } => Step::Wait(until - now),
            Admit::Line { until } => Step::Line(Deadline::at(until).remaining(now)),
            Admit::Stop(cause) => self.stop(cause, now),
        }
    }

    /// As [`Driver::next`], for a future: pending while it stands in line. It has no timer: poll it
    /// again after [`Driver::longest_wait`].
    pub fn poll_next<T>(&mut self, context: &Context<'_>) -> Poll<Step<'a, S, T, E, M, WAITING>> {
        match self.next(Some(context.waker())) {
            Step::Line(_) => Poll::Pending,
            step => Poll::Ready(step),
        }
    }

    /// How long it stands in line at most; `None` for ever, and if it does not.
    pub fn longest_wait(&self) -> Option<Duration> {
        let ticket = self.run.ticket.as_ref()?;
        let until = self.run.end.earlier(Deadline::at(ticket.until()));
        until.moment()?;
        self.shared.with(|_, now| until.remaining(now))
    }

    /// The call gave `value`: the run is over.
    pub fn succeed<T>(&mut self, guard: Guard<'a, S, M, WAITING>, value: T) -> Execution<T, E> {
        let now = guard.on_success(&mut self.run);
        self.funds.on_success(self.run.attempts);
        self.over = true;
        self.run.finish(Ok(value), None, now)
    }

    /// The call failed: [`Driver::next`] says how it goes on.
    pub fn fail(&mut self, guard: Guard<'a, S, M, WAITING>, failure: Failure<E>, class: Class) {
        let (next, now) = guard.on_failure(&mut self.run, class);
        self.last = Some(failure);
        match next {
            Next::Stop(cause) => self.stopped = Some((cause, now)),
            Next::Retry { .. } if self.funds.try_retry().is_err() => {
                self.stopped = Some((Cause::Retry(Reason::Budget), now));
            }
            Next::Retry { .. } => self.paid = true,
        }
    }

    /// Nobody wants the answer any more: the run ends with [`Reason::Cancelled`] at the next step.
    pub fn cancel(&mut self) {
        let now = self.shared.with(|_, now| now);
        self.stopped = Some((Cause::Retry(Reason::Cancelled), now));
    }

    /// The run: for its numbers, and the breaker's events.
    pub const fn run(&mut self) -> &mut Run {
        &mut self.run
    }

    fn stop<T>(&mut self, cause: Cause, now: Instant) -> Step<'a, S, T, E, M, WAITING> {
        self.give_back();
        self.over = true;
        Step::End(self.run.finish(Err(Failure::of(self.last.take(), cause)), Some(cause), now))
    }

    fn give_back(&mut self) {
        if self.paid {
            self.paid = false;
            self.funds.cancel_retry();
        }
        if self.run.ticket.is_some() || self.run.paid {
            let run = &mut self.run;
            with_wake(self.shared, |executor, now| executor.abandon(run, now));
        }
    }
}

impl<S, E, F, M, const WAITING: usize> Drop for Driver<'_, S, E, F, M, WAITING>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    F: Funds,
    M: Mode,
{
    fn drop(&mut self) {
        if !self.over {
            self.give_back();
        }
    }
}
