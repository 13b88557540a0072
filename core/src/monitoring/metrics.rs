//! Counters, gauges, and named series of samples.

mod single;
mod stats;
mod tally;

use core::borrow::Borrow;
use core::fmt;

pub use single::{Counter, Gauge, IsrCounter};
pub use stats::{Sample, Stats, Summary};
pub use tally::Tally;

use crate::time::Instant;

/// What a [`Collector`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What happens to a new series when the table is full.
    pub when_full: WhenFull,
}

impl Config {
    /// The least recently recorded series makes room.
    pub const DEFAULT: Self = Self { when_full: WhenFull::MakeRoom };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What happens to a new series when the table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// The series that has gone longest without a record makes room, and is counted in
    /// [`Snapshot::evicted`].
    MakeRoom,
    /// The record is refused, and counted in [`Snapshot::refused`].
    Refuse,
}

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// A total that only goes up: [`Collector::add`].
    Counter,
    /// A value that goes up and down: [`Collector::set`].
    Gauge,
    /// Samples of which each counts: [`Collector::record`].
    Distribution,
}

/// Says why a record changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// The table of series is full and the config says to refuse.
    Full,
    /// The value is not a number, is infinite, or is a negative step of a counter.
    Value,
    /// The series exists and is of this kind.
    Kind(Kind),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room for another series"),
            Self::Value => f.write_str("only finite values are recorded, and only steps of at least 0 by a counter"),
            Self::Kind(Kind::Counter) => f.write_str("the series is a counter"),
            Self::Kind(Kind::Gauge) => f.write_str("the series is a gauge"),
            Self::Kind(Kind::Distribution) => f.write_str("the series is a distribution"),
        }
    }
}

impl core::error::Error for Refused {}

/// Keeps up to `SERIES` named series, each with exact statistics and its last `SAMPLES` samples
/// (the seed's `MetricsCollector`).
///
/// Take it for many series that are looked at by name. A single figure in a hot path is a
/// [`Counter`], a [`Gauge`] or a [`super::histogram::Histogram`].
///
/// # Rules
/// 1. The oldest sample makes room for a new one; the statistics keep all of them.
/// 2. A new series in a full table makes the least recently recorded one go, or is refused, as
///    [`Config::when_full`] says. Either is counted.
/// 3. `stats` is over everything since the series began, `window_stats` over the kept samples.
/// 4. A value that is not a number or infinite changes nothing and is counted as rejected.
/// 5. Mean and deviation of integers are exact sums until the last division, whatever the offset.
/// 6. Unset is not zero: a series that has no sample does not exist.
/// 7. Sums saturate, with a mark that stays.
///
/// # Cost
/// `Collector<&'static str, 4, 4, i32>`: 680 bytes of RAM and 2,248 of flash on thumbv6m (image `metrics`). O(`SERIES`) comparisons a call.
///
/// # Errors
/// [`Refused`] says which rule; the record is counted there.
///
/// # Sharing
/// Behind a [`crate::shared::Shared`].
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::{self, Collector};
/// use daur_core::time::Instant;
///
/// let mut metrics: Collector<&str, 4, 8> = Collector::new(metrics::Config::DEFAULT);
/// for (at, celsius) in [(1, 20), (2, 22), (3, 24)] {
///     metrics.record("temperature", celsius, Instant::from_secs(at)).unwrap();
/// }
/// let stats = metrics.stats("temperature").unwrap();
/// assert_eq!((stats.count(), stats.min(), stats.max(), stats.last()), (3, 20, 24, 24));
/// assert_eq!((stats.mean(), stats.deviation()), (22.0, Some(2.0)));
/// assert!(metrics.stats("pressure").is_none());
/// ```
#[doc(alias = "MetricsCollector")]
#[derive(Clone, Debug)]
pub struct Collector<K, const SERIES: usize, const SAMPLES: usize, V: Sample = i64> {
    config: Config,
    series: [Option<Series<K, V, SAMPLES>>; SERIES],
    /// Records so far: the age of a series is the number at its last record.
    records: u64,
    refused: u64,
    rejected: u64,
    evicted: u64,
}

#[derive(Clone, Debug)]
struct Series<K, V: Sample, const SAMPLES: usize> {
    key: K,
    /// A [`Kind`], as a number for the reason that [`Stats`] has.
    kind: u8,
    used: u64,
    stats: Stats<V>,
    ring: [(Instant, V); SAMPLES],
    /// Where the next sample goes.
    next: usize,
    len: usize,
}

/// A collector's own figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Series kept.
    pub series: usize,
    /// Series that it can keep.
    pub capacity: usize,
    /// Samples recorded.
    pub records: u64,
    /// Records refused because the table was full, or the series of another kind.
    pub refused: u64,
    /// Values that were no finite number, or a counter's step below 0.
    pub rejected: u64,
    /// Series that made room for another.
    pub evicted: u64,
}

impl<K: Eq, const SERIES: usize, const SAMPLES: usize, V: Sample> Collector<K, SERIES, SAMPLES, V> {
    /// An empty collector.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, series: [const { None }; SERIES], records: 0, refused: 0, rejected: 0, evicted: 0 }
    }

    /// Adds a sample to the distribution `key`.
    ///
    /// # Errors
    /// [`Refused`]; nothing but its count has changed then.
    pub fn record(&mut self, key: K, value: V, now: Instant) -> Result<(), Refused> {
        self.put(key, Kind::Distribution, now, |_| (value, true))
    }

    /// Sets the gauge `key`.
    ///
    /// # Errors
    /// [`Refused`]; nothing but its count has changed then.
    pub fn set(&mut self, key: K, value: V, now: Instant) -> Result<(), Refused> {
        self.put(key, Kind::Gauge, now, |_| (value, true))
    }

    /// Adds `step` to the counter `key`, whose samples are its totals.
    ///
    /// # Errors
    /// [`Refused`]; nothing but its count has changed then.
    pub fn add(&mut self, key: K, step: V, now: Instant) -> Result<(), Refused> {
        if step < V::ZERO {
            self.rejected = self.rejected.saturating_add(1);
            return Err(Refused::Value);
        }
        self.put(key, Kind::Counter, now, |total| match total {
            Some(total) if step.is_finite() => total.plus(step),
            _ => (step, true),
        })
    }

    fn put(
        &mut self,
        key: K,
        kind: Kind,
        now: Instant,
        value: impl FnOnce(Option<V>) -> (V, bool),
    ) -> Result<(), Refused> {
        let found = self.series.iter().position(|series| series.as_ref().is_some_and(|series| series.key == key));
        let last =
            found.and_then(|place| self.series.get(place)?.as_ref()).map(|series| (series.kind(), series.stats.last()));
        if let Some((other, _)) = last.filter(|(other, _)| *other != kind) {
            self.refused = self.refused.saturating_add(1);
            return Err(Refused::Kind(other));
        }
        let (value, exact) = value(last.map(|(_, last)| last));
        if !value.is_finite() {
            self.rejected = self.rejected.saturating_add(1);
            return Err(Refused::Value);
        }
        let Some(place) = found.or_else(|| self.free_place()) else {
            self.refused = self.refused.saturating_add(1);
            return Err(Refused::Full);
        };
        self.records = self.records.saturating_add(1);
        if let Some(slot) = self.series.get_mut(place) {
            if found.is_none() {
                self.evicted = self.evicted.saturating_add(u64::from(slot.is_some()));
                *slot = Some(Series::new(key, kind, value, now));
            } else if let Some(series) = slot {
                series.stats.record(value, now);
            }
            if let Some(series) = slot {
                series.keep(value, now);
                series.used = self.records;
                if !exact {
                    series.stats.mark_saturated();
                }
            }
        }
        Ok(())
    }

    /// Where a new series may go: a free place, or that of the least recently recorded.
    fn free_place(&self) -> Option<usize> {
        let free = self.series.iter().position(Option::is_none);
        if free.is_some() || self.config.when_full == WhenFull::Refuse {
            return free;
        }
        let ages = self.series.iter().map(|series| series.as_ref().map_or(0, |series| series.used));
        ages.enumerate().min_by_key(|(_, used)| *used).map(|(place, _)| place)
    }

    fn find<Q: Eq + ?Sized>(&self, key: &Q) -> Option<&Series<K, V, SAMPLES>>
    where
        K: Borrow<Q>,
    {
        self.series.iter().flatten().find(|series| series.key.borrow() == key)
    }

    /// The statistics of all samples since the series began.
    #[must_use]
    pub fn stats<Q: Eq + ?Sized>(&self, key: &Q) -> Option<Stats<V>>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|series| series.stats)
    }

    /// The statistics of the kept samples.
    #[must_use]
    pub fn window_stats<Q: Eq + ?Sized>(&self, key: &Q) -> Option<Stats<V>>
    where
        K: Borrow<Q>,
    {
        let mut samples = self.find(key)?.samples();
        let (at, first) = samples.next()?;
        let mut stats = Stats::new(first, at);
        for (at, value) in samples {
            stats.record(value, at);
        }
        Some(stats)
    }

    /// The kept samples with their times, oldest first.
    pub fn samples<Q: Eq + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (Instant, V)> + '_
    where
        K: Borrow<Q>,
    {
        self.find(key).into_iter().flat_map(Series::samples)
    }

    /// What `key` is, if it exists.
    #[must_use]
    pub fn kind<Q: Eq + ?Sized>(&self, key: &Q) -> Option<Kind>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(Series::kind)
    }

    /// Every series, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Kind, &Stats<V>)> {
        self.series.iter().flatten().map(|series| (&series.key, series.kind(), &series.stats))
    }

    /// Forgets the series `key`; says whether it existed.
    pub fn remove<Q: Eq + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let slot = self.series.iter_mut().find(|slot| slot.as_ref().is_some_and(|series| series.key.borrow() == key));
        slot.is_some_and(|slot| slot.take().is_some())
    }

    /// The collector's own figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            series: self.series.iter().flatten().count(),
            capacity: SERIES,
            records: self.records,
            refused: self.refused,
            rejected: self.rejected,
            evicted: self.evicted,
        }
    }
}

impl<K: Eq, const SERIES: usize, const SAMPLES: usize, V: Sample> Default for Collector<K, SERIES, SAMPLES, V> {
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

impl<K, V: Sample, const SAMPLES: usize> Series<K, V, SAMPLES> {
    fn new(key: K, kind: Kind, value: V, now: Instant) -> Self {
        let ring = [(Instant::ZERO, V::ZERO); SAMPLES];
        Self { key, kind: kind as u8, used: 0, stats: Stats::new(value, now), ring, next: 0, len: 0 }
    }

    const fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            _ => Kind::Distribution,
        }
    }

    fn keep(&mut self, value: V, now: Instant) {
        if let Some(place) = self.ring.get_mut(self.next) {
            *place = (now, value);
            self.next = if self.next + 1 < SAMPLES { self.next + 1 } else { 0 };
            self.len = SAMPLES.min(self.len + 1);
        }
    }

    fn samples(&self) -> impl Iterator<Item = (Instant, V)> + '_ {
        // While the ring is not full, the oldest is the first; then it is the one to be replaced.
        let oldest = if self.len < SAMPLES { 0 } else { self.next };
        self.ring.iter().cycle().skip(oldest).take(self.len).copied()
    }
}

#[cfg(test)]
mod tests;
