//! What the server counts about itself: requests, their times, errors, and the last five minutes.

mod operations;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use daur_core::monitoring::histogram::{Auto, Quantile};
use daur_core::monitoring::profiler::{self, Outcome, Profiler};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::monitoring::errors::{self, ErrorTracker};
use daur_std::monitoring::metrics::{Histogram, Registry};
use daur_std::shared::StdShared;
use serde::Serialize;

use crate::problem::Shown;

pub use operations::{ROUTES, allowed, operation};

/// Points of history, one a sample.
pub const HISTORY: usize = 300;
/// Samples that the shown percentiles look back on: a minute, at a sample a second.
const WINDOW: usize = 60;
/// Operations measured by name: the routes, and what is none.
const OPERATIONS: usize = ROUTES.len() + 3;

/// The histogram of how long requests took, by operation.
pub const DURATION: &str = "daur_http_request_duration_seconds";

type Operations = Profiler<OPERATIONS, 8>;

/// Counts what the server does.
pub struct Monitor {
    operations: StdShared<Operations>,
    errors: ErrorTracker,
    /// Whether the errors come from the log too.
    hears_log: bool,
    answers: Mutex<BTreeMap<(&'static str, u16), Answered>>,
    total: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    streams: AtomicU64,
    recent: Mutex<Recent>,
    /// What goes to Prometheus beside all this: how long requests took, with native buckets.
    pub metrics: Registry,
    /// Since when is counted.
    pub since: Option<UnixTime>,
}

/// Answers of one operation and status.
struct Answered {
    count: u64,
    /// How long those of the operation took.
    took: Histogram,
}

struct Recent {
    /// Latencies in microseconds: of the present sample, and of the samples before it.
    now: Auto<160>,
    before: VecDeque<Auto<160>>,
    points: VecDeque<Point>,
    sampled: Option<(Instant, u64)>,
    per_second: f64,
    latency: Latency,
}

/// One point of history. Names are short, since 300 of them travel.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Point {
    /// When, in milliseconds since 1970.
    pub t: u64,
    /// CPU in use, in thousandths of all cores.
    pub cpu: Option<u32>,
    /// Memory in use, in bytes.
    pub memory: Option<u64>,
    /// Requests a second.
    pub rps: f64,
    /// Latency percentiles of the last minute, in microseconds.
    pub p50: Option<u64>,
    /// As above.
    pub p95: Option<u64>,
    /// As above.
    pub p99: Option<u64>,
    /// Look-ups of the result cache that hit, in thousandths.
    pub hit: Option<u64>,
}

/// Latencies of the last minute.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// What they look back on.
    pub window_s: u64,
    /// Requests in it.
    pub count: u64,
    /// Half of them took at most this.
    pub p50_us: Option<u64>,
    /// 95 of 100 took at most this.
    pub p95_us: Option<u64>,
    /// 99 of 100 took at most this.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// Requests in numbers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// In the last sample.
    pub per_second: f64,
    /// Answered with 4xx.
    pub refused: u64,
    /// Answered with 5xx.
    pub failed: u64,
    /// Event streams open now.
    pub streams: u64,
}

impl Monitor {
    /// Nothing counted. What fails goes to `errors`; without one that hears what is logged, to one of its own.
    ///
    /// # Errors
    /// None but those of a tracker's own.
    pub fn new(errors: Option<ErrorTracker>) -> Result<Self, errors::ConfigError> {
        let hears_log = errors.is_some();
        let errors = errors.map_or_else(|| ErrorTracker::try_new(errors::Config::DEFAULT), Ok)?;
        Ok(Self {
            operations: StdShared::new(Profiler::new()),
            errors,
            hears_log,
            answers: Mutex::default(),
            total: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            recent: Mutex::new(Recent {
                now: Auto::new(),
                before: VecDeque::with_capacity(WINDOW),
                points: VecDeque::with_capacity(HISTORY),
                sampled: None,
                per_second: 0.0,
                latency: Latency::default(),
            }),
            metrics: Registry::new(),
            since: SystemWallClock.unix_now(),
        })
    }

    /// Measures a request until [`Measured::answered`], or counts it as abandoned.
    pub fn measure(&self, operation: &'static str) -> Measured<'_> {
        Measured {
            monitor: self,
            guard: Some(profiler::time(&self.operations, operation)),
            operation,
            began: StdClock.now(),
        }
    }

    /// Records what a client was told, if it is an error of the server that is not recorded yet.
    pub fn told(&self, shown: &Shown) {
        if shown.code.status().is_server_error() && !(shown.logged && self.hears_log) {
            self.errors.record_text(shown.code.as_str(), &shown.detail);
        }
    }

    /// Counts an event stream until the answer is dropped.
    pub fn stream(self: &std::sync::Arc<Self>) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Stream(std::sync::Arc::clone(self))
    }

    /// Event streams open now.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Closes a sample: what came in since the last one becomes a point of history. `point` brings
    /// what others know.
    pub fn sample(&self, point: Point) -> Point {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = &mut *recent;
        let (now, total) = (StdClock.now(), self.total.load(Ordering::Relaxed));
        if let Some((then, before)) = recent.sampled {
            let seconds = now.since(then).as_nanos() as f64 / 1e9;
            recent.per_second = if seconds > 0.0 { (total - before) as f64 / seconds } else { 0.0 };
        }
        recent.sampled = Some((now, total));
        if recent.before.len() == WINDOW {
            recent.before.pop_front();
        }
        recent.before.push_back(std::mem::replace(&mut recent.now, Auto::new()));
        let mut window: Auto<160> = Auto::new();
        for part in &recent.before {
            window.merge(part);
        }
        recent.latency = Latency {
            window_s: recent.before.len() as u64,
            count: window.count(),
            p50_us: window.quantile(Quantile::P50),
            p95_us: window.quantile(Quantile::P95),
            p99_us: window.quantile(Quantile::P99),
            max_us: window.max(),
        };
        let point = Point {
            rps: (recent.per_second * 100.0).round() / 100.0,
            p50: recent.latency.p50_us,
            p95: recent.latency.p95_us,
            p99: recent.latency.p99_us,
            ..point
        };
        if recent.points.len() == HISTORY {
            recent.points.pop_front();
        }
        recent.points.push_back(point);
        point
    }

    /// Takes points of before this start, the oldest first.
    pub fn recall(&self, points: impl Iterator<Item = Point>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.points = points.chain(recent.points.drain(..)).collect();
        let surplus = recent.points.len().saturating_sub(HISTORY);
        recent.points.drain(..surplus);
    }

    /// The points of history, the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Point> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).points.iter().copied().collect()
    }

    /// Latencies of the last minute.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).latency
    }

    /// Requests in numbers.
    #[must_use]
    pub fn requests(&self) -> Requests {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let per_second = self.recent.lock().unwrap_or_else(PoisonError::into_inner).per_second;
        Requests {
            total: load(&self.total),
            per_second: (per_second * 100.0).round() / 100.0,
            refused: load(&self.refused),
            failed: load(&self.failed),
            streams: load(&self.streams),
        }
    }

    /// Every operation, by its name.
    #[must_use]
    pub fn operations(&self) -> Vec<profiler::Snapshot> {
        self.operations.with(|operations, _| operations.snapshots().collect())
    }

    /// Answers by operation and status.
    #[must_use]
    pub fn answers(&self) -> Vec<((&'static str, u16), u64)> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(key, answered)| (*key, answered.count))
            .collect()
    }

    /// What failed.
    #[must_use]
    pub const fn errors(&self) -> &ErrorTracker {
        &self.errors
    }
}

/// A request under way.
pub struct Measured<'a> {
    monitor: &'a Monitor,
    guard: Option<profiler::Guard<&'a StdShared<Operations>>>,
    operation: &'static str,
    began: Instant,
}

impl Measured<'_> {
    /// The request was answered with `status`.
    pub fn answered(mut self, status: StatusCode) {
        let monitor = self.monitor;
        if let Some(guard) = self.guard.take() {
            guard.finish(if status.is_server_error() { Outcome::Error } else { Outcome::Success });
        }
        monitor.total.fetch_add(1, Ordering::Relaxed);
        if status.is_client_error() {
            monitor.refused.fetch_add(1, Ordering::Relaxed);
        } else if status.is_server_error() {
            monitor.failed.fetch_add(1, Ordering::Relaxed);
        }
        let took = StdClock.now().since(self.began);
        {
            // Both keys come from fixed lists, so the table is bounded.
            let mut answers = monitor.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let answered = answers.entry((self.operation, status.as_u16())).or_insert_with(|| Answered {
                count: 0,
                took: monitor.metrics.histogram_of(DURATION, &[("operation", self.operation)]),
            });
            answered.count += 1;
            answered.took.record_duration(took.into());
        }
        monitor.recent.lock().unwrap_or_else(PoisonError::into_inner).now.record(took.as_micros());
    }
}

/// Counts one open stream.
pub struct Stream(std::sync::Arc<Monitor>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A length of time in whole microseconds, as JSON shows it.
#[must_use]
pub const fn micros(nanos: u64) -> u64 {
    Duration::from_nanos(nanos).as_micros()
}
