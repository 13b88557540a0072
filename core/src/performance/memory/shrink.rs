//! Who gives memory back, and how much of it.

use core::fmt;
use core::ops::Deref;

/// Says how much of its full capacity one may hold, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Share(u16);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1_000);

    /// `permille` thousandths; what is above 1,000 is all.
    #[must_use]
    pub const fn permille(permille: u16) -> Self {
        Self(if permille < 1_000 { permille } else { 1_000 })
    }

    /// The share in thousandths, at most 1,000.
    #[must_use]
    pub const fn as_permille(self) -> u16 {
        self.0
    }

    /// The share of `capacity`, rounded down.
    #[must_use]
    pub const fn of(self, capacity: usize) -> usize {
        let share = self.0 as usize;
        // In two parts, so that nothing overflows.
        capacity / 1_000 * share + capacity % 1_000 * share / 1_000
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
    }
}

/// Gives memory back when it is asked to: a cache, a pool of buffers, a log in memory.
///
/// What dereferences to one is one too (`&T`, `Arc<T>`, `Box<dyn Shrink>`). A closure becomes one by [`Resize`].
///
/// # Sharing
/// `&self`, since whoever asks is not who uses it: put the machine in a [`Shared`](crate::shared::Shared).
///
/// # Example
/// ```
/// use core::cell::RefCell;
/// use daur_core::performance::memory::{Share, Shrink};
///
/// struct Buffers(RefCell<Vec<[u8; 512]>>);
///
/// impl Shrink for Buffers {
///     fn shrink(&self, keep: Share) -> u64 {
///         let mut buffers = self.0.borrow_mut();
///         let (before, kept) = (buffers.len(), keep.of(8));
///         buffers.truncate(kept);
///         buffers.shrink_to_fit();
///         before.saturating_sub(kept) as u64 * 512
///     }
/// }
///
/// let buffers = Buffers(RefCell::new(vec![[0; 512]; 8]));
/// assert_eq!(buffers.shrink(Share::permille(250)), 6 * 512);
/// ```
pub trait Shrink {
    /// Holds from now on no more than `keep` of its full capacity, and frees the rest at once.
    ///
    /// Says how many bytes that freed: an estimate will do. Asked again for what it already keeps, it frees what has
    /// come since, or nothing.
    fn shrink(&self, keep: Share) -> u64;

    /// May hold `keep` of its full capacity again, which is more than before.
    ///
    /// Does nothing unless it is written: right for what has no lasting bound.
    fn restore(&self, keep: Share) {
        let _ = keep;
    }
}

impl<D: Deref<Target: Shrink> + ?Sized> Shrink for D {
    fn shrink(&self, keep: Share) -> u64 {
        (**self).shrink(keep)
    }

    fn restore(&self, keep: Share) {
        (**self).restore(keep);
    }
}

/// Makes a [`Shrink`] of a closure that sets the bound, up or down, and says how many bytes that freed.
///
/// # Example
/// ```
/// use daur_core::performance::cache::{Cache, Config};
/// use daur_core::performance::memory::{Resize, Share, Shrink};
/// use daur_core::time::Instant;
/// # use std::cell::RefCell;
///
/// # let cache: RefCell<Cache<u32, u32, 64>> = RefCell::new(Cache::new(Config::DEFAULT));
/// // On a device: `CACHE.with(|cache, _| ...)` of a `CsShared`.
/// let shrinker = Resize(|keep: Share| cache.borrow_mut().resize_soft(keep.of(64)) as u64 * 20);
/// # for key in 0..64 { cache.borrow_mut().insert(key, 0, Instant::ZERO); }
/// assert_eq!(shrinker.shrink(Share::permille(500)), 32 * 20);
/// shrinker.restore(Share::ALL);
/// assert_eq!(cache.borrow().capacity(), 64);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Resize<F>(pub F);

impl<F: Fn(Share) -> u64> Shrink for Resize<F> {
    fn shrink(&self, keep: Share) -> u64 {
        (self.0)(keep)
    }

    fn restore(&self, keep: Share) {
        (self.0)(keep);
    }
}
