//! What became of a task.

use core::fmt;

use super::plan::{PlanError, Priority};
use crate::time::{Duration, Instant};

/// Names a task of one scheduler. The place of a task that has ended is used again, its id is not: 2^32 tasks of one
/// place later at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Id {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Id {
    /// As one number, for where an id must go through something that knows numbers only.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// What [`to_bits`](Self::to_bits) has made a number of. Any other number is an id that nobody has.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let slot = bits as u32;
        Self { slot, generation: (bits >> 32) as u32 }
    }
}

/// Stands for one run under way. Give it back to [`finish`](super::Scheduler::finish): as long as nobody does, the task
/// is running.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a run that is not finished runs for ever"]
pub struct Run {
    pub(super) id: Id,
    pub(super) started: Instant,
}

impl Run {
    /// The task that runs.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// When it began.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }
}

/// A task whose turn it is.
#[derive(Debug)]
pub struct Due<'a, T> {
    /// Goes to [`finish`](super::Scheduler::finish).
    pub run: Run,
    /// What is to be done.
    pub task: &'a T,
    /// When it should have begun; the earliest, if it stands for several.
    pub due: Instant,
    /// Due times before this run that nobody has a run for: it stands for them.
    pub missed: u32,
    /// Whether somebody [asked](super::Scheduler::run_now) for it beside its due times.
    pub asked: bool,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// Well.
    Done,
    /// Not well; the number is yours.
    Failed(u32),
    /// It panicked. Only where somebody can catch that.
    Panicked,
}

/// Why a run was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failure {
    /// It said so, with this number.
    Code(u32),
    /// It panicked.
    Panicked,
    /// It was dropped, being later than its grace.
    Late,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "failed with {code}"),
            Self::Panicked => f.write_str("panicked"),
            Self::Late => f.write_str("came too late to begin"),
        }
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It waits for its time or its turn.
    Scheduled,
    /// It waits for a [`resume`](super::Scheduler::resume).
    Paused,
    /// It runs.
    Running,
    /// It runs, and was asked to stop.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// It has ended, its last run went well.
    Completed,
    /// It has ended, its last run did not go well.
    Failed {
        /// What was wrong.
        error: Failure,
    },
}

impl Status {
    /// Whether the task is over.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Cancelled | Self::Completed | Self::Failed { .. })
    }
}

/// Shows one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Info {
    /// What it is doing.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// Runs that have begun.
    pub runs: u32,
    /// Those under way.
    pub running: u8,
    /// Those that went wrong, with those that panicked.
    pub failed: u32,
    /// Those that panicked.
    pub panics: u32,
    /// Due times that have no run of their own.
    pub missed: u32,
    /// Due times that were later than the grace.
    pub dropped: u32,
    /// Times that a run had to wait since as many as may were under way.
    pub overlaps: u32,
    /// When the last run began.
    pub last_start: Option<Instant>,
    /// How long the last one that ended has taken.
    pub last_took: Option<Duration>,
    /// Whether the last one did not go well.
    pub failing: bool,
    /// What was wrong with the last one that did not go well.
    pub last_error: Option<Failure>,
    /// When it is due; of a paused task, when it would be.
    pub next_start: Option<Instant>,
}

/// Says why nothing could be done about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// There is no such task, or not any more.
    Unknown,
    /// It has ended.
    Ended,
    /// It is being cancelled already.
    Cancelling,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "there is no such task",
            Self::Ended => "the task has ended",
            Self::Cancelling => "the task is being cancelled",
        })
    }
}

impl core::error::Error for Error {}

/// Gives back a task that was not taken in, and says why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refused<T> {
    /// All places are taken.
    Full(T),
    /// Its plan cannot be kept.
    Invalid(T, PlanError),
}

impl<T> Refused<T> {
    /// The task.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(task) | Self::Invalid(task, _) => task,
        }
    }
}

// Not derived: a task that is a function has nothing to show.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Invalid(_, error) => write!(f, "Invalid(.., {error:?})"),
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the scheduler is full"),
            Self::Invalid(_, error) => error.fmt(f),
        }
    }
}

impl<T> core::error::Error for Refused<T> {}
