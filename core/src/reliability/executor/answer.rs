//! What an executor answers at each step.

use core::fmt;

use super::Permit;
use crate::reliability::bulkhead;
use crate::reliability::retry::Reason;
use crate::time::Instant;

/// Says why a run ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// The retry rules ended it.
    Retry(Reason),
    /// The breaker was open for longer than the run may wait.
    Open {
        /// When the breaker admits again.
        retry_at: Instant,
    },
    /// The bulkhead had no place for the call.
    NoPlace(bulkhead::Refused),
    /// `total_timeout` was over.
    TimedOut,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(reason) => reason.fmt(f),
            Self::Open { .. } => f.write_str("the circuit breaker is open"),
            Self::NoPlace(refused) => refused.fmt(f),
            Self::TimedOut => f.write_str("the total time was over"),
        }
    }
}

/// Says whether to make the call.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Admit {
    /// Make it, and report its outcome with the permit.
    Go {
        /// To be handed back with the outcome.
        permit: Permit,
        /// When to interrupt the call.
        deadline: Option<Instant>,
    },
    /// Not yet: wait, then ask again.
    Wait {
        /// Until when.
        until: Instant,
    },
    /// In line for a place: ask again when woken, and at this moment at the latest. Without a waker,
    /// ask again after a while.
    Line {
        /// The latest moment; [`Instant::MAX`] for none.
        until: Instant,
    },
    /// No more.
    Stop(Cause),
}

/// Says how it goes on after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Next {
    /// Wait, then ask [`Executor::admit`](super::Executor::admit) again.
    Retry {
        /// Until when.
        at: Instant,
    },
    /// No more.
    Stop(Cause),
}
