//! The machines as a trace sees them: what goes in, what comes out, how they stand.

use super::code::Put;
use super::input::{Answer, Input};
use crate::crc::Crc32;
use crate::monitoring::errors::{self, Errors};
use crate::performance::cache::{self, Cache, Policy};
use crate::reliability::breaker::{self, Breaker, Consecutive, Mode};
use crate::reliability::executor::{self, Admit, Executor};
use crate::reliability::health::{self, Health, Status};
use crate::reliability::limiter::{self, Limiter};
use crate::reliability::retry::{self, Retry};
use crate::reliability::timeout::Deadline;
use crate::reliability::{budget, bulkhead};
use crate::time::Instant;

/// Sums up inputs, answers and states: CRC-32 over one spelling of them, the same on every target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digest(Crc32);

impl Digest {
    /// Of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Crc32::new())
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.see(&number);
    }

    /// Takes bytes in; where their number may differ, take it in first.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0.push(byte);
        }
    }

    /// The sum.
    #[must_use]
    pub const fn finish(self) -> u32 {
        self.0.finish()
    }

    pub(super) fn see(&mut self, seen: &dyn Put) {
        seen.put(&mut |byte| self.0.push(byte));
    }
}

/// Tells a digest how a machine stands.
///
/// Everything that its snapshot shows, and what a cache holds. For a machine of your own, whatever must be equal.
pub trait Observe {
    /// Tells it, as of `now`.
    fn observe(&self, now: Instant, digest: &mut Digest);
}

/// Replays inputs: a machine that a trace can drive.
pub trait Machine: Observe {
    /// Does what the input says, and gives the answer; `None`, and nothing has changed, if it is none for such a machine, or
    /// for none in its state: a success of a call that was not admitted.
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer>;

    /// How it stands, to be shown.
    fn state(&self, now: Instant) -> State;
}

/// Shows a machine of whatever kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum State {
    /// An executor.
    Executor(executor::Snapshot),
    /// A breaker.
    Breaker(breaker::Snapshot),
    /// A run of retries.
    Retry(retry::Snapshot),
    /// A limiter.
    Limiter(limiter::Snapshot),
    /// A cache.
    Cache(cache::Snapshot),
    /// The worst of all checks.
    Health(Status),
    /// A tracker of errors.
    Errors(errors::Snapshot),
}

fields! { put
    breaker::Snapshot { state, consecutive_failures, opened, refused, late, window, retry_at }
    breaker::Counts { calls, failed, slow }
    bulkhead::Snapshot { running, waiting, admitted, refused, timed_out }
    budget::Snapshot { tokens, capacity, retry_cost, funded, refused }
    executor::Snapshot { runs, succeeded, retries, breaker, bulkhead, budget }
    retry::Snapshot { failures, started, due }
    limiter::Snapshot { refused, retry_at }
    cache::Snapshot {
        len, capacity, weight, max_weight, hits, misses, inserted, updated, evicted, expired, removed, refused,
    }
    health::Snapshot { name, kind, status, outcome, took, at, runs, failed }
    const KIND MESSAGE => errors::Error<KIND, MESSAGE> { kind, message, at }
    const KIND => errors::Kind<KIND> { kind, count, overestimate, first_at, last_at }
}

impl Put for breaker::State {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        out(match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
            Self::ForcedOpen => 3,
            Self::Disabled => 4,
            Self::MetricsOnly => 5,
        });
    }
}

impl<M: Mode, const WAITING: usize> Observe for Executor<M, WAITING> {
    fn observe(&self, _now: Instant, digest: &mut Digest) {
        digest.see(&self.snapshot());
    }
}

impl<M: Mode> Observe for Breaker<M> {
    fn observe(&self, _now: Instant, digest: &mut Digest) {
        digest.see(&self.snapshot());
    }
}

impl Observe for Retry {
    fn observe(&self, _now: Instant, digest: &mut Digest) {
        digest.see(&self.snapshot());
    }
}

impl Observe for Limiter {
    fn observe(&self, _now: Instant, digest: &mut Digest) {
        digest.see(&self.snapshot());
    }
}

impl<const N: usize, P: Policy> Observe for Cache<u32, u32, N, P> {
    fn observe(&self, now: Instant, digest: &mut Digest) {
        digest.see(&self.snapshot());
        for (key, value) in self.iter(now) {
            digest.see(key);
            digest.see(value);
        }
    }
}

impl<const N: usize> Observe for Health<N> {
    fn observe(&self, _now: Instant, digest: &mut Digest) {
        digest.see(&self.overall());
        for check in self.snapshots() {
            digest.see(check);
        }
    }
}

impl<const KINDS: usize, const LAST: usize, const KIND: usize, const MESSAGE: usize> Observe
    for Errors<KINDS, LAST, KIND, MESSAGE>
{
    fn observe(&self, now: Instant, digest: &mut Digest) {
        digest.number(self.total());
        digest.number(self.recent(now));
        for kind in self.top() {
            digest.see(kind);
        }
        for error in self.last() {
            digest.see(error);
        }
    }
}

/// Replays an executor together with its runs: `CALLS` of them at a time.
///
/// # Example
/// ```
/// use daur_core::monitoring::trace::{Answer, Input, Machine, Runs};
/// use daur_core::reliability::executor::{Config, Executor};
/// use daur_core::time::Instant;
///
/// let mut runs: Runs = Runs::new(Executor::new(Config::DEFAULT, 7));
/// let now = Instant::ZERO;
/// assert_eq!(runs.apply(&Input::Start { call: 0 }, now), Some(Answer::Done));
/// assert_eq!(runs.apply(&Input::Admit { call: 0 }, now), Some(Answer::Go { deadline: None }));
/// assert_eq!(runs.apply(&Input::Success { call: 0 }, now), Some(Answer::Done));
/// assert_eq!(runs.apply(&Input::Success { call: 0 }, now), None);
/// ```
#[derive(Debug)]
pub struct Runs<M: Mode = Consecutive, const CALLS: usize = 8> {
    executor: Executor<M>,
    runs: [Option<(executor::Run, Option<executor::Permit>)>; CALLS],
}

impl<M: Mode, const CALLS: usize> Runs<M, CALLS> {
    /// No run yet.
    #[must_use]
    pub const fn new(executor: Executor<M>) -> Self {
        Self { executor, runs: [const { None }; CALLS] }
    }
}

impl<M: Mode, const CALLS: usize> Observe for Runs<M, CALLS> {
    fn observe(&self, now: Instant, digest: &mut Digest) {
        self.executor.observe(now, digest);
    }
}

impl<M: Mode, const CALLS: usize> Machine for Runs<M, CALLS> {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        let Self { executor, runs } = self;
        Some(match *input {
            Input::Start { call } => {
                // The place first: an input that is refused has changed nothing.
                let place = runs.get_mut(usize::from(call))?;
                *place = Some((executor.start(now), None));
                Answer::Done
            }
            Input::StartBy { call, deadline } => {
                let place = runs.get_mut(usize::from(call))?;
                *place = Some((executor.start_by(Deadline::at(deadline), now), None));
                Answer::Done
            }
            Input::Admit { call } => {
                let (run, place) = runs.get_mut(usize::from(call))?.as_mut()?;
                let admit = executor.admit(run, now);
                let answer = Answer::from(&admit);
                if let Admit::Go { permit, .. } = admit {
                    *place = Some(permit);
                }
                answer
            }
            Input::Success { call } => {
                let (run, permit) = runs.get_mut(usize::from(call))?.as_mut()?;
                executor.on_success(run, permit.take()?, now);
                Answer::Done
            }
            Input::Failure { call, class } => {
                let (run, permit) = runs.get_mut(usize::from(call))?.as_mut()?;
                executor.on_failure(run, permit.take()?, class, now).into()
            }
            Input::Cancel { call } => {
                let (_, permit) = runs.get_mut(usize::from(call))?.as_mut()?;
                executor.cancel(permit.take()?, now);
                Answer::Done
            }
            Input::Abandon { call } => {
                let (run, _) = runs.get_mut(usize::from(call))?.as_mut()?;
                executor.abandon(run, now);
                Answer::Done
            }
            ref other => manual(executor.breaker(), other, now)?,
        })
    }

    fn state(&self, _now: Instant) -> State {
        State::Executor(self.executor.snapshot())
    }
}

/// What is done to a breaker from outside of any call.
fn manual<M: Mode>(breaker: &mut Breaker<M>, input: &Input, now: Instant) -> Option<Answer> {
    Some(match input {
        Input::Poll => breaker.poll(now).into(),
        Input::Reset => {
            breaker.reset(now);
            Answer::Done
        }
        Input::ForceOpen => {
            breaker.force_open(now);
            Answer::Done
        }
        Input::ForceClosed => {
            breaker.force_closed(now);
            Answer::Done
        }
        Input::MetricsOnly => {
            breaker.metrics_only(now);
            Answer::Done
        }
        _ => return None,
    })
}

/// Replays a breaker together with the permits that are out: `CALLS` of them at a time.
#[derive(Debug)]
pub struct Calls<M: Mode = Consecutive, const CALLS: usize = 8> {
    breaker: Breaker<M>,
    permits: [Option<breaker::Permit>; CALLS],
}

impl<M: Mode, const CALLS: usize> Calls<M, CALLS> {
    /// No permit is out.
    #[must_use]
    pub const fn new(breaker: Breaker<M>) -> Self {
        Self { breaker, permits: [const { None }; CALLS] }
    }
}

impl<M: Mode, const CALLS: usize> Observe for Calls<M, CALLS> {
    fn observe(&self, now: Instant, digest: &mut Digest) {
        self.breaker.observe(now, digest);
    }
}

impl<M: Mode, const CALLS: usize> Machine for Calls<M, CALLS> {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        let Self { breaker, permits } = self;
        Some(match *input {
            Input::Admit { call } => {
                let place = permits.get_mut(usize::from(call))?;
                let acquired = breaker.try_acquire(now);
                let answer = Answer::from(&acquired);
                if let Ok(permit) = acquired {
                    *place = Some(permit);
                }
                answer
            }
            Input::Success { call } => breaker.on_success(permits.get_mut(usize::from(call))?.take()?, now).into(),
            Input::Failure { call, .. } => breaker.on_failure(permits.get_mut(usize::from(call))?.take()?, now).into(),
            Input::Cancel { call } => {
                breaker.cancel(permits.get_mut(usize::from(call))?.take()?, now);
                Answer::Done
            }
            ref other => manual(breaker, other, now)?,
        })
    }

    fn state(&self, _now: Instant) -> State {
        State::Breaker(self.breaker.snapshot())
    }
}

impl Machine for Retry {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        match *input {
            Input::Failure { class, .. } => Some(self.on_failure(class, now).into()),
            _ => None,
        }
    }

    fn state(&self, _now: Instant) -> State {
        State::Retry(self.snapshot())
    }
}

impl Machine for Limiter {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        Some(match *input {
            Input::Check { n: 1 } => self.check(now).into(),
            Input::Check { n } => self.check_n(n, now).into(),
            Input::Reset => {
                self.reset();
                Answer::Done
            }
            _ => return None,
        })
    }

    fn state(&self, _now: Instant) -> State {
        State::Limiter(self.snapshot())
    }
}

impl<const N: usize, P: Policy> Machine for Cache<u32, u32, N, P> {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        Some(match *input {
            Input::Get { key } => self.get(&key, now).copied().into(),
            Input::Insert { key, value, ttl: None } => self.insert(key, value, now).into(),
            Input::Insert { key, value, ttl: Some(ttl) } => self.insert_with_ttl(key, value, ttl, now).into(),
            Input::Remove { key } => self.remove(&key, now).into(),
            Input::Poll => {
                self.poll(now);
                Answer::Done
            }
            Input::Reset => {
                self.clear();
                Answer::Done
            }
            _ => return None,
        })
    }

    fn state(&self, _now: Instant) -> State {
        State::Cache(self.snapshot())
    }
}

impl<const N: usize> Machine for Health<N> {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        Some(match *input {
            Input::AddCheck { ref name, config } => {
                self.add(name.as_str(), config).map_or(Answer::Missing, |_| Answer::Done)
            }
            Input::Report { check, outcome, took } => {
                let id = self.ids().nth(usize::from(check))?;
                self.report(id, outcome, took, now).into()
            }
            Input::Poll => {
                self.poll(now);
                self.overall().into()
            }
            _ => return None,
        })
    }

    fn state(&self, _now: Instant) -> State {
        State::Health(self.overall())
    }
}

impl<const KINDS: usize, const LAST: usize> Machine for Errors<KINDS, LAST> {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        match input {
            Input::Error { kind, message } => {
                self.record(kind.as_str(), message.as_str(), now);
                Some(Answer::Done)
            }
            _ => None,
        }
    }

    fn state(&self, now: Instant) -> State {
        State::Errors(self.snapshot(now))
    }
}
