//! Who has to leave when a cache is full, and how wide the cache's links are.

use core::fmt::Debug;
use core::marker::PhantomData;

/// Numbers an entry: `u8` for caches of up to 256 entries, `u16` for up to 65,536.
///
/// Sealed: the two implementations are all there are.
pub trait Index: sealed::Index {}

impl Index for u8 {}
impl Index for u16 {}

/// Chooses the entry that leaves a full cache.
///
/// Sealed: [`Lru`] is the one there is.
pub trait Policy: sealed::Policy {}

/// Evicts the entry that was used longest ago: exactly, and never while there is room.
///
/// `I` numbers the entries: `Lru<u8>` is for caches of up to 256 entries and takes 4 bytes an entry
/// less than `Lru<u16>`, the default, which is for up to 65,536.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lru<I = u16>(PhantomData<I>);

impl<I: Index> Policy for Lru<I> {}

impl<I: Index> sealed::Policy for Lru<I> {
    type Index = I;
}

pub(super) mod sealed {
    use super::Debug;

    pub trait Policy {
        type Index: super::Index;
    }

    pub trait Index: Copy + Debug + 'static {
        const ZERO: Self;
        /// How many entries can be told apart.
        const RANGE: usize;
        fn from_usize(n: usize) -> Self;
        fn to_usize(self) -> usize;
    }

    impl Index for u8 {
        const ZERO: Self = 0;
        const RANGE: usize = 1 << 8;

        #[inline]
        #[expect(clippy::cast_possible_truncation, reason = "numbers below RANGE only")]
        fn from_usize(n: usize) -> Self {
            n as Self
        }

        #[inline]
        fn to_usize(self) -> usize {
            usize::from(self)
        }
    }

    impl Index for u16 {
        const ZERO: Self = 0;
        const RANGE: usize = 1 << 16;

        #[inline]
        #[expect(clippy::cast_possible_truncation, reason = "numbers below RANGE only")]
        fn from_usize(n: usize) -> Self {
            n as Self
        }

        #[inline]
        fn to_usize(self) -> usize {
            usize::from(self)
        }
    }
}
