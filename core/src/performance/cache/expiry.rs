//! When entries expire, in forms whose "nothing" is all zeros.

use core::num::NonZeroU64;

use crate::time::Instant;

/// The moment of an entry's expiry plus one nanosecond: not zero, so that an empty place needs no
/// byte of its own to be told from an entry.
#[derive(Clone, Copy)]
pub(super) struct Expiry(NonZeroU64);

impl Expiry {
    pub(super) const NEVER: Self = Self(NonZeroU64::MAX);

    #[inline]
    pub(super) const fn at(moment: Instant) -> Self {
        Self(NonZeroU64::MIN.saturating_add(moment.as_nanos()))
    }

    #[inline]
    pub(super) const fn is_over(self, now: Instant) -> bool {
        self.0.get() - 1 <= now.as_nanos()
    }
}

/// The least expiry, kept inverted, so that "never" is zero.
#[derive(Clone, Copy)]
pub(super) struct Soonest(u64);

impl Soonest {
    pub(super) const NEVER: Self = Self(0);

    /// Takes `expiry` into account, and says whether it is the soonest so far.
    #[inline]
    pub(super) fn lower(&mut self, expiry: Expiry) -> bool {
        let inverted = !expiry.0.get();
        let sooner = inverted > self.0;
        if sooner {
            self.0 = inverted;
        }
        sooner
    }

    pub(super) const fn moment(self) -> Option<Instant> {
        match self.0 {
            0 => None,
            inverted => Some(Instant::from_nanos(!inverted - 1)),
        }
    }
}
