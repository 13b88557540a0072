//! The cells of all series of a registry, by lane.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::distribution::Distribution;
use super::lanes::{Blocks, LANES, lane};
use super::stripe::Stripe;
use super::sync::Word;

/// The counter of records through refused handles.
pub(super) const LOST: usize = 0;
/// The counter of values that were no finite number.
pub(super) const REJECTED: usize = 1;
/// Counters that the registry keeps for itself.
pub(super) const RESERVED: usize = 2;

#[derive(Debug)]
pub(super) struct Store {
    lanes: [OnceLock<Box<Lane>>; LANES],
    /// Of all threads that have no lane of their own.
    shared: Lane,
    /// How many cells there may be, and how many are in use.
    cells: usize,
    counters: AtomicUsize,
    histograms: AtomicUsize,
}

#[derive(Debug)]
struct Lane {
    counters: Blocks<AtomicU64>,
    histograms: Blocks<OnceLock<Box<Stripe>>>,
}

impl Lane {
    fn new(cells: usize) -> Self {
        Self { counters: Blocks::new(cells), histograms: Blocks::new(cells) }
    }
}

impl Store {
    pub(super) fn new(cells: usize) -> Self {
        Self {
            lanes: [const { OnceLock::new() }; LANES],
            shared: Lane::new(cells),
            cells,
            counters: AtomicUsize::new(RESERVED),
            histograms: AtomicUsize::new(0),
        }
    }

    /// The place of a new counter.
    pub(super) fn new_counter(&self) -> Option<usize> {
        Some(self.counters.fetch_add(1, Ordering::Relaxed)).filter(|place| *place < self.cells)
    }

    /// The place of a new histogram.
    pub(super) fn new_histogram(&self) -> Option<usize> {
        Some(self.histograms.fetch_add(1, Ordering::Relaxed)).filter(|place| *place < self.cells)
    }

    /// Adds `n` to a counter.
    #[inline]
    pub(super) fn add(&self, place: usize, n: u64) {
        let cell = self.lanes.get(lane()).and_then(OnceLock::get).and_then(|lane| lane.counters.get(place));
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
            let lane = lane.get_or_init(|| Box::new(Lane::new(self.cells)));
            if let Some(cell) = lane.counters.make(place) {
                cell.put(cell.get().saturating_add(n));
            }
        } else if let Some(cell) = self.shared.counters.make(place) {
            // The closure never gives `None`, so this never fails.
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| Some(total.saturating_add(n)));
        }
    }

    /// What all threads have added.
    pub(super) fn total(&self, place: usize) -> u64 {
        let cells = self.all().filter_map(|lane| lane.counters.get(place));
        cells.map(Word::get).fold(0, u64::saturating_add)
    }

    /// Counts a value; `false` if it is none to be counted.
    #[inline]
    pub(super) fn record(&self, place: usize, value: f64) -> bool {
        let lane = self.lanes.get(lane()).and_then(OnceLock::get);
        match lane.and_then(|lane| lane.histograms.get(place)).and_then(OnceLock::get) {
            Some(stripe) => stripe.record(value),
            None => self.record_many(place, value, 1),
        }
    }

    /// Counts a value `times`; `false` if it is none to be counted.
    #[cold]
    #[inline(never)]
    pub(super) fn record_many(&self, place: usize, value: f64, times: u64) -> bool {
        if let Some(lane) = self.lanes.get(lane()) {
            let lane = lane.get_or_init(|| Box::new(Lane::new(self.cells)));
            lane.histograms.make(place).is_none_or(|stripe| stripe.get_or_init(Box::default).record_many(value, times))
        } else {
            let stripe = self.shared.histograms.make(place);
            stripe.is_none_or(|stripe| stripe.get_or_init(Box::default).record_shared(value, times))
        }
    }

    /// What all threads have counted.
    pub(super) fn read(&self, place: usize) -> Distribution {
        let mut all = Distribution::default();
        let own = self.lanes.iter().filter_map(OnceLock::get).map(|lane| (&**lane, false));
        for (lane, shared) in own.chain([(&self.shared, true)]) {
            if let Some(stripe) = lane.histograms.get(place).and_then(OnceLock::get) {
                all.merge(&stripe.read(shared));
            }
        }
        all
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter_map(OnceLock::get).map(|lane| &**lane).chain([&self.shared])
    }
}
