//! How calls are made.

use core::fmt;

use crate::reliability::{breaker, budget, bulkhead, retry};
use crate::time::Duration;

/// Says how calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How failed calls are tried again.
    pub retry: retry::Config,
    /// What all runs together may retry; `None` for no limit. A budget that is shared with others goes
    /// to the runner instead.
    pub budget: Option<budget::Config>,
    /// When calls stop being made at all.
    pub breaker: breaker::Config,
    /// How many calls of all runs go on at once, and wait; `None` for no limit.
    pub bulkhead: Option<bulkhead::Config>,
    /// How long one run may take with all its calls and waits, more than 0. Only a runner that can
    /// interrupt a call cuts one short at the end; each makes no further one.
    pub total_timeout: Option<Duration>,
    /// How long one call may take, more than 0. A runner that can interrupt a call does, and reports
    /// a failure.
    pub attempt_timeout: Option<Duration>,
    /// How long one run may wait in all for an open breaker to admit it. Zero gives up at once.
    pub open_wait: Duration,
}

impl Config {
    /// The defaults of retry and breaker, no time limits, no budget, no bulkhead, no waiting for an
    /// open breaker.
    pub const DEFAULT: Self = Self {
        retry: retry::Config::DEFAULT,
        budget: None,
        breaker: breaker::Config::DEFAULT,
        bulkhead: None,
        total_timeout: None,
        attempt_timeout: None,
        open_wait: Duration::ZERO,
    };

    /// Checks the parts for an executor in which nobody waits for a place.
    ///
    /// # Errors
    /// The first part's error.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        self.validate_for(0)
    }

    /// Checks the parts for an executor with `places` places to wait in.
    ///
    /// # Errors
    /// The first part's error.
    pub const fn validate_for(&self, places: usize) -> Result<(), ConfigError> {
        if let Err(error) = self.retry.validate() {
            return Err(ConfigError::Retry(error));
        }
        if let Some(budget) = &self.budget
            && let Err(error) = budget.validate()
        {
            return Err(ConfigError::Budget(error));
        }
        if let Err(error) = self.breaker.validate() {
            return Err(ConfigError::Breaker(error));
        }
        if let Some(bulkhead) = &self.bulkhead
            && let Err(error) = bulkhead.validate(places)
        {
            return Err(ConfigError::Bulkhead(error));
        }
        match (self.total_timeout, self.attempt_timeout) {
            (Some(Duration::ZERO), _) => Err(ConfigError::NoTotalTimeout),
            (_, Some(Duration::ZERO)) => Err(ConfigError::NoAttemptTimeout),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which part of a [`Config`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `retry` is.
    Retry(retry::ConfigError),
    /// `budget` is.
    Budget(budget::ConfigError),
    /// `breaker` is.
    Breaker(breaker::ConfigError),
    /// `bulkhead` is.
    Bulkhead(bulkhead::ConfigError),
    /// `total_timeout` is 0.
    NoTotalTimeout,
    /// `attempt_timeout` is 0.
    NoAttemptTimeout,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(error) => error.fmt(f),
            Self::Budget(error) => error.fmt(f),
            Self::Breaker(error) => error.fmt(f),
            Self::Bulkhead(error) => error.fmt(f),
            Self::NoTotalTimeout => f.write_str("executor: `total_timeout` is 0; leave it out for no limit"),
            Self::NoAttemptTimeout => f.write_str("executor: `attempt_timeout` is 0; leave it out for no limit"),
        }
    }
}

impl core::error::Error for ConfigError {}
