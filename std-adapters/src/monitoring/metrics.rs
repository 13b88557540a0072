//! Metrics of a process: named series with handles that cost a few nanoseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

pub use daur_core::monitoring::metrics::Kind;

mod distribution;
#[cfg(feature = "metrics")]
mod facade;
mod handles;
mod lanes;
#[cfg(all(test, daur_loom))]
mod loom;
mod names;
mod store;
mod stripe;
mod stripes;
mod sync;
#[cfg(all(test, not(daur_loom)))]
mod tests;

pub use distribution::{Count, Distribution};
#[cfg(feature = "metrics")]
pub use facade::Recorder;
pub use handles::{Counter, Gauge, Histogram};

use store::{LOST, REJECTED, RESERVED, Store};

/// Says how much a [`Registry`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Families: names. From 1 to 100,000.
    pub max_families: usize,
    /// Label sets of one family; further ones count in its overflow series. From 1 to 100,000.
    pub max_label_sets: usize,
    /// Series of all families together, without those of overflow; further ones count in the overflow of their
    /// family. From 1 to 1,000,000.
    pub max_series: usize,
    /// Bytes of all names and values of a label set; a longer one counts in the overflow series. At least 1.
    pub max_label_bytes: usize,
}

impl Config {
    /// 1,000 families of up to 500 label sets, 10,000 series together, of labels up to 1 KiB.
    pub const DEFAULT: Self =
        Self { max_families: 1_000, max_label_sets: 500, max_series: 10_000, max_label_bytes: 1_024 };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.max_families == 0 || self.max_families > 100_000 {
            return Err(ConfigError::Families);
        }
        if self.max_label_sets == 0 || self.max_label_sets > 100_000 {
            return Err(ConfigError::LabelSets);
        }
        if self.max_series == 0 || self.max_series > 1_000_000 {
            return Err(ConfigError::Series);
        }
        if self.max_label_bytes == 0 {
            return Err(ConfigError::LabelBytes);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which field of a [`Config`] is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_families`.
    Families,
    /// `max_label_sets`.
    LabelSets,
    /// `max_series`.
    Series,
    /// `max_label_bytes`.
    LabelBytes,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Families => "metrics: `max_families` must be from 1 to 100,000",
            Self::LabelSets => "metrics: `max_label_sets` must be from 1 to 100,000",
            Self::Series => "metrics: `max_series` must be from 1 to 1,000,000",
            Self::LabelBytes => "metrics: `max_label_bytes` must be at least 1",
        })
    }
}

impl std::error::Error for ConfigError {}

/// Says why there is no such series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// A name is a letter, `_` or `:`, then letters, digits, `_` and `:`.
    Name,
    /// A label's name is a letter or `_`, then letters, digits and `_`; it does not begin with `__`, is not `le`,
    /// `quantile` or [`OVERFLOW`], and is there once.
    Label,
    /// The family is of this kind.
    Kind(Kind),
    /// The name, or that of one of its samples (`_total`, `_bucket`, `_sum`, `_count`), is another family's.
    Taken,
    /// There are [`Config::max_families`] already.
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a metric's name is a letter, `_` or `:`, then letters, digits, `_` and `:`",
            Self::Label => {
                "a label's name is a letter or `_`, then letters, digits and `_`, is not reserved, and is there once"
            }
            Self::Kind(Kind::Counter) => "the metric is a counter",
            Self::Kind(Kind::Gauge) => "the metric is a gauge",
            Self::Kind(Kind::Distribution) => "the metric is a histogram",
            Self::Taken => "the name, or one of those its samples would have, is another metric's",
            Self::Full => "no room for another metric",
        })
    }
}

impl std::error::Error for Refused {}

/// The label of a family's overflow series, as OpenTelemetry names it; its value is `true`.
pub const OVERFLOW: &str = "otel_metric_overflow";

/// Keeps the series of a process (the seed's `MetricsCollector`), recorded into through handles.
///
/// Ask for a handle once and keep it: [`counter`](Self::counter), [`gauge`](Self::gauge), [`histogram`](Self::histogram),
/// or with labels by their `_of`. A clone is the same registry. For a handful of series with their last samples
/// behind one lock, or on a device, use the [`Collector`](daur_core::monitoring::metrics::Collector) of `daur-core`;
/// what the crate `metrics` records comes in by the `Recorder` (feature `metrics`). [`metrics()`] is the process's.
///
/// # Rules
/// 1. A name and its labels are one series, whoever asks and in whatever order the labels stand; `x` and `x_total`
///    are one counter. A label without a value is none, as OpenMetrics has it.
/// 2. What OpenMetrics does not allow is refused by `try_` and its reason told; without `try_` the handle records
///    nothing, and each of its records is counted in [`Snapshot::lost`].
/// 3. Label sets beyond [`Config::max_label_sets`], series beyond [`Config::max_series`] and labels longer than
///    [`Config::max_label_bytes`] share one series of their family, labelled [`OVERFLOW`], and
///    [`Family::overflowed`] counts how often one was asked for.
/// 4. Every record is counted once, by any number of threads, those that have ended too.
/// 5. A snapshot of a histogram consists of whole records: its count is the sum of its buckets, its sum that of the same
///    values.
/// 6. NaN, infinities and negative values of a histogram change nothing and are counted in [`Snapshot::rejected`].
/// 7. Counts saturate at `u64::MAX`. A gauge that was never set has no value.
/// 8. Families come in the order of their names, series in that of their labels.
///
/// # Cost
/// A counter's record is a load and a store in memory of this thread's own, 1 to 2 ns; a histogram's the same for sum, least,
/// greatest, one bucket and the marks by which a reader sees whole records, 3 to 5 ns. No locked instruction and no line that
/// another thread writes. RAM: 8 bytes for each counter and thread in blocks of 64; for each histogram 0.3 KiB, and for each thread
/// that records into it 0.5 KiB and 1.1 KiB for every four octaves in use. The 17th thread at the same time and those after it
/// take one step more for a histogram; beyond 64 they share one more lane by atomic additions, and a lock for histograms.
/// Asking for a handle: one lock and two searches.
///
/// # Errors
/// [`Refused`] from the `try_` verbs.
///
/// # Sharing
/// Everything is `Send` and `Sync`; records never wait for another's, and for a reader only in a histogram that is
/// written without a pause. Not for signal handlers, nor for what an allocator counts.
///
/// # Example
/// ```
/// use daur_std::monitoring::metrics::{Refused, Registry, Value};
///
/// let registry = Registry::new();
/// registry.describe("requests_total", "Requests answered.", None);
/// let answered = registry.counter_of("requests", &[("code", "200")]);
/// answered.increment();
/// answered.add(2);
/// registry.gauge("queue_depth").set(4.0);
///
/// let snapshot = registry.snapshot();
/// let names: Vec<&str> = snapshot.families.iter().map(|family| family.name.as_str()).collect();
/// assert_eq!(names, ["queue_depth", "requests"]);
/// assert_eq!(snapshot.families[1].series[0].value, Value::Counter(3));
/// assert_eq!(registry.try_gauge("a metric", &[]).unwrap_err(), Refused::Name);
/// ```
///
/// # References
/// OpenMetrics 1.0.0; OpenTelemetry metrics SDK, "Cardinality limits".
#[doc(alias = "MetricsCollector")]
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    config: Config,
    store: Arc<Store>,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    families: BTreeMap<Arc<str>, Entry>,
    /// The names of the samples of all families, each with its family's.
    samples: BTreeMap<String, Arc<str>>,
    /// Series so far, without those of overflow.
    series: usize,
    described: BTreeMap<String, Described>,
    refused: u64,
}

struct Entry {
    kind: Kind,
    series: BTreeMap<Labels, Cell>,
    overflow: Option<Cell>,
    overflowed: u64,
}

#[derive(Clone, Default)]
struct Described {
    help: String,
    unit: Option<String>,
}

/// The labels of a series, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Names and values as the verbs take them.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.iter().collect()
    }

    /// The value of the label `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Where a series is kept.
#[derive(Clone)]
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// A family as it is at the moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Family {
    /// Its name; a counter's without `_total`.
    pub name: String,
    /// What its series are.
    pub kind: Kind,
    /// What [`Registry::describe`] has said; else empty.
    pub help: String,
    /// The unit, if one was described.
    pub unit: Option<String>,
    /// The series in the order of their labels, that of overflow last.
    pub series: Vec<Series>,
    /// How often a label set was asked for that had to share the series of overflow.
    pub overflowed: u64,
}

/// A series as it is at the moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Series {
    /// The labels, by name.
    pub labels: Labels,
    /// What has been recorded.
    pub value: Value,
}

/// What a series holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub enum Value {
    /// A total.
    Counter(u64),
    /// A value, `None` before the first.
    Gauge(Option<f64>),
    /// Values by size.
    Histogram(Distribution),
}

/// All families, and what was refused.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Snapshot {
    /// The families in the order of their names.
    pub families: Vec<Family>,
    /// Handles that were asked for and refused, and descriptions that found no room.
    pub refused: u64,
    /// Records through handles that had been refused.
    pub lost: u64,
    /// Values that were NaN, infinite, or negative in a histogram.
    pub rejected: u64,
}

impl Snapshot {
    /// The value of the series with these labels, in any order.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Value> {
        let family = self.families.iter().find(|family| family.name == name)?;
        let labels: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
        let same = |series: &&Series| {
            series.labels.iter().len() == labels.len() && series.labels.iter().all(|label| labels.contains(&&label))
        };
        family.series.iter().find(same).map(|series| &series.value)
    }
}

impl Registry {
    /// An empty registry of [`Config::DEFAULT`].
    #[must_use]
    pub fn new() -> Self {
        Self::unchecked(Config::DEFAULT)
    }

    /// An empty registry.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::unchecked(config))
    }

    fn unchecked(config: Config) -> Self {
        // Every family may need one more, of overflow.
        let cells = RESERVED + config.max_series + config.max_families;
        Self(Arc::new(Inner { config, store: Arc::new(Store::new(cells)), table: RwLock::default() }))
    }

    /// The counter `name`, without labels. Rule 2 tells what becomes of a name that is refused.
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        self.counter_of(name, &[])
    }

    /// The counter `name` with these labels.
    #[must_use]
    pub fn counter_of(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        self.try_counter(name, labels).unwrap_or_else(|_| Counter::refused(&self.0.store))
    }

    /// The counter `name` with these labels.
    ///
    /// # Errors
    /// [`Refused`] says why there is none.
    pub fn try_counter(&self, name: &str, labels: &[(&str, &str)]) -> Result<Counter, Refused> {
        match self.series(name, Kind::Counter, labels)?.0 {
            Cell::Counter(counter) => Ok(counter),
            _ => Err(Refused::Kind(Kind::Counter)),
        }
    }

    /// The gauge `name`, without labels. Rule 2 tells what becomes of a name that is refused.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Gauge {
        self.gauge_of(name, &[])
    }

    /// The gauge `name` with these labels.
    #[must_use]
    pub fn gauge_of(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        self.try_gauge(name, labels).unwrap_or_else(|_| Gauge::refused(&self.0.store))
    }

    /// The gauge `name` with these labels.
    ///
    /// # Errors
    /// [`Refused`] says why there is none.
    pub fn try_gauge(&self, name: &str, labels: &[(&str, &str)]) -> Result<Gauge, Refused> {
        match self.series(name, Kind::Gauge, labels)?.0 {
            Cell::Gauge(gauge) => Ok(gauge),
            _ => Err(Refused::Kind(Kind::Gauge)),
        }
    }

    /// The histogram `name`, without labels. Rule 2 tells what becomes of a name that is refused.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Histogram {
        self.histogram_of(name, &[])
    }

    /// The histogram `name` with these labels.
    #[must_use]
    pub fn histogram_of(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        self.try_histogram(name, labels).unwrap_or_else(|_| Histogram::refused(&self.0.store))
    }

    /// The histogram `name` with these labels.
    ///
    /// # Errors
    /// [`Refused`] says why there is none.
    pub fn try_histogram(&self, name: &str, labels: &[(&str, &str)]) -> Result<Histogram, Refused> {
        match self.series(name, Kind::Distribution, labels)?.0 {
            Cell::Histogram(histogram) => Ok(histogram),
            _ => Err(Refused::Kind(Kind::Distribution)),
        }
    }

    /// Says what `name` is, before or after its first series; the last word counts. The unit is a word such as
    /// `seconds`, in which a family's name should end.
    pub fn describe(&self, name: &str, help: &str, unit: Option<&str>) {
        let described = Described { help: help.into(), unit: unit.map(Into::into) };
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let room = table.described.len() < self.0.config.max_families;
        match table.described.get_mut(name) {
            Some(known) => *known = described,
            None if room => _ = table.described.insert(name.to_owned(), described),
            None => table.refused += 1,
        }
    }

    /// The series, which is made if it is new, and whether it is one of its own.
    fn series(&self, name: &str, kind: Kind, labels: &[(&str, &str)]) -> Result<(Cell, bool), Refused> {
        let family = if kind == Kind::Counter { name.trim_end_matches("_total") } else { name };
        let key = names::labels(labels);
        if let Some(key) = &key {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = table.families.get(family).filter(|entry| entry.kind == kind)
                && let Some(cell) = entry.series.get(key)
            {
                return Ok((cell.clone(), true));
            }
        }
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let made = key.ok_or(Refused::Label).and_then(|key| table.make(family, kind, key, &self.0));
        table.refused += u64::from(made.is_err());
        made
    }

    /// Calls `with` with each family as it is at the moment, in the order of names. No lock is held meanwhile.
    pub fn for_each(&self, mut with: impl FnMut(&Family)) {
        let names: Vec<Arc<str>> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            table.families.keys().cloned().collect()
        };
        for name in names {
            if let Some(family) = self.family(&name) {
                with(&family);
            }
        }
    }

    /// The family `name` as it is at the moment; a counter's without `_total`.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<Family> {
        let (name, kind, described, overflowed, cells) = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            let (name, entry) = table.families.get_key_value(name)?;
            let mut cells: Vec<(Labels, Cell)> =
                entry.series.iter().map(|(labels, cell)| (labels.clone(), cell.clone())).collect();
            cells.extend(entry.overflow.iter().map(|cell| (names::overflow(), cell.clone())));
            (name.to_string(), entry.kind, table.described(name, entry.kind), entry.overflowed, cells)
        };
        let series = cells.into_iter().map(|(labels, cell)| Series { labels, value: cell.value() }).collect();
        Some(Family { name, kind, help: described.help, unit: described.unit, series, overflowed })
    }

    /// Everything as it is at the moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut families = Vec::new();
        self.for_each(|family| families.push(family.clone()));
        let refused = self.0.table.read().unwrap_or_else(PoisonError::into_inner).refused;
        let (lost, rejected) = (self.0.store.total(LOST), self.0.store.total(REJECTED));
        Snapshot { families, refused, lost, rejected }
    }
}

impl Table {
    fn make(&mut self, family: &str, kind: Kind, key: Labels, inner: &Inner) -> Result<(Cell, bool), Refused> {
        let Inner { config, store, .. } = inner;
        if !self.families.contains_key(family) {
            self.declare(family, kind, config)?;
        }
        let Some(entry) = self.families.get_mut(family) else { return Err(Refused::Full) };
        if entry.kind != kind {
            return Err(Refused::Kind(entry.kind));
        }
        if let Some(cell) = entry.series.get(&key) {
            return Ok((cell.clone(), true)); // another thread was first
        }
        let room = entry.series.len() < config.max_label_sets && self.series < config.max_series;
        let bytes: usize = key.iter().map(|(name, value)| name.len() + value.len()).sum();
        if room && bytes <= config.max_label_bytes {
            let cell = Cell::new(kind, store).ok_or(Refused::Full)?;
            self.series += 1;
            entry.series.insert(key, cell.clone());
            return Ok((cell, true));
        }
        entry.overflowed = entry.overflowed.saturating_add(1);
        if entry.overflow.is_none() {
            entry.overflow = Cell::new(kind, store);
        }
        entry.overflow.clone().map(|cell| (cell, false)).ok_or(Refused::Full)
    }

    fn declare(&mut self, family: &str, kind: Kind, config: &Config) -> Result<(), Refused> {
        if !names::is_metric(family) {
            return Err(Refused::Name);
        }
        let samples = names::samples(family, kind);
        if samples.iter().any(|sample| self.samples.contains_key(sample)) {
            return Err(Refused::Taken);
        }
        if self.families.len() >= config.max_families {
            return Err(Refused::Full);
        }
        let name: Arc<str> = family.into();
        self.samples.extend(samples.into_iter().map(|sample| (sample, name.clone())));
        let entry = Entry { kind, series: BTreeMap::new(), overflow: None, overflowed: 0 };
        self.families.insert(name, entry);
        Ok(())
    }

    fn described(&self, family: &str, kind: Kind) -> Described {
        let total = || self.described.get(&format!("{family}_total"));
        let described = self.described.get(family);
        described.or_else(|| if kind == Kind::Counter { total() } else { None }).cloned().unwrap_or_default()
    }
}

impl Cell {
    fn new(kind: Kind, store: &Arc<Store>) -> Option<Self> {
        Some(match kind {
            Kind::Counter => Self::Counter(Counter::new(store)?),
            Kind::Gauge => Self::Gauge(Gauge::new(store)),
            Kind::Distribution => Self::Histogram(Histogram::new(store)),
        })
    }

    fn value(&self) -> Value {
        match self {
            Self::Counter(counter) => Value::Counter(counter.total()),
            Self::Gauge(gauge) => Value::Gauge(gauge.value()),
            Self::Histogram(histogram) => Value::Histogram(histogram.read()),
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("config", &self.0.config).finish_non_exhaustive()
    }
}

static GLOBAL: OnceLock<Registry> = OnceLock::new();

/// The one registry of this process (the seed's `get_metrics_collector`), of [`Config::DEFAULT`] unless [`init`] was first.
///
/// # Example
/// ```
/// use daur_std::monitoring::metrics::metrics;
///
/// let served = metrics().counter("served");
/// served.increment();
/// assert_eq!(served.total(), 1);
/// ```
#[doc(alias = "get_metrics_collector")]
pub fn metrics() -> &'static Registry {
    GLOBAL.get_or_init(Registry::new)
}

/// Makes `registry` the one that [`metrics()`] gives.
///
/// # Errors
/// Gives `registry` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(registry: Registry) -> Result<(), Registry> {
    GLOBAL.set(registry)
}
