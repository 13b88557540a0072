//! What a breaker does with calls, and what it says about it.

use core::fmt;

use super::Counts;
use crate::time::Instant;

/// Says that a call is refused, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Open {
    /// The first moment at which a call is admitted if nobody else asks before. A half-open breaker
    /// whose probes are all out may admit earlier, as soon as they report.
    /// [`Instant::MAX`]: not before somebody lifts [`State::ForcedOpen`].
    pub retry_at: Instant,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the circuit breaker is open: the call was not made")
    }
}

impl core::error::Error for Open {}

/// Names what a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum State {
    /// Admits every call and counts failures.
    Closed,
    /// Refuses every call until its wait is over.
    Open,
    /// Admits a few probes and judges by them.
    HalfOpen,
    /// Refuses every call until told otherwise.
    ForcedOpen,
    /// Admits every call, counts nothing.
    Disabled,
    /// Admits every call, counts failures, never opens: what the breaker would see, without its effect.
    MetricsOnly,
}

/// Says why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// The mode's condition: so many failures in a row, such a rate.
    Failures,
    /// Too many calls took too long.
    SlowCalls,
    /// Too many probes failed, or took too long.
    ProbeFailed,
}

/// Tells a change of state, from the very call that made it. That a call was refused is the [`Open`]
/// that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// Calls are refused from now on, until [`Breaker::poll_at`](super::Breaker::poll_at).
    Opened {
        /// Why.
        cause: Cause,
    },
    /// Probes are admitted from now on.
    HalfOpened,
    /// All calls are admitted from now on.
    Closed,
}

/// Shows a [`Breaker`](super::Breaker) at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// What it does with calls.
    pub state: State,
    /// Failures since the last success or change of state.
    pub consecutive_failures: u32,
    /// Times it has opened by itself.
    pub opened: u32,
    /// Calls refused.
    pub refused: u32,
    /// Reports that came after the state had changed.
    pub late: u32,
    /// What is in the mode's window, if it has one, as of the last report.
    pub window: Option<Counts>,
    /// While calls are refused: from when one is admitted.
    pub retry_at: Option<Instant>,
}
