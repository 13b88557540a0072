//! Makes a call the careful way: retry, budget, breaker, bulkhead and time limits in one.

mod answer;
mod build;
mod config;
mod driver;
mod run;

pub use answer::{Admit, Cause, Next};
pub use config::{Config, ConfigError};
pub use driver::{Driver, Step};
pub use run::{Execution, Failure, Guard, Permit, Run};

use core::task::Waker;

use super::breaker::{self, Breaker, Consecutive, Event, Mode};
use super::budget::{self, Budget};
use super::bulkhead::{self, Bulkhead, Entry};
use super::retry::{self, Class, Decision, Reason, Retry};
use super::timeout::Deadline;
use crate::time::{Duration, Instant};

/// Composes retry, budget, breaker, bulkhead and time limits around one kind of call (`ResilientExecutor`).
///
/// One value for each thing that is called: its breaker is shared by all runs, each run has its own
/// retry. It makes no call and no wait itself: the runners in [`hal`](crate::hal) and `daur-std` do,
/// in these steps:
///
/// ```text
/// start -> admit -+-> Go    call ---+-> on_success               the end
///            ^    |                 +-> on_failure -+-> Stop     the end
///            |    |                                 +-> Retry    wait, admit again
///            |    +-> Stop                                       the end
///            +--------Wait, Line    wait, admit again
/// ```
///
/// `WAITING` is how many calls may wait for a place of its bulkhead; 0 unless it is made with
/// [`Executor::of`].
///
/// # Rules
/// 1. From the outside in: total timeout, retry, breaker, bulkhead, attempt timeout. Every attempt asks
///    the breaker and the bulkhead; a refusal is no attempt.
/// 2. An open breaker is not retried in a hot loop: the run waits until `retry_at` if that is within
///    its `open_wait` and its time, else it stops with [`Cause::Open`].
/// 3. A failure of class `Ignored` gives the permit back; `Permanent` counts and ends the run.
/// 4. No call starts at or after the end of `total_timeout`; `deadline` is the earlier of the
///    attempt's and the run's end.
/// 5. A cancelled call gives its permit and its place back and records nothing.
/// 6. While a run stands in line it holds no permit of the breaker; when its turn has come the breaker
///    is asked again. A full bulkhead ends the run with [`Cause::NoPlace`]: a retry would only add to
///    the load.
/// 7. Where a budget is set, the retries of all runs together stay within it: a retry that it does not
///    pay for ends the run with [`Reason::Budget`]; one that is paid for and not made is given back.
/// 8. A run that was started with a deadline ends by then, whatever `total_timeout` says.
///
/// # Cost
/// With all its parts, 320 bytes of RAM and 2,904 of flash on thumbv6m (image `executor`), and a [`Run`]
/// for each run. Every step is O(1) but for the retry's wait, and for O(`WAITING`) in line.
///
/// # Errors
/// [`Failure`] in [`Execution::result`], with the [`Cause`] beside it.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared); each step is one `with`, the call is outside of it.
/// Whoever may be cancelled while a call runs must then hand the permit to [`Executor::cancel`], and
/// while it waits the run to [`Executor::abandon`]; after each step, wake whom [`Executor::take_waker`]
/// names. [`Driver`] and [`Guard`] do all of that, and the runners are built with them.
///
/// # Example
/// ```
/// use daur_core::reliability::executor::{Admit, Config, Executor, Next};
/// use daur_core::reliability::retry::Class;
/// use daur_core::time::Instant;
///
/// let mut executor = Executor::new(Config::DEFAULT, 7);
/// let now = Instant::ZERO;
/// let mut run = executor.start(now);
/// let Admit::Go { permit, .. } = executor.admit(&mut run, now) else { unreachable!() };
/// // The call is made, and fails.
/// let Next::Retry { at } = executor.on_failure(&mut run, permit, Class::Transient, now) else { unreachable!() };
/// let Admit::Go { permit, .. } = executor.admit(&mut run, at) else { unreachable!() };
/// // The second one succeeds.
/// executor.on_success(&mut run, permit, at);
/// assert_eq!(run.attempts(), 2);
/// ```
///
/// # References
/// Polly and Resilience4j, for the order of the parts.
#[doc(alias = "ResilientExecutor")]
#[derive(Clone, Debug)]
pub struct Executor<M: Mode = Consecutive, const WAITING: usize = 0> {
    breaker: Breaker<M>,
    bulkhead: Bulkhead<WAITING>,
    budget: Option<Budget>,
    retry: retry::Config,
    total_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    open_wait: Duration,
    seed: u64,
    runs: u32,
    succeeded: u32,
    retries: u32,
    /// Whose turn in line a step has brought, and who has not been woken yet.
    waker: Option<Waker>,
}

/// 2^64 divided by the golden ratio: seeds that follow each other by it are all different and far apart.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl<M: Mode, const WAITING: usize> Executor<M, WAITING> {
    /// Replaces the seed of the runs to come: where it is not known yet when a `static` is made.
    pub const fn reseed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Begins a run.
    pub fn start(&mut self, now: Instant) -> Run {
        self.start_by(Deadline::NEVER, now)
    }

    /// Begins a run that must be over by `deadline`: a part of something larger.
    pub fn start_by(&mut self, deadline: Deadline, now: Instant) -> Run {
        self.runs = self.runs.saturating_add(1);
        self.seed = self.seed.wrapping_add(SEED_STEP);
        Run {
            retry: Retry::new(self.retry, self.seed, now),
            started: now,
            end: match self.total_timeout {
                Some(limit) => deadline.within(limit, now),
                None => deadline,
            },
            not_before: now,
            open_wait: self.open_wait,
            attempts: 0,
            refused: 0,
            event: None,
            ticket: None,
            paid: false,
        }
    }

    /// Whether the run may make its next call now.
    pub fn admit(&mut self, run: &mut Run, now: Instant) -> Admit {
        self.admit_with(run, None, now)
    }

    /// As [`Executor::admit`]; in line, `waker` is for whoever gives a place back.
    pub fn admit_with(&mut self, run: &mut Run, waker: Option<&Waker>, now: Instant) -> Admit {
        if run.end.is_over(now) {
            self.leave(run, now);
            return Admit::Stop(Cause::TimedOut);
        }
        // Whoever stands in line has waited already: a clock that stepped back must not keep its turn idle.
        if run.ticket.is_none() && now < run.not_before {
            return Admit::Wait { until: run.not_before };
        }
        let ticket = run.ticket.take();
        let place = match ticket.map(|ticket| self.bulkhead.claim(ticket, waker, now)) {
            None => None,
            Some(Ok(Entry::Go(place))) => Some(place),
            Some(Ok(Entry::Wait(ticket))) => return Self::line(run, ticket),
            Some(Err(refused)) => return Admit::Stop(Cause::NoPlace(refused)),
        };
        let permit = match self.breaker.try_acquire(now) {
            Ok(permit) => permit,
            Err(breaker::Open { retry_at }) => {
                if let Some(place) = place {
                    self.release(place, now);
                }
                return self.wait_for_breaker(run, retry_at, now);
            }
        };
        run.event = permit.event().or(run.event);
        let entry = match place {
            Some(place) => Ok(Entry::Go(place)),
            None => self.bulkhead.enter(waker, now),
        };
        match entry {
            Ok(Entry::Go(place)) => self.go(run, Permit { breaker: permit, place }, now),
            // A permit that waited in line would keep a probe's place for nothing.
            Ok(Entry::Wait(ticket)) => {
                self.breaker.cancel(permit, now);
                Self::line(run, ticket)
            }
            Err(refused) => {
                self.breaker.cancel(permit, now);
                Admit::Stop(Cause::NoPlace(refused))
            }
        }
    }

    fn go(&mut self, run: &mut Run, permit: Permit, now: Instant) -> Admit {
        if run.attempts == 0 {
            if let Some(budget) = &mut self.budget {
                budget.on_first_try();
            }
        } else {
            self.retries = self.retries.saturating_add(1);
        }
        run.paid = false;
        run.attempts = run.attempts.saturating_add(1);
        let deadline = match self.attempt_timeout {
            Some(limit) => run.end.within(limit, now),
            None => run.end,
        };
        Admit::Go { permit, deadline: deadline.moment() }
    }

    fn line(run: &mut Run, ticket: bulkhead::Ticket) -> Admit {
        let until = run.end.earlier(Deadline::at(ticket.until())).moment().unwrap_or(Instant::MAX);
        run.ticket = Some(ticket);
        Admit::Line { until }
    }

    fn wait_for_breaker(&self, run: &mut Run, retry_at: Instant, now: Instant) -> Admit {
        run.refused = run.refused.saturating_add(1);
        let wait = retry_at - now;
        let elapsed = self.retry.max_elapsed.map(|limit| run.started + limit);
        let in_time = !run.end.earlier(elapsed.into()).is_over(retry_at);
        // Forced open, it says no moment that comes: whoever waited for it would miss that it is lifted.
        if !in_time || wait > run.open_wait || retry_at == Instant::MAX {
            return Admit::Stop(Cause::Open { retry_at });
        }
        // Used up even if somebody else takes the place at `retry_at`, so that a run's waiting ends.
        run.open_wait = run.open_wait - wait;
        run.not_before = retry_at;
        Admit::Wait { until: retry_at }
    }

    /// The call succeeded: the run is over.
    pub fn on_success(&mut self, run: &mut Run, permit: Permit, now: Instant) {
        self.succeeded = self.succeeded.saturating_add(1);
        run.event = self.breaker.on_success(permit.breaker, now).or(run.event);
        if let Some(budget) = &mut self.budget {
            budget.on_success(run.attempts);
        }
        self.release(permit.place, now);
    }

    /// The call failed: how it goes on.
    pub fn on_failure(&mut self, run: &mut Run, permit: Permit, class: Class, now: Instant) -> Next {
        self.release(permit.place, now);
        match class {
            Class::Transient | Class::TransientAfter(_) | Class::Permanent => {
                run.event = self.breaker.on_failure(permit.breaker, now).or(run.event);
            }
            Class::Ignored => self.breaker.cancel(permit.breaker, now),
        }
        let after = match run.retry.on_failure(class, now) {
            Decision::Stop { reason } => return Next::Stop(Cause::Retry(reason)),
            Decision::Retry { after } => after,
        };
        let at = now + after;
        if run.end.is_over(at) {
            return Next::Stop(Cause::TimedOut);
        }
        if let Some(budget) = &mut self.budget {
            if budget.try_retry().is_err() {
                return Next::Stop(Cause::Retry(Reason::Budget));
            }
            run.paid = true;
        }
        run.not_before = at;
        Next::Retry { at }
    }

    /// The call was cancelled: nothing is recorded.
    pub fn cancel(&mut self, permit: Permit, now: Instant) {
        self.breaker.cancel(permit.breaker, now);
        self.release(permit.place, now);
    }

    /// The run makes no further call: it leaves the line, and what it has paid for is given back.
    ///
    /// For a run that ends by itself this changes nothing, unless a budget paid for a retry that was
    /// refused afterwards.
    pub fn abandon(&mut self, run: &mut Run, now: Instant) {
        self.leave(run, now);
        if run.paid {
            run.paid = false;
            if let Some(budget) = &mut self.budget {
                budget.cancel_retry();
            }
        }
    }

    /// Takes the waker of the run whose turn in line the last step has brought, if it did: to be woken
    /// outside of `with`.
    #[must_use = "wake it, outside of any lock: its turn has come"]
    pub const fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    fn leave(&mut self, run: &mut Run, now: Instant) {
        if let Some(ticket) = run.ticket.take() {
            let waker = self.bulkhead.leave(ticket, now);
            self.wake(waker);
        }
    }

    fn release(&mut self, place: bulkhead::Permit, now: Instant) {
        let waker = self.bulkhead.release(place, now);
        self.wake(waker);
    }

    fn wake(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.waker = waker;
        }
    }

    /// The breaker: for its state, its manual states, its `poll`.
    pub const fn breaker(&mut self) -> &mut Breaker<M> {
        &mut self.breaker
    }

    /// Does what time alone does to the breaker.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        self.breaker.poll(now)
    }

    /// The moment at which [`Executor::poll`] has something to do.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        self.breaker.poll_at()
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            runs: self.runs,
            succeeded: self.succeeded,
            retries: self.retries,
            breaker: self.breaker.snapshot(),
            bulkhead: self.bulkhead.snapshot(),
            budget: self.budget.as_ref().map(Budget::snapshot),
        }
    }
}

/// Shows an [`Executor`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Runs begun.
    pub runs: u32,
    /// Runs that a call's success ended.
    pub succeeded: u32,
    /// Calls after the first of a run.
    pub retries: u32,
    /// Its breaker.
    pub breaker: breaker::Snapshot,
    /// Its bulkhead, which counts too where there is no limit.
    pub bulkhead: bulkhead::Snapshot,
    /// Its own budget, if it has one.
    pub budget: Option<budget::Snapshot>,
}
