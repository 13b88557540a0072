//! Tells whether a program is alive, ready and started, from the checks that it reports.

use core::fmt;

mod check;
mod config;

pub use config::{AddError, CheckConfig, Config, ConfigError};

use check::Check;

use super::breaker::State;
use crate::text::Text;
use crate::time::{Duration, Instant};

/// Says what a check speaks for, as Kubernetes' probes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// Whether a restart is needed. Healthy until it has failed. What restarts cannot mend, such as an
    /// open breaker, does not belong here.
    Liveness,
    /// Whether requests may come. Unhealthy until it has succeeded.
    Readiness,
    /// Whether the start is over; until then nothing is alive or ready by its checks.
    Startup,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        })
    }
}

/// Says how well something is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It works.
    Healthy,
    /// It works, but worse than it should: counts as healthy.
    Degraded,
    /// Nobody knows yet.
    Unknown,
    /// It does not work.
    Unhealthy,
}

impl Status {
    /// Whether it works at all.
    #[must_use]
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// Tells how a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// It succeeded.
    Pass,
    /// It succeeded, with a warning.
    Degraded,
    /// It failed.
    Fail,
    /// It panicked: a failure.
    Panicked,
    /// It took longer than its timeout: a failure.
    TimedOut,
    /// Nothing has been heard of it for longer than its `max_age`: a failure.
    Stale,
}

impl Outcome {
    /// Whether it succeeded, with or without a warning.
    #[must_use]
    pub const fn has_passed(self) -> bool {
        matches!(self, Self::Pass | Self::Degraded)
    }

    /// What a breaker's state means to a check of `kind`. Probing, or open for liveness and startup, it is
    /// `Degraded`: a restart does not mend what is called. Open for readiness, it is a failure.
    #[must_use]
    pub const fn of_breaker(state: State, kind: Kind) -> Self {
        match (state, kind) {
            (State::Open | State::ForcedOpen, Kind::Readiness) => Self::Fail,
            (State::Open | State::ForcedOpen | State::HalfOpen, _) => Self::Degraded,
            (State::Closed | State::Disabled | State::MetricsOnly, _) => Self::Pass,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "passed",
            Self::Degraded => "degraded",
            Self::Fail => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Stale => "has not been heard of",
        })
    }
}

/// Names a check in its [`Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CheckId(usize);

impl CheckId {
    /// Its place in the order of being added, from 0: where an adapter keeps what belongs to it.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Judges up to `N` checks that somebody else runs (`HealthChecker`).
///
/// The host runs async checks and serves `/livez`, `/readyz` and `/startupz` from it; a device feeds its
/// watchdog only while [`Health::is_live`]. For what a single callee's failures mean to its callers, take a
/// [`Breaker`](super::breaker::Breaker) instead, and report its state here.
///
/// Whoever runs the checks asks [`Health::begin`] which one is due, runs it, and reports with
/// [`Health::finish`]. What is learnt without being asked (a driver's last error) is told by
/// [`Health::report`] alone.
///
/// # Rules
/// 1. A check becomes healthy after `success_threshold` successes in a row, unhealthy after
///    `failure_threshold` failures in a row; in between it stays what it was.
/// 2. At first liveness is healthy, readiness unhealthy, startup unknown.
/// 3. A check that panicked or took longer than its timeout has failed, and says so.
/// 4. A kind's status is its worst check's; without checks, what the config says.
/// 5. Until startup is healthy, liveness counts as healthy and readiness as unhealthy. A startup check that
///    has become healthy stays so: a start that is over cannot hide what liveness says later. Liveness is
///    counted anew from there: what failed because of the start needs no restart.
/// 6. `Degraded` counts as healthy.
/// 7. A name exists once.
/// 8. A check is due at first at once, then a `period` after its last beginning; while it runs it is not,
///    and a startup check that has become healthy never is again.
/// 9. A run that has not ended is late from the first moment after its timeout, and fails once more for
///    every further timeout; when it ends at last, that is not counted again.
/// 10. A check of which nothing is heard for longer than `max_age` is unhealthy at once, whatever its
///     threshold; before its first report the age counts from the first [`Health::poll`].
/// 11. A run that was cancelled records nothing, and is due again.
/// 12. An open breaker never fails liveness or startup.
/// 13. A clock that steps backwards makes nothing late, stale or due.
///
/// # Cost
/// 520 bytes of RAM and 3,792 of flash on thumbv6m (image `health`, of four checks): 128 bytes a check.
/// Reporting is O(1), the end of the start and all else O(N).
///
/// # Errors
/// [`AddError`] for a check that is not taken on.
///
/// # Sharing
/// In a [`Shared`](crate::shared::Shared); a check runs between two calls, never inside one. Whoever may be
/// cancelled in between calls [`Health::abandon`].
///
/// # Example
/// ```
/// use daur_core::reliability::health::{CheckConfig, Config, Health, Outcome};
/// use daur_core::time::{Duration, Instant};
///
/// let mut health = Health::<4>::new(Config::DEFAULT);
/// let database = health.add("database", CheckConfig::READINESS)?;
/// assert!(health.is_live() && !health.is_ready());
///
/// let now = Instant::from_secs(1);
/// while let Some(check) = health.begin(now) {
///     // The check is run, and passes 3 ms later.
///     health.finish(check, Outcome::Pass, now + Duration::from_millis(3));
/// }
/// assert!(health.is_ready() && health.is_healthy());
/// assert_eq!(health.poll_at(), Some(Instant::from_secs(11)));
///
/// // What feeds a watchdog:
/// if health.is_live() { /* watchdog.feed() */ }
/// # assert_eq!(health.get(database).unwrap().took, Duration::from_millis(3));
/// # Ok::<(), daur_core::reliability::health::AddError>(())
/// ```
///
/// # References
/// Kubernetes, *Configure Liveness, Readiness and Startup Probes*.
#[doc(alias = "HealthChecker")]
#[derive(Clone, Debug)]
pub struct Health<const N: usize> {
    config: Config,
    checks: [Option<Check>; N],
}

impl<const N: usize> Health<N> {
    /// No checks.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, checks: [None; N] }
    }

    /// Adds a check called `name`.
    ///
    /// # Errors
    /// [`AddError`] if the name is taken or too long, the config breaks a rule, or there is no place.
    #[doc(alias = "register_check")]
    pub fn add(&mut self, name: &str, config: CheckConfig) -> Result<CheckId, AddError> {
        let name = Text::new(name).map_err(|_| AddError::NameTooLong)?;
        config.validate().map_err(AddError::Config)?;
        if self.checks.iter().flatten().any(|check| check.shown.name == name) {
            return Err(AddError::Duplicate);
        }
        let (index, place) =
            self.checks.iter_mut().enumerate().find(|(_, place)| place.is_none()).ok_or(AddError::Full)?;
        *place = Some(Check::new(name, config));
        Ok(CheckId(index))
    }

    /// The check that has been due for the longest time, which begins to run now.
    pub fn begin(&mut self, now: Instant) -> Option<CheckId> {
        let due = self.checks.iter_mut().enumerate().filter_map(|(index, check)| Some((index, check.as_mut()?)));
        let due = due.filter(|(_, check)| check.due_at().is_some_and(|due| now >= due));
        let (index, check) = due.min_by_key(|(_, check)| check.due_at())?;
        check.begin(now);
        Some(CheckId(index))
    }

    /// Begins a check that need not be due; `false` if it runs already.
    pub fn start(&mut self, id: CheckId, now: Instant) -> bool {
        let Some(check) = self.check(id).filter(|check| check.begun().is_none()) else { return false };
        check.begin(now);
        true
    }

    /// Reports how the run that began last ended: it took from then until now. Says the check's status.
    pub fn finish(&mut self, id: CheckId, outcome: Outcome, now: Instant) -> Status {
        let begun = self.check(id).and_then(|check| check.begun());
        self.report(id, outcome, now - begun.unwrap_or(now), now)
    }

    /// Gives up the run that began last, as if it had not begun.
    pub fn abandon(&mut self, id: CheckId) {
        if let Some(check) = self.check(id) {
            check.abandon();
        }
        self.invariants();
    }

    /// Reports how a run of the check ended and how long it took; says the check's status.
    #[doc(alias = "run_checks")]
    pub fn report(&mut self, id: CheckId, outcome: Outcome, took: Duration, now: Instant) -> Status {
        let Some(check) = self.check(id) else { return Status::Unknown };
        let was_over = check.shown.kind != Kind::Startup || check.shown.status.is_healthy();
        let status = check.report(outcome, took, now);
        if !was_over && self.is_started() {
            self.end_start(now);
        }
        self.invariants();
        status
    }

    /// Liveness begins to count when the start is over: what failed because of it needs no restart.
    fn end_start(&mut self, now: Instant) {
        for check in self.checks.iter_mut().flatten().filter(|check| check.shown.kind == Kind::Liveness) {
            check.start_over(now);
        }
    }

    /// Reports what a breaker's state means to the check, as [`Outcome::of_breaker`] says. A state that is
    /// told once counts once: told at its changes only, the check needs a `failure_threshold` of 1.
    pub fn report_breaker(&mut self, id: CheckId, state: State, now: Instant) -> Status {
        let Some(kind) = self.get(id).map(|shown| shown.kind) else { return Status::Unknown };
        self.report(id, Outcome::of_breaker(state, kind), Duration::ZERO, now)
    }

    /// Fails what is late or stale; says whether a status changed.
    pub fn poll(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for check in self.checks.iter_mut().flatten() {
            let before = check.shown.status;
            check.poll(now);
            changed |= before != check.shown.status;
        }
        self.invariants();
        changed
    }

    /// The moment at which [`Health::poll`] or [`Health::begin`] has something to do.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        let each = self.checks.iter().flatten().map(|check| Instant::earliest(check.poll_at(), check.due_at()));
        each.fold(None, Instant::earliest)
    }

    /// The worst status among the checks of a kind, as they were reported: startup does not count here.
    #[must_use]
    pub fn status(&self, kind: Kind) -> Status {
        let of_kind = self.checks.iter().flatten().filter(|check| check.shown.kind == kind);
        let empty = if kind == Kind::Startup { Status::Healthy } else { self.config.empty };
        of_kind.map(|check| check.shown.status).max().unwrap_or(empty)
    }

    /// The status of a kind as a probe is answered: with startup's gate before liveness and readiness.
    #[must_use]
    pub fn judged(&self, kind: Kind) -> Status {
        match kind {
            Kind::Liveness if !self.is_started() => Status::Healthy,
            Kind::Readiness if !self.is_started() => Status::Unhealthy,
            kind => self.status(kind),
        }
    }

    /// The worst of all: of liveness and readiness as they are judged, and of startup.
    #[must_use]
    pub fn overall(&self) -> Status {
        let worse = self.judged(Kind::Liveness).max(self.judged(Kind::Readiness));
        worse.max(self.status(Kind::Startup))
    }

    /// Whether the start is over: nothing checks it, or all such checks are healthy.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.status(Kind::Startup).is_healthy()
    }

    /// Whether no restart is needed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.judged(Kind::Liveness).is_healthy()
    }

    /// Whether requests may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.judged(Kind::Readiness).is_healthy()
    }

    /// Whether it is live and ready.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_live() && self.is_ready()
    }

    /// Whether a run of the check is under way.
    #[must_use]
    pub fn is_running(&self, id: CheckId) -> bool {
        self.checks.get(id.0).and_then(Option::as_ref).is_some_and(|check| check.begun().is_some())
    }

    /// One check.
    #[must_use]
    pub fn get(&self, id: CheckId) -> Option<&Snapshot> {
        self.checks.get(id.0)?.as_ref().map(|check| &check.shown)
    }

    /// Every check, in the order of being added.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.checks.iter().flatten().map(|check| &check.shown)
    }

    /// The ids of all checks, in the order of being added.
    pub fn ids(&self) -> impl Iterator<Item = CheckId> {
        self.checks.iter().enumerate().filter(|(_, check)| check.is_some()).map(|(index, _)| CheckId(index))
    }

    fn check(&mut self, id: CheckId) -> Option<&mut Check> {
        self.checks.get_mut(id.0)?.as_mut()
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            self.checks.iter().flatten().for_each(Check::invariants);
            let taken = self.checks.iter().take_while(|check| check.is_some()).count();
            debug_assert_eq!(taken, self.checks.iter().flatten().count(), "places are taken in order");
        }
    }
}

/// Shows one check at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Its name.
    pub name: Text<24>,
    /// What it speaks for.
    pub kind: Kind,
    /// How it is judged.
    pub status: Status,
    /// How its last run ended.
    pub outcome: Option<Outcome>,
    /// How long its last run took.
    pub took: Duration,
    /// When its last run ended.
    pub at: Option<Instant>,
    /// Runs that were judged.
    pub runs: u32,
    /// How many of them failed.
    pub failed: u32,
}
