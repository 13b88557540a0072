//! What others record through the crate `metrics`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SetRecorderError, SharedString, Unit};

use super::{Cell, Counter, Gauge, Histogram, Kind, Registry, names};

/// Takes what is recorded through the facade `metrics` into a [`Registry`], so that existing code reports there.
///
/// # Rules
/// 1. Characters that OpenMetrics does not allow in a name become `_`: `http.requests` is `http_requests`. A label that
///    is there twice counts with its last value.
/// 2. What the registry refuses, or has no room for, is counted there.
/// 3. `absolute` raises a counter and never lowers it.
/// 4. Values are in the unit that the caller has chosen: record seconds, name it `_seconds`.
///
/// # Example
/// ```
/// use daur_std::monitoring::metrics::{Recorder, Registry, Value};
///
/// let registry = Registry::new();
/// let recorder = Recorder::new(registry.clone());
/// metrics::with_local_recorder(&recorder, || {
///     metrics::counter!("http.requests", "code" => "200").increment(2);
///     metrics::histogram!("took_seconds").record(0.25);
/// });
/// assert_eq!(registry.snapshot().value("http_requests", &[("code", "200")]), Some(&Value::Counter(2)));
/// ```
#[derive(Debug)]
pub struct Recorder {
    registry: Registry,
    counters: Known<Counter>,
    gauges: Known<Gauge>,
    histograms: Known<Histogram>,
}

/// The handles that have been given out, since the macros ask for one at every record. As bounded as the registry's series.
#[derive(Debug)]
struct Known<T>(RwLock<HashMap<Key, Arc<T>, BuildHasherDefault<Ready>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

/// The hash that a key brings along.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Recorder {
    /// Takes records into `registry`.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry, counters: Known::default(), gauges: Known::default(), histograms: Known::default() }
    }

    /// Becomes the recorder of this process.
    ///
    /// # Errors
    /// There is one already.
    #[expect(clippy::result_large_err, reason = "once in a process, and the recorder is given back as it came")]
    pub fn install(self) -> Result<(), SetRecorderError<Self>> {
        metrics::set_global_recorder(self)
    }

    /// The handle of `key`: that which was given out before, or that of the registry.
    fn handle<T>(&self, known: &Known<T>, kind: Kind, key: &Key, refused: impl FnOnce(Option<Cell>) -> T) -> Arc<T> {
        if let Some(handle) = known.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return handle.clone();
        }
        let name = names::allowed(key.name(), true);
        let mut labels: Vec<(String, &str)> = Vec::new();
        for label in key.labels() {
            let name = names::allowed(label.key(), false);
            labels.retain(|(known, _)| *known != name);
            labels.push((name, label.value()));
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let (cell, keep) =
            self.registry.series(&name, kind, &labels).map_or((None, false), |(cell, own)| (Some(cell), own));
        let handle = Arc::new(refused(cell));
        // What was refused or shares a series of overflow is asked for each time, and counted.
        if keep {
            let mut known = known.0.write().unwrap_or_else(PoisonError::into_inner);
            // Keys that differ only in what is not allowed are one series, so they are bounded apart.
            if known.len() < self.registry.0.config.max_series {
                known.insert(key.to_retained(), handle.clone());
            }
        }
        handle
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        self.registry.describe(&names::allowed(name.as_str(), true), help, unit.map(|unit| unit.as_str()));
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        let store = &self.registry.0.store;
        metrics::Counter::from_arc(self.handle(&self.counters, Kind::Counter, key, |cell| match cell {
            Some(Cell::Counter(counter)) => counter,
            _ => Counter::refused(store),
        }))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        let store = &self.registry.0.store;
        metrics::Gauge::from_arc(self.handle(&self.gauges, Kind::Gauge, key, |cell| match cell {
            Some(Cell::Gauge(gauge)) => gauge,
            _ => Gauge::refused(store),
        }))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let store = &self.registry.0.store;
        metrics::Histogram::from_arc(self.handle(&self.histograms, Kind::Distribution, key, |cell| match cell {
            Some(Cell::Histogram(histogram)) => histogram,
            _ => Histogram::refused(store),
        }))
    }
}

impl CounterFn for Counter {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        Self::absolute(self, value);
    }
}

impl GaugeFn for Gauge {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        Self::set(self, value);
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        Self::record(self, value);
    }

    fn record_many(&self, value: f64, count: usize) {
        Self::record_many(self, value, count as u64);
    }
}
