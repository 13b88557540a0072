//! What allows a call.

use super::Event;
use crate::time::{Duration, Instant};

/// Allows one call, and is handed back with its outcome.
///
/// It belongs to the breaker's state at the time: reported after that state has changed, it is
/// counted as late and changes nothing. It is not `Copy`, so that no call is reported twice; one that
/// is dropped costs nothing in [`State::Closed`](super::State::Closed), and elsewhere its place for `probe_lease`.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "report the call's outcome with it, or cancel it"]
pub struct Permit {
    pub(super) generation: u32,
    pub(super) half_opened: bool,
    /// When it was given; [`Instant::MAX`] where nobody times the call, which makes it one of no length.
    pub(super) started: Instant,
}

impl Permit {
    /// The permit that a breaker of this generation gives while [`Fast::admits`] and nobody times calls.
    ///
    /// For wrappers that answer the closed path from an atomic, in front of the breaker's lock. With a
    /// mode that times calls, a call with this permit has no length.
    #[inline]
    pub const fn of_generation(generation: u32) -> Self {
        Self::started_at(generation, Instant::MAX)
    }

    /// The permit that a breaker of this generation gives at `now` while [`Fast::admits`].
    ///
    /// As [`of_generation`](Self::of_generation), where [`Fast::times_calls`].
    #[inline]
    pub const fn started_at(generation: u32, now: Instant) -> Self {
        Self { generation, half_opened: false, started: now }
    }

    /// The generation that this permit belongs to.
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// [`Event::HalfOpened`] if this admission was the one that turned the breaker half-open.
    #[must_use]
    pub const fn event(&self) -> Option<Event> {
        if self.half_opened { Some(Event::HalfOpened) } else { None }
    }

    /// How long the call took; nothing if nobody times it, or if the clock has stepped back.
    pub(super) const fn took(&self, now: Instant) -> Duration {
        now.since(self.started)
    }
}

/// What a wrapper may keep in an atomic to answer the closed path without the breaker's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// The present generation.
    pub generation: u32,
    /// Every call is admitted, with [`Permit::of_generation`] or, if calls are timed, with
    /// [`Permit::started_at`]; admission changes nothing.
    pub admits: bool,
    /// A success reported with a permit of this generation changes nothing.
    pub success_changes_nothing: bool,
    /// The mode wants to know how long calls take.
    pub times_calls: bool,
}
