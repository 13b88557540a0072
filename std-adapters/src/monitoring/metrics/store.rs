//! The cells of all counters of a registry, by lane.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::lanes::{Blocks, LANES, lane, taken};
use super::sync::Word;

/// The counter of records through refused handles.
pub(super) const LOST: usize = 0;
/// The counter of values that were no finite number.
pub(super) const REJECTED: usize = 1;
/// Counters that the registry keeps for itself.
pub(super) const RESERVED: usize = 2;

#[derive(Debug)]
pub(super) struct Store {
    lanes: [OnceLock<Lane>; LANES],
    /// Of all threads that have no lane of their own.
    shared: Lane,
    /// How many cells there may be, and how many are in use.
    cells: usize,
    counters: AtomicUsize,
}

type Lane = Blocks<AtomicU64>;

impl Store {
    pub(super) fn new(cells: usize) -> Self {
        Self {
            lanes: [const { OnceLock::new() }; LANES],
            shared: Lane::new(cells),
            cells,
            counters: AtomicUsize::new(RESERVED),
        }
    }

    /// The place of a new counter.
    pub(super) fn new_counter(&self) -> Option<usize> {
        Some(self.counters.fetch_add(1, Ordering::Relaxed)).filter(|place| *place < self.cells)
    }

    /// Adds `n` to a counter.
    #[inline]
    pub(super) fn add(&self, place: usize, n: u64) {
        let cell = self.lanes.get(taken()).and_then(OnceLock::get).and_then(|lane| lane.get(place));
        match cell {
            Some(cell) => cell.put(cell.get().saturating_add(n)),
            None => self.add_first(place, n),
        }
    }

    /// The first record of this thread's lane here, or one of a thread that has none.
    #[cold]
    #[inline(never)]
    fn add_first(&self, place: usize, n: u64) {
        if let Some(lane) = self.lanes.get(lane()) {
            let lane = lane.get_or_init(|| Lane::new(self.cells));
            if let Some(cell) = lane.make(place) {
                cell.put(cell.get().saturating_add(n));
            }
        } else if let Some(cell) = self.shared.make(place) {
            // The closure never gives `None`, so this never fails.
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| Some(total.saturating_add(n)));
        }
    }

    /// What all threads have added.
    pub(super) fn total(&self, place: usize) -> u64 {
        let cells = self.all().filter_map(|lane| lane.get(place));
        cells.map(Word::get).fold(0, u64::saturating_add)
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter_map(OnceLock::get).chain([&self.shared])
    }
}
