//! How long entries are good for.

use core::fmt;

use crate::time::Duration;

/// Says how long entries are good for: with both times, until the sooner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How long after its insertion an entry expires; `None` for never. Not zero.
    pub ttl: Option<Duration>,
    /// How long after its last use an entry expires; `None` for never. Not zero, and only for a cache
    /// that notes it: [`Idle`](super::Idle).
    pub idle: Option<Duration>,
}

impl Config {
    /// Entries never expire. A `static` cache with it is all zeros, and so takes no flash.
    pub const DEFAULT: Self = Self { ttl: None, idle: None };

    /// Says whether the values can work together.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value that cannot. Whether they suit the type of the cache says
    /// [`Cache::suits`](super::Cache::suits).
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self { ttl: Some(ttl), .. } if ttl.is_zero() => Err(ConfigError::TtlIsZero),
            Self { idle: Some(idle), .. } if idle.is_zero() => Err(ConfigError::IdleIsZero),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// Entries would expire before they could be found.
    TtlIsZero,
    /// Entries would expire before they could be found.
    IdleIsZero,
    /// The cache's type does not note when an entry was used.
    IdleIsNotNoted,
    /// A time is longer than the cache's type can note.
    TooLong,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TtlIsZero => "the cache's ttl is zero; leave it out for entries that never expire",
            Self::IdleIsZero => "the cache's idle time is zero; leave it out for entries that never expire",
            Self::IdleIsNotNoted => "the cache has an idle time and does not note uses; make it a Cache<.., Idle>",
            Self::TooLong => "the cache's ttl or idle time is longer than its coarse ticks can count",
        })
    }
}

impl core::error::Error for ConfigError {}
