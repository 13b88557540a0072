//! What records into one series.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::distribution::Distribution;
use super::store::{LOST, REJECTED, Store};
use super::stripes::Stripes;

/// Counts what only goes up; a clone counts in the same series.
///
/// # Cost
/// One load and one store in memory of this thread's own.
#[derive(Clone)]
pub struct Counter {
    store: Arc<Store>,
    place: usize,
}

impl Counter {
    pub(super) fn new(store: &Arc<Store>) -> Option<Self> {
        Some(Self { place: store.new_counter()?, store: store.clone() })
    }

    /// One whose records are counted as lost.
    pub(super) fn refused(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), place: LOST }
    }

    /// Counts one.
    #[inline]
    pub fn increment(&self) {
        self.store.add(self.place, 1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        if self.place == LOST { self.store.add(LOST, 1) } else { self.store.add(self.place, n) }
    }

    /// Raises the total to `total`, which is counted elsewhere; a lower one changes nothing.
    ///
    /// To be called for totals that one thread reports: two at the same time take turns, all counters of the process together.
    pub fn absolute(&self, total: u64) {
        static TURN: Mutex<()> = Mutex::new(());
        let _alone = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if self.place == LOST {
            self.store.add(LOST, 1);
        } else if let Some(more @ 1..) = total.checked_sub(self.total()) {
            self.store.add(self.place, more);
        }
    }

    /// What has been counted; 0 of a handle that was refused.
    #[must_use]
    pub fn total(&self) -> u64 {
        if self.place == LOST { 0 } else { self.store.total(self.place) }
    }
}

/// Holds what goes up and down; a clone holds the same. Unset until the first value.
///
/// # Cost
/// [`set`](Gauge::set) is a store, [`add`](Gauge::add) a compare-and-swap: what is set must be one for all threads.
#[derive(Clone)]
pub struct Gauge {
    store: Arc<Store>,
    /// The float's bits, or [`UNSET`].
    cell: Option<Arc<AtomicU64>>,
}

/// The bits of a NaN, which is never set.
const UNSET: u64 = u64::MAX;

impl Gauge {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), cell: Some(Arc::new(AtomicU64::new(UNSET))) }
    }

    pub(super) fn refused(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), cell: None }
    }

    /// Holds `value`. NaN and infinities change nothing and are counted as rejected.
    #[inline]
    pub fn set(&self, value: f64) {
        match &self.cell {
            Some(cell) if value.is_finite() => cell.store(value.to_bits(), Ordering::Relaxed),
            cell => self.turn_down(cell.is_none()),
        }
    }

    /// Changes the value, from 0 if it is unset. What would be no finite number changes nothing and is counted as rejected.
    pub fn add(&self, change: f64) {
        let Some(cell) = &self.cell else { return self.turn_down(true) };
        let changed = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let value = if bits == UNSET { 0.0 } else { f64::from_bits(bits) };
            Some(value + change).filter(|value| value.is_finite()).map(f64::to_bits)
        });
        if changed.is_err() {
            self.turn_down(false);
        }
    }

    #[cold]
    #[inline(never)]
    fn turn_down(&self, lost: bool) {
        self.store.add(if lost { LOST } else { REJECTED }, 1);
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let bits = self.cell.as_ref()?.load(Ordering::Relaxed);
        (bits != UNSET).then(|| f64::from_bits(bits))
    }
}

/// Counts values by size, in the base unit: seconds, bytes; a clone counts in the same series.
///
/// # Cost
/// Loads and stores in memory of this thread's own: sum, least, greatest, one bucket, and the two marks by which a reader sees whole
/// records.
#[derive(Clone)]
pub struct Histogram {
    store: Arc<Store>,
    stripes: Arc<Stripes>,
    /// Nothing is counted here.
    refused: bool,
}

impl Histogram {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), stripes: Arc::default(), refused: false }
    }

    pub(super) fn refused(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), stripes: Arc::default(), refused: true }
    }

    /// Counts `value`. NaN, infinities and what is below 0 change nothing and are counted as rejected.
    #[inline]
    pub fn record(&self, value: f64) {
        let counted = match self.stripes.own() {
            Some(stripe) => stripe.record(value),
            None => self.record_elsewhere(value),
        };
        if !counted {
            self.turn_down();
        }
    }

    /// The first record of this thread, or one of a thread that is far, or of a handle that was refused.
    #[inline(never)]
    fn record_elsewhere(&self, value: f64) -> bool {
        !self.refused && self.stripes.record_elsewhere(value)
    }

    /// Counts `value` `times`.
    pub fn record_many(&self, value: f64, times: u64) {
        let counted = times == 0 || (!self.refused && self.stripes.record_many(value, times));
        if !counted {
            self.turn_down();
        }
    }

    /// Counts how long something took, in seconds.
    #[inline]
    pub fn record_duration(&self, took: Duration) {
        self.record(took.as_secs_f64());
    }

    #[cold]
    #[inline(never)]
    fn turn_down(&self) {
        self.store.add(if self.refused { LOST } else { REJECTED }, 1);
    }

    /// What has been counted by all threads: whole records.
    #[must_use]
    pub fn read(&self) -> Distribution {
        self.stripes.read()
    }
}

macro_rules! debug {
    ($($handle:ident $read:ident),*) => {$(
        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.$read()).finish()
            }
        }
    )*};
}

debug!(Counter total, Gauge value, Histogram read);
