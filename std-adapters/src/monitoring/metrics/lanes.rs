//! A lane of cells for each thread: what one thread alone writes needs no locked instruction.
//!
//! A thread takes the lowest free of [`LANES`] numbers at its first record and gives it back when it ends; the next
//! owner goes on with the same cells. Threads beyond share a last lane, by atomic additions.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use super::sync::Numbers;

/// Threads that record at the same time without sharing cells.
pub(super) const LANES: usize = 64;

/// Not asked yet.
const UNKNOWN: u8 = u8::MAX;
/// None was free, or the thread is about to end.
const SHARED: u8 = u8::MAX - 1;

thread_local! {
    static LANE: Cell<u8> = const { Cell::new(UNKNOWN) };
    static OWNED: Owned = const { Owned(Cell::new(SHARED)) };
}

static NUMBERS: Numbers<AtomicU64> = Numbers(AtomicU64::new(0));

/// Gives the thread's number back when the thread ends.
struct Owned(Cell<u8>);

impl Drop for Owned {
    fn drop(&mut self) {
        // What is recorded later in the thread's end goes to the shared lane.
        LANE.set(SHARED);
        if usize::from(self.0.get()) < LANES {
            NUMBERS.give(self.0.get());
        }
    }
}

/// The lane that this thread alone writes; more than [`LANES`] if it has none, or has not asked yet.
#[inline]
pub(super) fn taken() -> usize {
    usize::from(LANE.get())
}

/// The lane that this thread alone writes from now on; more than [`LANES`] if there is none for it.
pub(super) fn lane() -> usize {
    match LANE.get() {
        UNKNOWN => take(),
        lane => usize::from(lane),
    }
}

fn take() -> usize {
    let lane = OWNED
        .try_with(|owned| {
            let lane = NUMBERS.take().unwrap_or(SHARED);
            owned.0.set(lane);
            lane
        })
        .unwrap_or(SHARED);
    LANE.set(lane);
    usize::from(lane)
}

/// As many cells as there are series, made in blocks of 64 when one of them is first written.
#[derive(Debug)]
pub(super) struct Blocks<T>(Box<[OnceLock<Box<[T; BLOCK]>>]>);

const BLOCK: usize = 64;

impl<T: Default> Blocks<T> {
    pub(super) fn new(cells: usize) -> Self {
        Self((0..cells.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect())
    }

    /// The cell of a series, if it has been made.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place / BLOCK)?.get().map(|block| &block[place % BLOCK])
    }

    /// The cell of a series.
    #[cold]
    #[inline(never)]
    pub(super) fn make(&self, place: usize) -> Option<&T> {
        let block = self.0.get(place / BLOCK)?.get_or_init(|| Box::new(std::array::from_fn(|_| T::default())));
        Some(&block[place % BLOCK])
    }
}
