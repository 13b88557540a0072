//! What is out: tickets, their outcomes, and why there is none.

use core::fmt;

use crate::time::{Duration, Instant};

/// Names the worker that one task is for, and counts as its load until it is reported.
///
/// It is not `Copy`, so that no task is reported twice. One that is dropped counts until its lease is over.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "hand it to `done`, or it counts as load until its lease is over"]
pub struct Ticket {
    pub(super) picked: Instant,
    pub(super) generation: u32,
    pub(super) epoch: u32,
    pub(super) worker: u16,
}

impl Ticket {
    /// The worker's number.
    #[must_use]
    pub const fn worker(&self) -> usize {
        self.worker as usize
    }

    /// When it was picked.
    #[must_use]
    pub const fn picked(&self) -> Instant {
        self.picked
    }

    pub(super) const fn took(&self, now: Instant) -> Duration {
        now.since(self.picked)
    }
}

/// Says how a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The worker did it.
    Success,
    /// The worker failed.
    Failure,
    /// It was not made or not finished, or says nothing about the worker.
    Cancelled,
}

/// Tells what a report or a draining changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// The worker has failed too often and gets no work for a while.
    Ejected {
        /// Which.
        worker: usize,
        /// From when on it gets some again.
        until: Instant,
    },
    /// The worker that is drained has no task any more.
    Drained {
        /// Which.
        worker: usize,
    },
}

/// Says why no worker is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// There is no worker that may be given work.
    NoneAvailable {
        /// When the first one can take work again if nobody reports: it returns from its ejection, or the lease of one of its
        /// `max_load` tickets ends. [`Instant::MAX`]: time alone changes nothing; somebody must add or allow a worker.
        retry_at: Instant,
    },
}

impl Refusal {
    /// The first moment to ask again at.
    #[must_use]
    pub const fn retry_at(&self) -> Instant {
        match self {
            Self::NoneAvailable { retry_at } => *retry_at,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no worker is available")
    }
}

impl core::error::Error for Refusal {}

/// Says that every place for a worker is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoPlace;

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the balancer has no place for another worker")
    }
}

impl core::error::Error for NoPlace {}
