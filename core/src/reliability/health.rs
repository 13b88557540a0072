//! Tells whether a program is alive, ready and started, from the checks that it reports.

use core::fmt;

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
}

/// Says when a check changes its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CheckConfig {
    /// What it speaks for.
    pub kind: Kind,
    /// Successes in a row that make it healthy; at least 1.
    pub success_threshold: u8,
    /// Failures in a row that make it unhealthy; at least 1.
    pub failure_threshold: u8,
    /// A check that took longer has failed, whatever it said.
    pub timeout: Duration,
}

impl CheckConfig {
    /// Healthy at the first success, unhealthy at the third failure, 1 s at most (Kubernetes' defaults).
    pub const LIVENESS: Self =
        Self { kind: Kind::Liveness, success_threshold: 1, failure_threshold: 3, timeout: Duration::from_secs(1) };
    /// The same for readiness.
    pub const READINESS: Self = Self { kind: Kind::Readiness, ..Self::LIVENESS };
    /// The same for startup.
    pub const STARTUP: Self = Self { kind: Kind::Startup, ..Self::LIVENESS };
}

/// Says what holds where nothing is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The status of a kind without checks. An explicit choice: a service without a readiness check is
    /// either always ready or has forgotten it.
    pub empty: Status,
}

impl Config {
    /// A kind without checks is healthy.
    pub const DEFAULT: Self = Self { empty: Status::Healthy };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says why a check was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddError {
    /// There is one of that name.
    Duplicate,
    /// All places are taken.
    Full,
    /// The name is longer than 24 bytes.
    NameTooLong,
    /// A threshold is 0.
    Threshold,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "a health check of that name exists already",
            Self::Full => "all places for health checks are taken",
            Self::NameTooLong => "a health check's name has at most 24 bytes",
            Self::Threshold => "a health check's thresholds must be at least 1",
        })
    }
}

impl core::error::Error for AddError {}

/// Names a check in its [`Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CheckId(usize);

#[derive(Clone, Copy, Debug)]
struct Check {
    config: CheckConfig,
    /// How often in a row the last outcome has come.
    streak: u8,
    shown: Snapshot,
}

/// Judges up to `N` checks that somebody else runs (`HealthChecker`).
///
/// The host runs async checks and serves `/livez` and `/readyz` from it; a device feeds its watchdog
/// only while [`Health::is_live`].
///
/// # Rules
/// 1. A check becomes healthy after `success_threshold` successes in a row, unhealthy after
///    `failure_threshold` failures in a row; in between it stays what it was.
/// 2. At first liveness is healthy, readiness unhealthy, startup unknown.
/// 3. A check that panicked or took longer than its timeout has failed, and says so.
/// 4. A kind's status is its worst check's; without checks, what the config says.
/// 5. Until startup is healthy, liveness counts as healthy and readiness as unhealthy. A startup check that
///    has become healthy stays so: a start that is over cannot hide what liveness says later.
/// 6. `Degraded` counts as healthy.
/// 7. A name exists once.
///
/// # Cost
/// 80 bytes a check. Reporting is O(1), a status O(N).
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
/// health.report(database, Outcome::Pass, Duration::from_millis(3), Instant::from_secs(1));
/// assert!(health.is_ready() && health.is_healthy());
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
    /// [`AddError`] if the name is taken or too long, a threshold is 0, or there is no place.
    #[doc(alias = "register_check")]
    pub fn add(&mut self, name: &str, config: CheckConfig) -> Result<CheckId, AddError> {
        let name = Text::new(name).map_err(|_| AddError::NameTooLong)?;
        if config.success_threshold == 0 || config.failure_threshold == 0 {
            return Err(AddError::Threshold);
        }
        if self.checks.iter().flatten().any(|check| check.shown.name == name) {
            return Err(AddError::Duplicate);
        }
        let (index, place) =
            self.checks.iter_mut().enumerate().find(|(_, place)| place.is_none()).ok_or(AddError::Full)?;
        let status = match config.kind {
            Kind::Liveness => Status::Healthy,
            Kind::Readiness => Status::Unhealthy,
            Kind::Startup => Status::Unknown,
        };
        let shown = Snapshot { name, kind: config.kind, status, outcome: None, took: Duration::ZERO, at: None };
        *place = Some(Check { config, streak: 0, shown });
        Ok(CheckId(index))
    }

    /// Reports how a run of the check ended and how long it took; says the check's status.
    #[doc(alias = "run_checks")]
    pub fn report(&mut self, id: CheckId, outcome: Outcome, took: Duration, now: Instant) -> Status {
        let Some(Some(check)) = self.checks.get_mut(id.0) else { return Status::Unknown };
        let outcome = if took > check.config.timeout { Outcome::TimedOut } else { outcome };
        let passed = |outcome| matches!(outcome, Outcome::Pass | Outcome::Degraded);
        let same = check.shown.outcome.is_some_and(|last| passed(last) == passed(outcome));
        check.streak = if same { check.streak.saturating_add(1) } else { 1 };
        check.shown.outcome = Some(outcome);
        check.shown.took = took;
        check.shown.at = Some(now);
        let has_started = check.config.kind == Kind::Startup && check.shown.status.is_healthy();
        match outcome {
            Outcome::Pass if check.streak >= check.config.success_threshold => check.shown.status = Status::Healthy,
            Outcome::Degraded if check.streak >= check.config.success_threshold => {
                check.shown.status = Status::Degraded;
            }
            Outcome::Fail | Outcome::Panicked | Outcome::TimedOut
                if check.streak >= check.config.failure_threshold && !has_started =>
            {
                check.shown.status = Status::Unhealthy;
            }
            _ => {}
        }
        check.shown.status
    }

    /// The worst status among the checks of a kind, as they were reported: startup does not count here.
    #[must_use]
    pub fn status(&self, kind: Kind) -> Status {
        let of_kind = self.checks.iter().flatten().filter(|check| check.shown.kind == kind);
        of_kind.map(|check| check.shown.status).max().unwrap_or(self.config.empty)
    }

    /// Whether the start is over: nothing checks it, or all such checks are healthy.
    #[must_use]
    pub fn is_started(&self) -> bool {
        let mut startup = self.checks.iter().flatten().filter(|check| check.shown.kind == Kind::Startup);
        startup.all(|check| check.shown.status.is_healthy())
    }

    /// Whether no restart is needed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.is_started() || self.status(Kind::Liveness).is_healthy()
    }

    /// Whether requests may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_started() && self.status(Kind::Readiness).is_healthy()
    }

    /// Whether it is live and ready.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_live() && self.is_ready()
    }

    /// Every check, in the order of being added.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.checks.iter().flatten().map(|check| &check.shown)
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
}
