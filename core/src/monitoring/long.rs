//! A 64-bit sum, as a 64-bit target adds to it. On others it is `long/halves.rs`.

/// A sum that saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Long(u64);

impl Long {
    pub(super) const ZERO: Self = Self(0);

    #[inline]
    pub(super) const fn new(value: u64) -> Self {
        Self(value)
    }

    #[inline]
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    /// Adds `n`; `false` if the sum is at its end instead.
    #[inline]
    pub(super) const fn add(&mut self, n: u64) -> bool {
        match self.0.checked_add(n) {
            Some(sum) => {
                self.0 = sum;
                true
            }
            None => self.saturate(),
        }
    }

    #[cold]
    #[inline(never)]
    const fn saturate(&mut self) -> bool {
        self.0 = u64::MAX;
        false
    }

    /// [`add`](Self::add) of few bits.
    #[inline]
    pub(super) const fn add_word(&mut self, n: u32) -> bool {
        self.add(n as u64)
    }
}
