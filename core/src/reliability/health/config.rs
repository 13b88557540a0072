//! What is checked, and when a check changes its status.

use core::fmt;

use crate::time::Duration;

use super::{Kind, Status};

/// Says when a check is run and when it changes its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CheckConfig {
    /// What it speaks for.
    pub kind: Kind,
    /// Successes in a row that make it healthy; at least 1.
    pub success_threshold: u8,
    /// Failures in a row that make it unhealthy; at least 1.
    pub failure_threshold: u8,
    /// A check that took longer has failed, whatever it said; more than 0.
    pub timeout: Duration,
    /// How often it is due, from start to start; more than 0. `None`: it is never due by itself, somebody
    /// reports or asks for it.
    pub period: Option<Duration>,
    /// A report older than this is none any more: the check is unhealthy until the next one. Longer than
    /// `period`. `None`: a report holds until the next one.
    pub max_age: Option<Duration>,
}

impl CheckConfig {
    /// Every 10 s, 1 s at most, healthy at the first success, unhealthy at the third failure in a row
    /// (Kubernetes' defaults).
    pub const LIVENESS: Self = Self {
        kind: Kind::Liveness,
        success_threshold: 1,
        failure_threshold: 3,
        timeout: Duration::from_secs(1),
        period: Some(Duration::from_secs(10)),
        max_age: None,
    };
    /// The same for readiness.
    pub const READINESS: Self = Self { kind: Kind::Readiness, ..Self::LIVENESS };
    /// The same for startup.
    pub const STARTUP: Self = Self { kind: Kind::Startup, ..Self::LIVENESS };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.success_threshold == 0 || self.failure_threshold == 0 {
            return Err(ConfigError::NoThreshold);
        }
        if self.timeout.is_zero() {
            return Err(ConfigError::NoTimeout);
        }
        let period = match self.period {
            Some(period) if period.is_zero() => return Err(ConfigError::NoPeriod),
            Some(period) => period,
            None => Duration::ZERO,
        };
        match self.max_age {
            Some(max_age) if max_age.as_nanos() <= period.as_nanos() => Err(ConfigError::AgeTooShort),
            _ => Ok(()),
        }
    }
}

/// Says which rule a [`CheckConfig`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// A threshold is 0.
    NoThreshold,
    /// `timeout` is 0.
    NoTimeout,
    /// `period` is 0.
    NoPeriod,
    /// `max_age` is 0, or not longer than `period`.
    AgeTooShort,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoThreshold => "health check: a threshold is 0; at least 1 is needed",
            Self::NoTimeout => "health check: `timeout` is 0; more is needed",
            Self::NoPeriod => "health check: `period` is 0; more is needed, or none at all",
            Self::AgeTooShort => "health check: `max_age` must be longer than `period`",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says what holds where nothing is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The status of liveness or readiness without checks. An explicit choice: a service without a readiness
    /// check is either always ready or has forgotten it. A start that nothing checks is over.
    pub empty: Status,
}

impl Config {
    /// A kind without checks is healthy.
    pub const DEFAULT: Self = Self { empty: Status::Healthy };
    /// A kind without checks is unhealthy: whoever forgets its checks notices.
    pub const STRICT: Self = Self { empty: Status::Unhealthy };
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
    /// Its config breaks a rule.
    Config(ConfigError),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "a health check of that name exists already",
            Self::Full => "all places for health checks are taken",
            Self::NameTooLong => "a health check's name has at most 24 bytes",
            Self::Config(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for AddError {}
