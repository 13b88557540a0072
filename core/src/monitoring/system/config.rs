//! From where on a figure is bad.

use core::fmt;

use super::sample::Field;
use crate::time::Duration;

/// Says from where on a field is bad, and how far below that it is good again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Threshold {
    /// Elevated at that value and above.
    pub elevated: i32,
    /// Critical at that value and above; not below `elevated`.
    pub critical: i32,
    /// A level is left so much below where it is entered, and not before; more than 0.
    pub hysteresis: i32,
}

impl Threshold {
    /// For what is not to be judged.
    pub const NEVER: Self = Self { elevated: i32::MAX, critical: i32::MAX, hysteresis: 1 };
}

/// Says when a machine is doing badly, and how often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The time from one sample to the next; more than zero.
    pub interval: Duration,
    /// How long a value must lie at or above a level before the level is entered; zero enters at once.
    pub rise: Duration,
    /// How long it must lie below before the level is left.
    pub fall: Duration,
    /// The time from one point of a trend to the next; zero makes every sample one.
    pub trend_every: Duration,
    /// Thousandths of all CPUs.
    pub cpu: Threshold,
    /// Thousandths of the memory.
    pub memory: Threshold,
    /// Thousandths of the fullest disk.
    pub disk: Threshold,
    /// Thousandths of the load average.
    pub load: Threshold,
    /// Thousandths of a degree Celsius.
    pub temperature: Threshold,
    /// Thousandths of the stack.
    pub stack: Threshold,
}

impl Config {
    /// A sample every 5 s, a point of a trend every minute. A level is entered and left after 10 s: CPU from 85 and 95 %,
    /// memory 80 and 92 %, the fullest disk 85 and 95 %, temperature 75 and 90 degrees, stack 75 and 90 %. The load is
    /// not judged: what is much depends on the number of CPUs.
    pub const DEFAULT: Self = Self {
        interval: Duration::from_secs(5),
        rise: Duration::from_secs(10),
        fall: Duration::from_secs(10),
        trend_every: Duration::from_secs(60),
        cpu: Threshold { elevated: 850, critical: 950, hysteresis: 100 },
        memory: Threshold { elevated: 800, critical: 920, hysteresis: 50 },
        disk: Threshold { elevated: 850, critical: 950, hysteresis: 10 },
        load: Threshold::NEVER,
        temperature: Threshold { elevated: 75_000, critical: 90_000, hysteresis: 5_000 },
        stack: Threshold { elevated: 750, critical: 900, hysteresis: 1 },
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.interval.is_zero() {
            return Err(ConfigError::NoInterval);
        }
        let mut rest: &[Field] = &Field::ALL;
        while let [field, others @ ..] = rest {
            let threshold = self.threshold(*field);
            if threshold.hysteresis <= 0 || threshold.elevated > threshold.critical {
                return Err(ConfigError::Threshold(*field));
            }
            rest = others;
        }
        Ok(())
    }

    /// That of one field.
    #[must_use]
    pub const fn threshold(&self, field: Field) -> Threshold {
        match field {
            Field::Cpu => self.cpu,
            Field::Memory => self.memory,
            Field::Disk => self.disk,
            Field::Load => self.load,
            Field::Temperature => self.temperature,
            Field::Stack => self.stack,
        }
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
    /// The interval is 0.
    NoInterval,
    /// A field's critical value lies below its elevated one, or its hysteresis is not above 0.
    Threshold(Field),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterval => f.write_str("system: `interval` must be more than 0"),
            Self::Threshold(field) => write!(
                f,
                "system: `{}` needs `elevated` not above `critical`, and a `hysteresis` above 0",
                field.name()
            ),
        }
    }
}

impl core::error::Error for ConfigError {}
