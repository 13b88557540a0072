//! When a breaker opens and how it comes back.

use core::fmt;

use crate::reliability::retry;
use crate::time::Duration;

/// Says when a [`Breaker`](super::Breaker) opens and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Failures in a row that open a breaker of mode [`Consecutive`](super::Consecutive); at least 1. Other modes bring
    /// their own condition and leave this alone.
    pub failures: u32,
    /// How long an open breaker refuses before it admits a probe; more than 0.
    pub recovery_timeout: Duration,
    /// Lets the wait double with each opening in a row up to this length, so that what stays broken
    /// is probed less and less; `None` keeps it at `recovery_timeout`. A success after the breaker
    /// has closed starts it over.
    pub recovery_timeout_max: Option<Duration>,
    /// Calls that a half-open breaker admits; at least 1.
    pub probes: u32,
    /// Successes among the probes that close it; from 1 to `probes`.
    pub success_threshold: u32,
    /// How long a probe may go without a report before its place is given away; more than 0.
    pub probe_lease: Duration,
}

impl Config {
    /// Opens on 5 failures in a row, probes with one call after 60 s.
    pub const DEFAULT: Self = Self {
        failures: 5,
        recovery_timeout: Duration::from_secs(60),
        recovery_timeout_max: None,
        probes: 1,
        success_threshold: 1,
        probe_lease: Duration::from_secs(30),
    };

    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.failures == 0 {
            return Err(ConfigError::NoFailures);
        }
        if self.probes == 0 {
            return Err(ConfigError::NoProbes);
        }
        if self.success_threshold == 0 || self.success_threshold > self.probes {
            return Err(ConfigError::SuccessThreshold);
        }
        if self.recovery_timeout.is_zero() {
            return Err(ConfigError::NoRecoveryTimeout);
        }
        if self.probe_lease.is_zero() {
            return Err(ConfigError::NoProbeLease);
        }
        if let Some(max) = self.recovery_timeout_max
            && max.as_nanos() < self.recovery_timeout.as_nanos()
        {
            return Err(ConfigError::RecoveryTimeoutMax);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `failures` is 0.
    NoFailures,
    /// `probes` is 0.
    NoProbes,
    /// `success_threshold` is not in `1..=probes`.
    SuccessThreshold,
    /// `recovery_timeout` is 0.
    NoRecoveryTimeout,
    /// `probe_lease` is 0.
    NoProbeLease,
    /// `recovery_timeout_max` is below `recovery_timeout`.
    RecoveryTimeoutMax,
    /// A window's `calls` is 0 or more than it has bits for.
    WindowCalls,
    /// A window's `min_calls` is not in `1..=calls`.
    WindowMinCalls,
    /// A window's `failure_pct` is not in `1..=100`.
    WindowFailurePct,
    /// A time window's `buckets` is 0 or more than it has.
    SpanBuckets,
    /// A time window's `bucket` is 0.
    SpanBucket,
    /// A time window's `min_calls` is 0.
    SpanMinCalls,
    /// `slow_call` is 0.
    SlowCall,
    /// `slow_pct` is not in `1..=100`.
    SlowPct,
    /// Slow calls are to open a breaker that has no window.
    SlowNeedsWindow,
    /// The strategy or the jitter of a growing wait is invalid.
    Growth(retry::ConfigError),
}

impl ConfigError {
    /// What is wrong and what is allowed: for a message of the compiler's.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self {
            Self::NoFailures => "breaker: `failures` is 0; at least 1 is needed",
            Self::NoProbes => "breaker: `probes` is 0; at least 1 is needed",
            Self::SuccessThreshold => "breaker: `success_threshold` must be from 1 to `probes`",
            Self::NoRecoveryTimeout => "breaker: `recovery_timeout` is 0; an open breaker would refuse nothing",
            Self::NoProbeLease => "breaker: `probe_lease` is 0; it must be longer than a probe takes",
            Self::RecoveryTimeoutMax => "breaker: `recovery_timeout_max` is shorter than `recovery_timeout`",
            Self::WindowCalls => "breaker: the window's `calls` must be from 1 to 32 for each of its words",
            Self::WindowMinCalls => "breaker: the window's `min_calls` must be from 1 to `calls`",
            Self::WindowFailurePct => "breaker: the window's `failure_pct` must be from 1 to 100",
            Self::SpanBuckets => "breaker: the time window's `buckets` must be from 1 to as many as it has",
            Self::SpanBucket => "breaker: the time window's `bucket` is 0; it must be longer",
            Self::SpanMinCalls => "breaker: the time window's `min_calls` is 0; at least 1 is needed",
            Self::SlowCall => "breaker: `slow_call` is 0; every call would be slow",
            Self::SlowPct => "breaker: `slow_pct` must be from 1 to 100",
            Self::SlowNeedsWindow => "breaker: slow calls need a window; failures in a row have no rate",
            Self::Growth(_) => "breaker: the open wait cannot grow so",
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        match self {
            Self::Growth(error) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for ConfigError {}
