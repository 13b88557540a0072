//! What a balancer says about itself and its workers.

use crate::time::{Duration, Instant};

/// Names what a worker is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum State {
    /// Its share of the work.
    Up,
    /// A part of its share, since it was ejected before.
    Returning {
        /// How much of it, in eighths.
        eighths: u8,
    },
    /// Nothing: it has failed too often.
    Ejected {
        /// From when on it returns.
        until: Instant,
    },
    /// Nothing: somebody has said so, or its weight is 0.
    Off,
    /// Nothing more: it is about to leave.
    Draining,
}

/// Shows one worker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Worker {
    /// What it is given.
    pub state: State,
    /// Its tickets that are out.
    pub load: u32,
    /// Its weight.
    pub weight: u16,
    /// Failures in a row.
    pub failures: u32,
    /// Ejections in a row.
    pub ejections: u8,
    /// How long a task is expected to take, where the policy has an opinion.
    pub expected: Option<Duration>,
}

/// Shows a [`Balancer`](super::Balancer) at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Workers.
    pub workers: u32,
    /// Those of them that are ejected.
    pub ejected: u32,
    /// Tickets that are out.
    pub load: u32,
    /// Tickets given.
    pub picked: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tickets that nobody reported within their lease, or whose worker was removed.
    pub lost: u64,
    /// Reports of such tickets, which came too late and changed nothing.
    pub late: u64,
    /// Picks that found nobody.
    pub refused: u64,
    /// Ejections.
    pub ejections: u64,
    /// Ejections that did not happen since too many were ejected already.
    pub spared: u64,
    /// Picks that fell on an ejected worker, since too few others were there.
    pub panicked: u64,
}
