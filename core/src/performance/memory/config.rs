//! From where on memory is short.

use core::fmt;

use crate::time::Duration;

/// Says from where a level is entered, and below what it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Band {
    /// Entered at so many thousandths, and above.
    pub enter: u16,
    /// Left below so many thousandths; less than `enter`.
    pub leave: u16,
}

impl Band {
    /// Never entered by a share of a limit, nor by pressure.
    pub const NEVER: Self = Self { enter: u16::MAX, leave: u16::MAX - 1 };
}

/// Holds the bands of the two levels that are not normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bands {
    /// That of [`Level::Elevated`](super::Level::Elevated).
    pub elevated: Band,
    /// That of [`Level::Critical`](super::Level::Critical); neither of its ends lies below the other's.
    pub critical: Band,
}

impl Bands {
    /// Never entered: for what is not to be judged.
    pub const NEVER: Self = Self { elevated: Band::NEVER, critical: Band::NEVER };

    const fn are_valid(&self) -> bool {
        let Self { elevated, critical } = self;
        elevated.leave < elevated.enter
            && critical.leave < critical.enter
            && elevated.enter <= critical.enter
            && elevated.leave <= critical.leave
    }
}

/// Says when memory is short, and how often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// By the share of the limit that is used.
    pub used: Bands,
    /// By the share of the time in which work stands still for want of memory.
    pub pressure: Bands,
    /// How long the use must lie below a level's `leave` before the level is left.
    pub dwell: Duration,
    /// The time from one reading to the next while there is enough; more than zero.
    pub interval: Duration,
    /// The same while memory is short; more than zero.
    pub interval_short: Duration,
}

impl Config {
    /// Elevated from 80 % until below 70 %, or 10 % of the time until below 5 %; critical from 92 % until below 85 %, or
    /// 40 % of the time until below 20 %. A level lasts 10 s at least. A reading every 5 s, every second while memory is
    /// short.
    pub const DEFAULT: Self = Self {
        used: Bands { elevated: Band { enter: 800, leave: 700 }, critical: Band { enter: 920, leave: 850 } },
        pressure: Bands { elevated: Band { enter: 100, leave: 50 }, critical: Band { enter: 400, leave: 200 } },
        dwell: Duration::from_secs(10),
        interval: Duration::from_secs(5),
        interval_short: Duration::from_secs(1),
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if !self.used.are_valid() {
            return Err(ConfigError::Used);
        }
        if !self.pressure.are_valid() {
            return Err(ConfigError::Pressure);
        }
        if self.interval.is_zero() || self.interval_short.is_zero() {
            return Err(ConfigError::NoInterval);
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
    /// A band of `used` is empty, or the critical one begins or ends below the elevated one.
    Used,
    /// The same of `pressure`.
    Pressure,
    /// An interval is 0.
    NoInterval,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Used => {
                "memory: `used` needs `leave` below `enter`, and neither end of critical below that of elevated"
            }
            Self::Pressure => {
                "memory: `pressure` needs `leave` below `enter`, and neither end of critical below that of elevated"
            }
            Self::NoInterval => "memory: `interval` and `interval_short` must be more than 0",
        })
    }
}

impl core::error::Error for ConfigError {}
