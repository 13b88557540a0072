//! What allows a call.

use super::Event;

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
}

impl Permit {
    /// The permit that a breaker of this generation gives while [`Fast::admits`].
    ///
    /// For wrappers that answer the closed path from an atomic, in front of the breaker's lock.
    pub const fn of_generation(generation: u32) -> Self {
        Self { generation, half_opened: false }
    }

    /// The generation that this permit belongs to.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// [`Event::HalfOpened`] if this admission was the one that turned the breaker half-open.
    #[must_use]
    pub const fn event(&self) -> Option<Event> {
        if self.half_opened { Some(Event::HalfOpened) } else { None }
    }
}

/// What a wrapper may keep in an atomic to answer the closed path without the breaker's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// The present generation.
    pub generation: u32,
    /// Every call is admitted, with [`Permit::of_generation`], and admission changes nothing.
    pub admits: bool,
    /// A success reported with a permit of this generation changes nothing.
    pub success_changes_nothing: bool,
}
