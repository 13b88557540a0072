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
/// Sealed: [`Lru`] and [`Sieve`] are all there are.
pub trait Policy: sealed::Policy {}

/// Evicts the entry that was used longest ago: exactly, and never while there is room.
///
/// `I` numbers the entries: `Lru<u8>` is for caches of up to 256 entries and takes 4 bytes an entry
/// less than `Lru<u16>`, the default, which is for up to 65,536.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lru<I = u16>(PhantomData<I>);

impl<I: Index> Policy for Lru<I> {}

/// Evicts an entry that was not used since it came in or was last passed over, the longest there first.
///
/// A hit sets one bit and nothing else. A hand walks from the entries that came first to those that came last:
/// it spares an entry that was used, clears its bit and goes on, and evicts the first that was not. Entries keep
/// the order in which they came in, whatever is used or removed; the hand stays where it is, and goes
/// on to the next when the entry that it stands on is removed. So what is asked for only once leaves soon, as it
/// does in a scan, and a hit is cheaper than [`Lru`]'s.
///
/// The walk is bounded: after [`STEPS`](Self::STEPS) entries that were used the hand rests, and the entry that came in
/// last gives way, unless it has been used: then the one at the hand does. So a long walk is spread over several
/// insertions, and the hit ratio is that of the walk without a bound.
///
/// `I` is as in [`Lru`]; the bits lie in bytes that the table has left over, so an entry takes no more than there.
///
/// # References
/// Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for Web Caches" (NSDI 2024).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sieve<I = u16>(PhantomData<I>);

impl<I> Sieve<I> {
    /// How many entries the hand passes over at most for one eviction.
    pub const STEPS: usize = 8;
}

impl<I: Index> Policy for Sieve<I> {}

pub(super) mod sealed {
    use super::super::ring::Ring;
    use super::super::table::Table;
    use super::{Debug, Lru, Sieve};

    pub trait Policy {
        type Index: Index;
        /// Whether a use leaves nothing but a mark.
        const MARKS: bool;
        /// An entry has been used.
        fn hit<const N: usize>(ring: &mut Ring<Self::Index, N>, table: &mut Table<Self::Index, N>, index: usize);
        /// The entry that is to leave now, without a mark. Of no meaning in an empty cache.
        fn victim<const N: usize>(ring: &mut Ring<Self::Index, N>, table: &mut Table<Self::Index, N>) -> usize;
        /// Spares the victim, for this once.
        fn spare<const N: usize>(ring: &mut Ring<Self::Index, N>, table: &mut Table<Self::Index, N>, index: usize);
        /// Gives the victim's number to a new entry.
        fn recycle<const N: usize>(ring: &mut Ring<Self::Index, N>, index: usize);
        /// Gives a number in use back.
        fn release<const N: usize>(ring: &mut Ring<Self::Index, N>, table: &mut Table<Self::Index, N>, index: usize);
    }

    impl<I: Index> Policy for Lru<I> {
        type Index = I;
        const MARKS: bool = false;

        #[inline]
        fn hit<const N: usize>(ring: &mut Ring<I, N>, _: &mut Table<I, N>, index: usize) {
            ring.touch(index);
        }

        #[inline]
        fn victim<const N: usize>(ring: &mut Ring<I, N>, _: &mut Table<I, N>) -> usize {
            ring.oldest()
        }

        #[inline]
        fn spare<const N: usize>(ring: &mut Ring<I, N>, _: &mut Table<I, N>, index: usize) {
            ring.touch(index);
        }

        #[inline]
        fn recycle<const N: usize>(ring: &mut Ring<I, N>, _: usize) {
            ring.recycle_oldest();
        }

        #[inline]
        fn release<const N: usize>(ring: &mut Ring<I, N>, _: &mut Table<I, N>, index: usize) {
            ring.release(index);
        }
    }

    /// The table's marks are the bits of those that were used.
    impl<I: Index> Policy for Sieve<I> {
        type Index = I;
        const MARKS: bool = true;

        #[inline]
        fn hit<const N: usize>(_: &mut Ring<I, N>, table: &mut Table<I, N>, index: usize) {
            table.mark(index);
        }

        #[inline]
        fn victim<const N: usize>(ring: &mut Ring<I, N>, table: &mut Table<I, N>) -> usize {
            if table.is_marked(ring.hand()) { walk(ring, table) } else { ring.hand() }
        }

        fn spare<const N: usize>(ring: &mut Ring<I, N>, table: &mut Table<I, N>, index: usize) {
            if ring.hand() == index {
                ring.move_hand();
            } else {
                table.mark(index);
            }
        }

        #[inline]
        fn recycle<const N: usize>(ring: &mut Ring<I, N>, index: usize) {
            if ring.hand() == index {
                ring.move_hand();
            }
            // The hand rests at the oldest more often than not.
            if ring.oldest() == index { ring.recycle_oldest() } else { ring.touch(index) }
        }

        fn release<const N: usize>(ring: &mut Ring<I, N>, table: &mut Table<I, N>, index: usize) {
            if ring.hand() == index {
                ring.move_hand();
            }
            table.unmark(index);
            ring.release(index);
        }
    }

    /// The hand's walk, from an entry that has a mark.
    #[inline(never)]
    fn walk<I: Index, const N: usize>(ring: &mut Ring<I, N>, table: &mut Table<I, N>) -> usize {
        for _ in 0..Sieve::<I>::STEPS {
            if !table.unmark(ring.hand()) {
                return ring.hand();
            }
            ring.move_hand();
        }
        let (newest, hand) = (ring.newest(), ring.hand());
        if table.is_marked(hand) && !table.is_marked(newest) {
            return newest;
        }
        table.unmark(hand);
        hand
    }

    pub trait Index: Copy + Debug + Send + Sync + 'static {
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
