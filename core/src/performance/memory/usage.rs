//! How much of something is used.

/// Says how many bytes are used, and how many there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Usage {
    /// Bytes in use; may lie above `limit`.
    pub used: u64,
    /// Bytes that there may be; 0 if nobody knows.
    pub limit: u64,
}

impl Usage {
    /// `used` of `limit` bytes.
    #[must_use]
    pub const fn new(used: u64, limit: u64) -> Self {
        Self { used, limit }
    }

    /// `used` of `capacity` places of a `T`: a pool, a queue, a table.
    #[must_use]
    pub const fn of_places<T>(used: usize, capacity: usize) -> Self {
        let size = size_of::<T>() as u64;
        Self { used: (used as u64).saturating_mul(size), limit: (capacity as u64).saturating_mul(size) }
    }

    /// A stack's high-water mark: `words` from its lowest address up, each of them `paint` since the reset if nothing has
    /// ever been there. Counting ends at the first that is something else.
    ///
    /// Words below the live stack are best read volatile, so an iterator is asked for and not a slice.
    ///
    /// # Example
    /// ```
    /// use daur_core::performance::memory::Usage;
    ///
    /// let stack = [0xAAAA_AAAA, 0xAAAA_AAAA, 0xAAAA_AAAA, 7, 0xAAAA_AAAA, 9];
    /// assert_eq!(Usage::of_stack(stack, 0xAAAA_AAAA), Usage::new(12, 24));
    /// ```
    pub fn of_stack(words: impl IntoIterator<Item = u32>, paint: u32) -> Self {
        let (mut all, mut untouched) = (0_u64, 0_u64);
        for word in words {
            if word == paint && untouched == all {
                untouched += 4;
            }
            all += 4;
        }
        Self { used: all - untouched, limit: all }
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// How many thousandths of the limit are used, rounded down, at most 65,535; 0 without a limit.
    #[must_use]
    pub const fn permille(&self) -> u16 {
        let (used, limit) = self.scaled();
        match (used * 1_000).checked_div(limit) {
            #[expect(clippy::cast_possible_truncation, reason = "compared before")]
            Some(permille) if permille < u16::MAX as u64 => permille as u16,
            None if self.limit == 0 => 0,
            Some(_) | None => u16::MAX,
        }
    }

    /// Whether at least `permille` thousandths of the limit are used. Never without a limit. No division.
    #[must_use]
    pub const fn reaches(&self, permille: u16) -> bool {
        let (used, limit) = self.scaled();
        self.limit > 0 && used * 1_000 >= limit * permille as u64
    }

    /// Bytes above `permille` thousandths of the limit; 0 without a limit.
    #[must_use]
    pub const fn above(&self, permille: u16) -> u64 {
        if self.limit == 0 {
            return 0;
        }
        let (share, rest) = by_1000(self.limit);
        let (more, _) = by_1000(rest * permille as u64);
        let allowed = share.saturating_mul(permille as u64).saturating_add(more);
        self.used.saturating_sub(allowed)
    }

    /// The one of two of which the larger part is used: what is judged when there are several limits.
    #[must_use]
    pub const fn tighter(self, other: Self) -> Self {
        if other.limit == 0 {
            return self;
        }
        if self.limit == 0 {
            return other;
        }
        // used / limit < used / limit of the other, without a division.
        if (self.used as u128) * (other.limit as u128) < (other.used as u128) * (self.limit as u128) {
            other
        } else {
            self
        }
    }

    /// The two figures, small enough to be multiplied by what a `u16` holds: exact below 256 TiB.
    const fn scaled(&self) -> (u64, u64) {
        let shift = 16_u32.saturating_sub((self.used | self.limit).leading_zeros());
        (self.used >> shift, self.limit >> shift)
    }
}

/// A thousandth of `n`, and what remains. In steps of 16 bits: a division of 64 bits takes 1 KB of flash where there is no
/// divider.
const fn by_1000(n: u64) -> (u64, u64) {
    let (mut quotient, mut rest) = (0, 0);
    let mut shift = 64;
    while shift > 0 {
        shift -= 16;
        let digit = rest << 16 | (n >> shift) as u32 & 0xFFFF;
        quotient = quotient << 16 | (digit / 1_000) as u64;
        rest = digit % 1_000;
    }
    (quotient, rest as u64)
}

/// Says what is known at one moment: how much is used, and how much time is lost for want of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reading {
    /// What is used.
    pub usage: Usage,
    /// Thousandths of the time that work stood still for want of memory (the `some avg10` of Linux' pressure stall
    /// information, times ten), where that is told.
    pub pressure: Option<u16>,
}

impl Reading {
    /// Whether the use or the pressure is at least so many thousandths.
    // Four times asked by one reading: written down once, that is two thirds of a monitor's flash less.
    #[inline(never)]
    pub(super) fn reaches(&self, used: u16, pressure: u16) -> bool {
        self.pressure.is_some_and(|pressed| pressed >= pressure) || self.usage.reaches(used)
    }
}

impl From<Usage> for Reading {
    fn from(usage: Usage) -> Self {
        Self { usage, pressure: None }
    }
}
