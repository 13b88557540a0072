//! How to retry.

use core::fmt;

use crate::time::Duration;

/// Says how many times a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Attempts {
    /// So many calls in all, the first one included; at least 1.
    Limited(u32),
    /// As many as it takes: a device that must reconnect.
    Forever,
}

/// Says how the wait follows from the number of failures `n` (1, 2, 3, ..). Everything saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Strategy {
    /// `initial_delay`, always.
    Constant,
    /// `initial_delay * n`.
    Linear,
    /// `initial_delay * factor^(n - 1)`.
    Exponential {
        /// At least 1; 2 doubles.
        factor: u32,
    },
    /// `initial_delay` times 1, 1, 2, 3, 5, 8, ..
    Fibonacci,
    /// Uniform in `min..=max`, of that range what is not above `max_delay`; `initial_delay` has no part
    /// in it.
    Random {
        /// The shortest wait.
        #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
        min: Duration,
        /// The longest wait; not below `min`.
        #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
        max: Duration,
    },
}

impl Strategy {
    /// Doubles.
    pub const EXPONENTIAL: Self = Self::Exponential { factor: 2 };
}

/// Says how chance changes the strategy's wait `d`, so that many callers do not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Jitter {
    /// `d`.
    None,
    /// Uniform in `0..=d`.
    Full,
    /// `d / 2`, and uniform in `0..=d / 2` on top.
    Equal,
    /// Uniform in `initial_delay..=previous wait * 3`, of that range what is not above `max_delay`; the
    /// strategy has no part in it.
    Decorrelated,
    /// `d`, up to so many percent, which are at most 100, shorter or longer, but not above `max_delay`.
    Factor(u8),
}

/// Says how to retry (`RetryConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[doc(alias = "RetryConfig")]
pub struct Config {
    /// How many calls in all.
    pub max_attempts: Attempts,
    /// What the strategy starts from.
    #[doc(alias = "base_delay")]
    pub initial_delay: Duration,
    /// No wait that is computed is longer.
    pub max_delay: Duration,
    /// How the wait grows.
    pub strategy: Strategy,
    /// How chance changes it.
    pub jitter: Jitter,
    /// How much time all of it may take, calls included; above zero. The last wait is cut to what is
    /// left.
    pub max_elapsed: Option<Duration>,
    /// Starts everything over when this long, which is above zero, has passed since the last call was
    /// due, the first one or a retry: what then fails had been working.
    pub reset_after: Option<Duration>,
    /// Whether `max_delay` also cuts a wait that the callee asked for (HTTP's `Retry-After`).
    pub cap_hint: bool,
}

impl Config {
    /// 3 calls, 1 s doubling up to 60 s, full jitter.
    pub const DEFAULT: Self = Self {
        max_attempts: Attempts::Limited(3),
        initial_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(60),
        strategy: Strategy::EXPONENTIAL,
        jitter: Jitter::Full,
        max_elapsed: None,
        reset_after: None,
        cap_hint: false,
    };

    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if let Attempts::Limited(0) = self.max_attempts {
            return Err(ConfigError::NoAttempts);
        }
        if self.initial_delay.as_nanos() > self.max_delay.as_nanos() {
            return Err(ConfigError::MaxDelay);
        }
        match self.strategy {
            Strategy::Exponential { factor: 0 } => return Err(ConfigError::NoFactor),
            Strategy::Random { min, max } if min.as_nanos() > max.as_nanos() => return Err(ConfigError::Random),
            _ => {}
        }
        if let Attempts::Forever = self.max_attempts
            && self.never_waits()
        {
            return Err(ConfigError::NoWait);
        }
        if let Jitter::Factor(101..) = self.jitter {
            return Err(ConfigError::JitterFactor);
        }
        if let Some(Duration::ZERO) = self.max_elapsed {
            return Err(ConfigError::MaxElapsed);
        }
        if let Some(Duration::ZERO) = self.reset_after {
            return Err(ConfigError::ResetAfter);
        }
        Ok(())
    }

    const fn never_waits(&self) -> bool {
        match (self.strategy, self.jitter) {
            (Strategy::Random { max, .. }, Jitter::None | Jitter::Full | Jitter::Equal | Jitter::Factor(_)) => {
                max.is_zero() || self.max_delay.is_zero()
            }
            // What it is multiplied with makes no more of it.
            _ => self.initial_delay.is_zero(),
        }
    }

    /// `self`, checked by the compiler where it stands in a `const` or `static`.
    ///
    /// # Panics
    /// If it is invalid: in a `const`, an error of the compiler. A config that is read at run time
    /// goes to [`Config::validate`].
    #[must_use]
    pub const fn checked(self) -> Self {
        assert!(self.validate().is_ok(), "invalid retry::Config: see Config::validate");
        self
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
    /// `max_attempts` is 0.
    NoAttempts,
    /// `max_delay` is below `initial_delay`.
    MaxDelay,
    /// `Exponential`'s `factor` is 0.
    NoFactor,
    /// `Random`'s `min` is above its `max`.
    Random,
    /// `Factor`'s percentage is above 100.
    JitterFactor,
    /// [`Attempts::Forever`] without any wait.
    NoWait,
    /// `max_elapsed` is zero.
    MaxElapsed,
    /// `reset_after` is zero.
    ResetAfter,
}

impl ConfigError {
    /// What is wrong and what is allowed: for a message of the compiler's.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self {
            Self::NoAttempts => "retry: `max_attempts` is 0; at least 1 is needed",
            Self::MaxDelay => "retry: `max_delay` is shorter than `initial_delay`",
            Self::NoFactor => "retry: the exponential `factor` is 0; at least 1 is needed",
            Self::Random => "retry: the random `min` is above its `max`",
            Self::JitterFactor => "retry: the jitter factor is above 100 percent",
            Self::NoWait => "retry: as many attempts as it takes need a wait; `initial_delay` or the random `max` is 0",
            Self::MaxElapsed => "retry: `max_elapsed` is zero; leave it out for no limit, or allow 1 attempt",
            Self::ResetAfter => "retry: `reset_after` is zero, so that no number of attempts would be the last",
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ConfigError {}
