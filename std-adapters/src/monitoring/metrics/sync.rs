//! How one thread writes what others read whole, without a lock and without a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// An atomic word: the standard library's, and `loom`'s in its model.
pub(super) trait Word {
    /// A relaxed load.
    fn get(&self) -> u64;
    /// A relaxed store.
    fn put(&self, value: u64);
    /// A load that sees what was written before the store that it reads.
    fn get_acquire(&self) -> u64;
    /// A store that shows what was written before it.
    fn put_release(&self, value: u64);
    /// Sets the lowest bit that is 0; the value before.
    fn set_lowest_zero(&self) -> Option<u64>;
    /// Clears the bits of `mask`.
    fn clear(&self, mask: u64);
    fn fence_acquire();
    fn fence_release();
}

impl Word for AtomicU64 {
    #[inline]
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn put(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn get_acquire(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn put_release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    fn set_lowest_zero(&self) -> Option<u64> {
        let set = |bits: u64| (bits != u64::MAX).then(|| bits | (bits + 1));
        self.fetch_update(Ordering::Acquire, Ordering::Relaxed, set).ok()
    }

    fn clear(&self, mask: u64) {
        self.fetch_and(!mask, Ordering::Release);
    }

    #[inline]
    fn fence_acquire() {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn fence_release() {
        fence(Ordering::Release);
    }
}

/// Counts the writes of one writer, so that a reader knows whether one came between: odd while one is under way.
#[derive(Debug, Default)]
pub(super) struct Seq<W>(pub(super) W);

impl<W: Word> Seq<W> {
    /// Runs `write`, whose stores readers see all or none of. One writer at a time.
    #[inline]
    pub(super) fn write(&self, write: impl FnOnce()) {
        let writes = self.0.get();
        self.0.put(writes.wrapping_add(1));
        W::fence_release();
        write();
        self.0.put_release(writes.wrapping_add(2));
    }

    /// What `read` has read, if no write came between.
    pub(super) fn read<R>(&self, read: impl FnOnce() -> R) -> Option<R> {
        let writes = self.0.get_acquire();
        if writes % 2 == 1 {
            return None;
        }
        let read = read();
        W::fence_acquire();
        (self.0.get() == writes).then_some(read)
    }
}

/// The numbers of all lanes, a bit for each that is taken.
#[derive(Debug, Default)]
pub(super) struct Numbers<W>(pub(super) W);

impl<W: Word> Numbers<W> {
    /// Takes the lowest free number. What its last owner has written is seen from then on.
    pub(super) fn take(&self) -> Option<u8> {
        u8::try_from(self.0.set_lowest_zero()?.trailing_ones()).ok()
    }

    /// Gives a number back.
    pub(super) fn give(&self, number: u8) {
        self.0.clear(1 << (number & 63));
    }
}
