//! Stops calling what keeps failing, and probes it now and then.

mod any;
mod backoff;
mod build;
mod config;
mod count_window;
mod mode;
mod permit;
mod slow;
mod state;
mod time_window;

pub use any::{Any, ModeConfig, Opens};
pub use backoff::{Backoff, Growth};
pub use config::{Config, ConfigError};
pub use count_window::{CountWindow, Window};
use mode::sealed::Verdict;
pub use mode::{Consecutive, Counts, Mode};
pub use permit::{Fast, Permit};
pub use slow::{Slow, SlowCalls};
pub use state::{Cause, Event, Open, Snapshot, State};
pub use time_window::{Span, TimeWindow};

use crate::time::{Duration, Instant};

/// Refuses calls to what keeps failing, and probes it until it works again (`CircuitBreaker`).
///
/// By default it counts failures in a row; that and the other modes are a type parameter, so that
/// nobody links the windows of others. A host that reads its mode from a file has [`Any`].
///
/// Put it in front of a bus, a sensor, another service: where waiting for one more failure costs more
/// than being told at once. To try again after a failure use [`retry`](super::retry); for both
/// together [`executor`](super::executor).
///
/// # Rules
/// 1. Closed, it admits every call. `failures` failures in a row open it, or what another mode says:
///    the rate of a [`CountWindow`] or [`TimeWindow`], [`Slow`] calls among them.
/// 2. Open, it refuses until exactly `recovery_timeout` has passed, and says until when.
/// 3. Half-open, it admits `probes` calls, counted at admission, and refuses the rest.
/// 4. `success_threshold` successful probes close it; the first failure that makes that impossible
///    opens it again. (A window judges their rate instead.)
/// 5. A report from before the last change of state is counted as late and changes nothing.
/// 6. A cancelled call gives its place back and records nothing.
/// 7. Probes that do not report within `probe_lease` of the latest admission lose their place, and
///    what they report afterwards is late.
/// 8. The wait doubles, if it may, with each opening in a row, or grows as [`Backoff`] says; a success
///    after closing starts it over.
/// 9. A clock that steps backwards unlocks nothing.
/// 10. By hand it can be forced open, disabled, or left to count only; `reset` ends that.
///
/// # Cost
/// 80 bytes of RAM and 660 of flash on thumbv6m (image `breaker`), with all that it calls; the other
/// modes say theirs. Every call is O(1); closed, admission is one comparison.
///
/// # Errors
/// [`Open`] where a call is refused, with the moment to come back at.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and keep the call itself outside of `with`. A call
/// that may be cancelled between admission and report must hand its permit to [`Breaker::cancel`]
/// when it is; the runners do it on drop.
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Breaker, Config, Event, State};
/// use daur_core::time::{Duration, Instant};
///
/// const BUS: Config = Config { failures: 2, recovery_timeout: Duration::from_secs(5), ..Config::DEFAULT };
/// let mut breaker = Breaker::new(BUS);
///
/// let now = Instant::from_secs(100);
/// for _ in 0..2 {
///     let permit = breaker.try_acquire(now)?;
///     breaker.on_failure(permit, now); // the call failed
/// }
/// assert_eq!(breaker.state(), State::Open);
///
/// let refused = breaker.try_acquire(now).unwrap_err();
/// assert_eq!(refused.retry_at, Instant::from_secs(105));
///
/// let probe = breaker.try_acquire(refused.retry_at)?;
/// assert_eq!(breaker.on_success(probe, refused.retry_at), Some(Event::Closed));
/// # Ok::<(), daur_core::reliability::breaker::Open>(())
/// ```
///
/// # References
/// M. Nygard, *Release It!*; Resilience4j's `CircuitBreaker` for the manual states and the wording.
#[doc(alias = "CircuitBreaker")]
#[derive(Clone, Debug)]
pub struct Breaker<M: Mode = Consecutive> {
    mode: M,
    recovery_timeout: Duration,
    recovery_timeout_max: Duration,
    probe_lease: Duration,
    /// Open: when probes are admitted. Half-open: when the probes that are out lose their place.
    until: Instant,
    generation: u32,
    probes: u32,
    success_threshold: u32,
    /// Probes admitted and not reported.
    out: u32,
    succeeded: u32,
    failed: u32,
    opened: u32,
    refused: u32,
    late: u32,
    state: State,
    /// Openings since the last success in `Closed`.
    streak: u8,
}

impl<M: Mode> Breaker<M> {
    /// Asks to make one call.
    ///
    /// # Errors
    /// [`Open`] if it must not be made.
    #[doc(alias = "can_execute")]
    #[inline]
    pub fn try_acquire(&mut self, now: Instant) -> Result<Permit, Open> {
        if self.state == State::Closed {
            return Ok(self.permit(now));
        }
        self.try_acquire_slow(now)
    }

    fn try_acquire_slow(&mut self, now: Instant) -> Result<Permit, Open> {
        let half_opened = self.poll(now).is_some();
        let retry_at = match self.state {
            State::Closed | State::Disabled | State::MetricsOnly => return Ok(self.permit(now)),
            State::HalfOpen if self.has_room() => {
                self.out += 1;
                // Not earlier than it was: a clock that stepped back must not take a running probe's place.
                self.until = self.until.max(now.after(self.probe_lease));
                self.invariants();
                return Ok(Permit { half_opened, ..self.permit(now) });
            }
            State::HalfOpen | State::Open => self.until,
            State::ForcedOpen => Instant::MAX,
        };
        self.refused = self.refused.saturating_add(1);
        Err(Open { retry_at })
    }

    /// Reports that the call succeeded; tells the change of state that this made.
    #[doc(alias = "record_success")]
    pub fn on_success(&mut self, permit: Permit, now: Instant) -> Option<Event> {
        let took = permit.took(now);
        if self.is_late(permit) {
            return None;
        }
        if self.state == State::HalfOpen {
            self.succeeded += 1;
            self.mode.on_probe(took);
            return self.judge(now);
        }
        if !self.counts() {
            return None;
        }
        if self.state == State::Closed {
            self.streak = 0;
        }
        let cause = self.mode.on_success(took, now)?;
        self.open_if_closed(cause, now)
    }

    /// Reports that the call failed; tells the change of state that this made.
    #[doc(alias = "record_failure")]
    pub fn on_failure(&mut self, permit: Permit, now: Instant) -> Option<Event> {
        let took = permit.took(now);
        if self.is_late(permit) {
            return None;
        }
        if self.state == State::HalfOpen {
            self.failed += 1;
            self.mode.on_probe(took);
            return self.judge(now);
        }
        if !self.counts() {
            return None;
        }
        let cause = self.mode.on_failure(took, now)?;
        self.open_if_closed(cause, now)
    }

    /// Gives a permit back whose call was not made, was cancelled, or says nothing about the callee.
    ///
    /// `now` is here because every report has it; nothing depends on it yet.
    #[expect(clippy::needless_pass_by_value, reason = "it uses the permit up")]
    pub fn cancel(&mut self, permit: Permit, _now: Instant) {
        if permit.generation == self.generation {
            self.out = self.out.saturating_sub(1);
        }
    }

    /// Does what time alone does: turns an open breaker half-open, takes back what overdue probes hold.
    ///
    /// [`Breaker::try_acquire`] does it too; call it where the change should be seen without a call.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        let event = match self.poll_at() {
            Some(at) if now >= at => {
                if self.state == State::Open {
                    self.change(State::HalfOpen);
                    Some(Event::HalfOpened)
                } else {
                    self.out = 0;
                    self.generation = self.generation.wrapping_add(1);
                    None
                }
            }
            _ => None,
        };
        self.invariants();
        event
    }

    /// The moment at which [`Breaker::poll`] has something to do.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        match self.state {
            State::Open => Some(self.until),
            State::HalfOpen if self.out > 0 => Some(self.until),
            _ => None,
        }
    }

    /// What the breaker does with calls, as of the last call or `poll`.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Closes the breaker and forgets failures, manual states and the grown wait; statistics stay.
    pub fn reset(&mut self, _now: Instant) {
        self.streak = 0;
        self.change(State::Closed);
    }

    /// Refuses every call until [`Breaker::reset`] or another manual state.
    pub fn force_open(&mut self, _now: Instant) {
        self.change(State::ForcedOpen);
    }

    /// Admits every call and counts nothing ([`State::Disabled`]) until [`Breaker::reset`] or another
    /// manual state.
    #[doc(alias = "disable")]
    pub fn force_closed(&mut self, _now: Instant) {
        self.change(State::Disabled);
    }

    /// Admits every call and counts failures without opening, until [`Breaker::reset`] or another
    /// manual state.
    pub fn metrics_only(&mut self, _now: Instant) {
        self.change(State::MetricsOnly);
    }

    /// What a wrapper may keep in an atomic; true until the next `&mut` call.
    #[must_use]
    pub fn fast(&self) -> Fast {
        let (admits, success_changes_nothing) = match self.state {
            State::Closed => (true, self.streak == 0 && self.mode.ignores_success()),
            State::MetricsOnly => (true, self.mode.ignores_success()),
            State::Disabled => (true, true),
            State::Open | State::HalfOpen | State::ForcedOpen => (false, false),
        };
        Fast {
            generation: self.generation,
            admits,
            success_changes_nothing,
            times_calls: M::TIMES_CALLS && self.mode.times_calls(),
        }
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state,
            consecutive_failures: self.mode.consecutive_failures(),
            opened: self.opened,
            refused: self.refused,
            late: self.late,
            window: self.mode.counts(),
            retry_at: match self.state {
                State::Open => Some(self.until),
                State::HalfOpen if !self.has_room() => Some(self.until),
                State::ForcedOpen => Some(Instant::MAX),
                _ => None,
            },
        }
    }

    /// As [`Breaker::snapshot`], with what time alone has changed by `now`. It changes nothing: the event
    /// is left to the call or the [`Breaker::poll`] that makes it.
    #[must_use]
    pub fn snapshot_at(&self, now: Instant) -> Snapshot {
        let shown = self.snapshot();
        match self.poll_at() {
            Some(at) if now >= at => Snapshot { state: State::HalfOpen, retry_at: None, ..shown },
            _ => shown,
        }
    }

    /// Nobody's time is noted where the mode does not ask for it.
    const fn permit(&self, now: Instant) -> Permit {
        if M::TIMES_CALLS { Permit::started_at(self.generation, now) } else { Permit::of_generation(self.generation) }
    }

    /// Whether reports go to the mode. Compared one by one, since that takes less flash than a `match`.
    const fn counts(&self) -> bool {
        matches!(self.state, State::Closed) || matches!(self.state, State::MetricsOnly)
    }

    fn open_if_closed(&mut self, cause: Cause, now: Instant) -> Option<Event> {
        if self.state == State::Closed { Some(self.open(cause, now)) } else { None }
    }

    /// Whether a half-open breaker admits one more. Each of the three was counted against `probes` at
    /// admission, so that their sum cannot exceed it.
    const fn has_room(&self) -> bool {
        self.out + self.succeeded + self.failed < self.probes
    }

    #[expect(clippy::needless_pass_by_value, reason = "a report uses its permit up")]
    fn is_late(&mut self, permit: Permit) -> bool {
        let late = permit.generation != self.generation;
        if late {
            self.late = self.late.saturating_add(1);
        }
        late
    }

    /// A probe has reported: what follows from all that have.
    fn judge(&mut self, now: Instant) -> Option<Event> {
        self.out = self.out.saturating_sub(1);
        match self.mode.judge(self.succeeded, self.failed, self.probes, self.success_threshold) {
            Verdict::Undecided => None,
            Verdict::Works => {
                self.change(State::Closed);
                Some(Event::Closed)
            }
            Verdict::Fails => Some(self.open(Cause::ProbeFailed, now)),
        }
    }

    fn open(&mut self, cause: Cause, now: Instant) -> Event {
        let wait = self.mode.wait(self.recovery_timeout, self.recovery_timeout_max, self.streak, now);
        self.streak = self.streak.saturating_add(1);
        self.opened = self.opened.saturating_add(1);
        self.change(State::Open);
        self.until = now.after(wait);
        Event::Opened { cause }
    }

    fn change(&mut self, to: State) {
        self.state = to;
        self.generation = self.generation.wrapping_add(1);
        self.out = 0;
        self.succeeded = 0;
        self.failed = 0;
        self.mode.clear();
        self.invariants();
    }

    fn invariants(&self) {
        debug_assert!(self.success_threshold >= 1 && self.success_threshold <= self.probes);
        debug_assert!(self.out + self.succeeded + self.failed <= self.probes, "more probes than allowed");
        debug_assert!(
            self.state == State::HalfOpen || self.out + self.succeeded + self.failed == 0,
            "probes are counted in the half-open state only"
        );
        debug_assert!(self.recovery_timeout <= self.recovery_timeout_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_in_eighty_bytes() {
        assert!(size_of::<Breaker>() <= 80, "{}", size_of::<Breaker>());
    }
}
