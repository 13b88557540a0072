//! A 64-bit sum, as a 32-bit target adds to it: the upper half is touched once in four thousand million.

/// A sum that saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Long {
    low: u32,
    high: u32,
}

impl Long {
    pub(super) const ZERO: Self = Self { low: 0, high: 0 };

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves")]
    pub(super) const fn new(value: u64) -> Self {
        Self { low: value as u32, high: (value >> 32) as u32 }
    }

    #[inline]
    pub(super) const fn get(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// Adds `n`; `false` if the sum is at its end instead.
    #[inline]
    pub(super) const fn add(&mut self, n: u64) -> bool {
        let sum = self.get().checked_add(n);
        *self = Self::new(match sum {
            Some(sum) => sum,
            None => u64::MAX,
        });
        sum.is_some()
    }

    /// [`add`](Self::add) of few bits.
    #[inline]
    pub(super) const fn add_word(&mut self, n: u32) -> bool {
        match self.low.checked_add(n) {
            Some(low) => {
                self.low = low;
                true
            }
            None => self.carry(n),
        }
    }

    #[cold]
    #[inline(never)]
    const fn carry(&mut self, n: u32) -> bool {
        self.add(n as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::Long;

    #[test]
    fn halves_add_as_a_whole_does() {
        for start in [0, 7, u64::from(u32::MAX), u64::MAX - 8, u64::MAX] {
            for n in [0, 1, 8, u32::MAX] {
                let (mut words, mut longs) = (Long::new(start), Long::ZERO);
                assert!(longs.add(start));
                let fits = start.checked_add(u64::from(n));
                assert_eq!((words.add_word(n), words.get()), (fits.is_some(), fits.unwrap_or(u64::MAX)));
                assert_eq!((longs.add(u64::from(n)), longs), (fits.is_some(), words));
            }
        }
    }
}
