//! A single figure: a counter or a gauge.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::monitoring::long::Long;

/// Counts what only goes up.
///
/// For one writer, or behind a lock; from an interrupt use [`IsrCounter`]. Saturates at
/// `u64::MAX`, which is then the mark that it did.
///
/// # Cost
/// 8 bytes.
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::Counter;
///
/// let mut frames = Counter::new();
/// frames.add(2);
/// frames.increment();
/// assert_eq!(frames.total(), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "u64", into = "u64"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counter(Long);

impl From<u64> for Counter {
    fn from(total: u64) -> Self {
        Self(Long::new(total))
    }
}

impl From<Counter> for u64 {
    fn from(counter: Counter) -> Self {
        counter.total()
    }
}

impl Counter {
    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self(Long::ZERO)
    }

    /// Counts one.
    #[inline]
    pub const fn increment(&mut self) {
        self.0.add_word(1);
    }

    /// Counts `n`.
    #[inline]
    pub const fn add(&mut self, n: u64) {
        self.0.add(n);
    }

    /// What has been counted.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.0.get()
    }
}

/// Counts from one interrupt (or one task), read from anywhere.
///
/// # Rules
/// 1. One writer at a time: the step is a load and a store, since a Cortex-M0 has no atomic addition.
/// 2. Saturates at `u32::MAX`, which is then the mark that it did.
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::IsrCounter;
///
/// static OVERRUNS: IsrCounter = IsrCounter::new();
/// OVERRUNS.increment(); // in the one interrupt that counts here
/// assert_eq!(OVERRUNS.total(), 1);
/// ```
#[derive(Debug, Default)]
pub struct IsrCounter(pub(super) AtomicU32);

impl IsrCounter {
    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Counts one.
    #[inline]
    pub fn increment(&self) {
        let next = self.0.load(Ordering::Relaxed).saturating_add(1);
        self.0.store(next, Ordering::Relaxed);
    }

    /// What has been counted.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds what goes up and down; unset until the first [`Gauge::set`].
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::Gauge;
///
/// let mut depth = Gauge::new();
/// assert_eq!(depth.value(), None); // unset is not zero
/// depth.set(4);
/// depth.add(-1);
/// assert_eq!(depth.value(), Some(3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gauge(Option<i64>);

impl Gauge {
    /// Unset.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Holds `value`.
    pub const fn set(&mut self, value: i64) {
        self.0 = Some(value);
    }

    /// Changes the value, from 0 if it is unset; saturates.
    pub const fn add(&mut self, change: i64) {
        let value = match self.0 {
            Some(value) => value,
            None => 0,
        };
        self.0 = Some(value.saturating_add(change));
    }

    /// The value, if there is one.
    #[must_use]
    pub const fn value(self) -> Option<i64> {
        self.0
    }
}
