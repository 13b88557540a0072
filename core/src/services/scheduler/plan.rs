//! When a task is to run.

use core::fmt;

use crate::time::Duration;

/// How urgent a task is among those that are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[doc(alias = "TaskPriority")]
pub enum Priority {
    /// What can wait: a clean-up.
    Low,
    /// What most tasks have.
    #[default]
    Normal,
    /// What somebody waits for.
    High,
    /// What harm is done without: a watchdog, a valve.
    Critical,
}

impl Priority {
    pub(super) const COUNT: usize = 4;

    /// Its line: the most urgent is the first.
    pub(super) const fn line(self) -> usize {
        Self::COUNT - 1 - self as usize
    }
}

/// Says whether a task runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Repeat {
    /// It does not.
    #[default]
    Once,
    /// From one due time to the next, however long a run takes.
    FixedRate(Duration),
    /// From the end of a run to the next due time.
    FixedDelay(Duration),
}

/// Says what becomes of due times that have passed without a run, at a [`Repeat::FixedRate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Missed {
    /// One run stands for all of them, and says how many; then as before.
    #[default]
    Skip,
    /// Each has its run, one after the other; at most so many, the latest of them.
    Burst(u32),
    /// One run, and the period begins anew with it.
    Delay,
}

/// Says when a task runs, how often, and what becomes of a run that is late.
///
/// # Example
/// ```
/// use daur_core::services::scheduler::{Plan, Priority};
/// use daur_core::time::Duration;
///
/// const SAMPLE: Plan = Plan { priority: Priority::High, ..Plan::every(Duration::from_millis(100)) };
/// assert_eq!((SAMPLE.delay, SAMPLE.validate()), (Duration::from_millis(100), Ok(())));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plan {
    /// From now to the first due time.
    pub delay: Duration,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it runs again.
    pub repeat: Repeat,
    /// After so many runs it ends; `None` for never. Not for [`Repeat::Once`].
    pub times: Option<u32>,
    /// What becomes of due times that were missed.
    pub missed: Missed,
    /// A run that is later than this is dropped; `None` for never.
    pub grace: Option<Duration>,
    /// How many runs of it there may be at once.
    pub overlap: u8,
}

impl Plan {
    /// Once, at once.
    pub const DEFAULT: Self = Self {
        delay: Duration::ZERO,
        priority: Priority::Normal,
        repeat: Repeat::Once,
        times: None,
        missed: Missed::Skip,
        grace: None,
        overlap: 1,
    };

    /// Once, after `delay`.
    #[must_use]
    pub const fn once(delay: Duration) -> Self {
        Self { delay, ..Self::DEFAULT }
    }

    /// At a fixed rate, for the first time after one period.
    #[must_use]
    pub const fn every(period: Duration) -> Self {
        Self { delay: period, repeat: Repeat::FixedRate(period), ..Self::DEFAULT }
    }

    /// With a fixed pause between runs, for the first time after one pause.
    #[must_use]
    pub const fn after_each(pause: Duration) -> Self {
        Self { delay: pause, repeat: Repeat::FixedDelay(pause), ..Self::DEFAULT }
    }

    /// Checks that it can be kept.
    ///
    /// # Errors
    /// What cannot.
    pub const fn validate(&self) -> Result<(), PlanError> {
        match self.repeat {
            Repeat::FixedRate(period) | Repeat::FixedDelay(period) if period.is_zero() => {
                return Err(PlanError::NoPeriod);
            }
            _ => {}
        }
        if matches!(self.times, Some(0)) {
            return Err(PlanError::NoRuns);
        }
        if matches!(self.missed, Missed::Burst(0)) {
            return Err(PlanError::NoBurst);
        }
        if self.overlap == 0 {
            return Err(PlanError::NoOverlap);
        }
        Ok(())
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what is wrong with a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// A period of zero.
    NoPeriod,
    /// `times` of zero.
    NoRuns,
    /// `Burst(0)`.
    NoBurst,
    /// `overlap` of zero.
    NoOverlap,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPeriod => "the period must be above zero",
            Self::NoRuns => "times must be above zero",
            Self::NoBurst => "a burst has at least one run",
            Self::NoOverlap => "overlap must be at least 1",
        })
    }
}

impl core::error::Error for PlanError {}
