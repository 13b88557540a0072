//! What people do with a program: events kept in SQLite, counted, and told in a report.

mod store;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use daur_core::services::analytics::{USER, hash};
use daur_core::time::{Duration, UnixTime, WallClock};
use serde::Serialize;

use self::writer::{Work, Writer};
use crate::clock::SystemWallClock;
use crate::error::Error;
use crate::sqlite::{Account, Counts, Fault, Faults};

/// Longest name of an event or a metric, and longest key of a property, in bytes; what is longer is cut.
pub const MAX_NAME: usize = 64;
/// Longest value of a property, in bytes; what is longer is cut.
pub const MAX_VALUE: usize = 128;
/// Properties of an event; what is beyond is left out.
pub const MAX_PROPERTIES: usize = 8;
/// Events that are counted by name, and metrics that are kept.
pub const MAX_NAMES: usize = 256;
/// Funnels at a time.
pub const MAX_FUNNELS: usize = 16;
/// The name under which events beyond the [`MAX_NAMES`] first are counted together.
pub const OTHER: &str = "(other)";

/// How many events are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Events that are kept; the oldest go first.
    pub rows: u32,
    /// How long an event is kept.
    pub max_age: Duration,
    /// Largest size of the file; the oldest events go first. Its log adds up to about 4 MiB.
    pub max_bytes: u64,
    /// Events that may wait to be written; what comes beyond is lost and counted.
    pub queue: u32,
    /// The windows of a report, from its time back.
    pub windows: [Duration; 3],
    /// Longest wait for a lock that another process holds.
    pub busy_timeout: Duration,
}

impl Config {
    /// 100,000 events for 90 days in 64 MiB; windows of an hour, a day and a week.
    pub const DEFAULT: Self = Self {
        rows: 100_000,
        max_age: Duration::from_secs(90 * 24 * 3_600),
        max_bytes: 64 << 20,
        queue: 8_192,
        windows: [Duration::from_secs(3_600), Duration::from_secs(24 * 3_600), Duration::from_secs(7 * 24 * 3_600)],
        busy_timeout: Duration::from_millis(250),
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.rows == 0 {
            return Err(Error::Config { field: "rows", allowed: "at least 1" });
        }
        if self.max_age.as_millis() == 0 {
            return Err(Error::Config { field: "max_age", allowed: "at least 1ms" });
        }
        if self.max_bytes < 1 << 20 || self.max_bytes > 1 << 40 {
            return Err(Error::Config { field: "max_bytes", allowed: "from 1 MiB to 1 TiB" });
        }
        if self.queue == 0 || self.queue > 1 << 20 {
            return Err(Error::Config { field: "queue", allowed: "from 1 to 1048576" });
        }
        if self.windows[0].as_millis() == 0 || self.windows[1].as_millis() == 0 || self.windows[2].as_millis() == 0 {
            return Err(Error::Config { field: "windows", allowed: "at least 1ms each" });
        }
        if self.busy_timeout.as_secs() > 60 {
            return Err(Error::Config { field: "busy_timeout", allowed: "at most 60s" });
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Counts events with their properties and users, keeps them in an SQLite file, and reports (the seed's
/// `AnalyticsCollector`).
///
/// For what people do: which commands, which pages, by how many, and who goes on from one to the other. For what the program
/// does, keep metrics; for what must not be lost, an audit trail.
///
/// # Rules
/// 1. Nobody who tracks waits or fails. `tracked` is always the sum of `written`, `waiting`, `lost` and `refused`; an event without a
///    name is refused.
/// 2. The latest `rows` events are kept, those not older than `max_age`, and no more than `max_bytes` hold. With each event that is
///    written at most 16 go for their age, so that a clock that is wrong for a moment costs little.
/// 3. The counts by name, and the statistics of the metrics, outlive the events and the process. The first 256 names are counted by
///    name, all others as [`OTHER`].
/// 4. The property `user` counts users, in a report for each event and window by a sketch of 1,024 registers (3.3 % standard error). Its value
///    is kept as 64 bits of a hash: enough to count, though whoever guesses a name can check the guess.
/// 5. Dropping it writes what waits. While the file is locked or the disk is full, events wait; a damaged file is renamed to
///    `NAME.quarantine-*`, and the counts go on; a database of another program is never touched.
/// 6. A value of a metric that is no number is refused, as is one of a metric beyond the 256th.
///
/// # Cost
/// One thread, which leaves events lie for 20 ms, so that one in many wakes it. An event costs its caller an allocation for
/// each text; one that is like the one before, to the millisecond, costs none, and no row. A report reads all events that are
/// kept, on that thread.
///
/// # Sharing
/// `&self` everywhere; put it into an `Arc`.
///
/// # Example
/// ```
/// use daur_std::core::time::{Duration, UnixTime};
/// use daur_std::services::analytics::{Analytics, Config};
///
/// let analytics = Analytics::in_memory(Config::DEFAULT)?;
/// analytics.add_funnel("open", "buy", Duration::from_secs(600))?;
/// let at = UnixTime::from_secs;
/// analytics.track_event_at("open", &[("user", "alice"), ("page", "/shop")], at(1_700_000_000));
/// analytics.track_event_at("open", &[("user", "bob"), ("page", "/shop")], at(1_700_000_001));
/// analytics.track_event_at("buy", &[("user", "bob")], at(1_700_000_060));
/// analytics.track_metric("basket", 3.0);
///
/// let report = analytics.report_at(at(1_700_000_100));
/// assert_eq!((report.events[0].name.as_str(), report.events[0].total, report.users), ("open", 2, 2));
/// assert_eq!((report.properties[0].value.as_str(), report.properties[0].count), ("/shop", 2));
/// assert_eq!((report.funnels[0].entered, report.funnels[0].converted), (2, 1));
/// assert_eq!(analytics.metric_stats("basket").unwrap().mean, 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "AnalyticsCollector")]
pub struct Analytics {
    inner: Arc<Inner>,
    queue: Sender<Work>,
    writer: Option<JoinHandle<()>>,
}

/// What callers and the writer share.
struct Inner {
    /// `None`: in memory.
    path: Option<PathBuf>,
    config: Config,
    stats: Stats,
    faults: Arc<Faults>,
    book: Mutex<Book>,
    /// What has been tracked since the writer has looked.
    fresh: Mutex<Vec<Event>>,
    /// Whether the writer is not to wait for more events.
    hurry: AtomicBool,
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> MutexGuard<'_, Vec<Event>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Stats {
    events: Account,
    cut: AtomicU64,
    metrics_refused: AtomicU64,
    kept: AtomicU64,
    bytes: AtomicU64,
}

/// What is known without reading the file.
#[derive(Default)]
struct Book {
    /// As committed.
    totals: BTreeMap<String, Total>,
    metrics: BTreeMap<String, Metric>,
    /// Metrics that the file does not have as they are.
    changed: BTreeSet<String>,
    funnels: Vec<Way>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

/// Where a funnel begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    first: String,
    second: String,
    within: Duration,
}

/// One event as it is written, or several in a row that are alike.
#[derive(Clone, Debug)]
struct Event {
    times: u64,
    at: u64,
    name: String,
    user: Option<u64>,
    properties: Vec<(String, String)>,
}

/// How many events these are.
fn times(events: &[Event]) -> u64 {
    events.iter().map(|event| event.times).sum()
}

/// What is known of a metric's values, which are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The latest.
    pub last: f64,
    /// The sum of the squares of their distances to the mean.
    #[serde(skip)]
    moment: f64,
    /// When the first came, in milliseconds since 1970.
    pub first_ms: u64,
    /// When the latest came.
    pub last_ms: u64,
}

impl Metric {
    const fn new(value: f64, at: u64) -> Self {
        Self { count: 1, mean: value, min: value, max: value, last: value, moment: 0.0, first_ms: at, last_ms: at }
    }

    /// Welford's step.
    fn record(&mut self, value: f64, at: u64) {
        self.count = self.count.saturating_add(1);
        let distance = value - self.mean;
        // Halved on the way, where the distance is more than a float holds.
        let mean = if distance.is_finite() {
            self.mean + distance / self.count as f64
        } else {
            self.mean + 2.0 * ((value / 2.0 - self.mean / 2.0) / self.count as f64)
        };
        let moment = self.moment + distance * (value - mean);
        self.moment = if moment.is_finite() { moment } else { f64::MAX };
        (self.min, self.max, self.last) = (self.min.min(value), self.max.max(value), value);
        self.mean = mean.clamp(self.min, self.max);
        self.last_ms = at;
    }

    /// These values and those of `later`.
    fn with(self, later: Self) -> Self {
        let count = self.count.saturating_add(later.count);
        let (mine, theirs) = (self.count as f64 / count as f64, later.count as f64 / count as f64);
        let distance = later.mean - self.mean;
        let moment = self.moment + later.moment + distance * distance * mine * later.count as f64;
        let (min, max) = (self.min.min(later.min), self.max.max(later.max));
        Self {
            count,
            mean: (self.mean * mine + later.mean * theirs).clamp(min, max),
            min,
            max,
            last: later.last,
            moment: if moment.is_finite() { moment } else { f64::MAX },
            first_ms: self.first_ms.min(later.first_ms),
            last_ms: later.last_ms,
        }
    }

    /// The sample standard deviation; `None` of fewer than two values.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.moment / (self.count as f64 - 1.0)).max(0.0).sqrt())
    }
}

/// What the analytics have done since they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Events tracked.
    pub tracked: u64,
    /// Events written.
    pub written: u64,
    /// Events that wait to be written.
    pub waiting: u64,
    /// Events for which there was no room.
    pub lost: u64,
    /// Events without a name.
    pub refused: u64,
    /// Texts that were cut, and properties that were left out.
    pub cut: u64,
    /// Values of metrics that were no numbers, had no name, or no place.
    pub metrics_refused: u64,
    /// Refusals of SQLite or the file system.
    pub faults: u64,
    /// Files put into quarantine.
    pub quarantined: u64,
    /// Times that the file was opened again.
    pub reopened: u64,
    /// Events that are kept.
    pub kept: u64,
    /// Bytes in use in the file.
    pub bytes: u64,
    /// Whether the file is open at present.
    pub up: bool,
}

/// What was found out at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long the windows are that figures come in, in milliseconds.
    pub windows_ms: Vec<u64>,
    /// Events ever counted.
    pub total: u64,
    /// Events that are kept, which all below but the totals is made of.
    pub kept: u64,
    /// Events in each window.
    pub in_windows: Vec<u64>,
    /// Different users, about.
    pub users: u64,
    /// Different users in each window, about.
    pub users_in_windows: Vec<u64>,
    /// By name, the most frequent first.
    pub events: Vec<EventReport>,
    /// The most frequent properties, the most frequent first.
    pub properties: Vec<PropertyReport>,
    /// In the order in which they were added.
    pub funnels: Vec<FunnelReport>,
    /// By name.
    pub metrics: Vec<MetricReport>,
    /// Whether the file could be read. If not, there are the totals and metrics alone.
    pub complete: bool,
}

/// How often an event has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// Its name.
    pub name: String,
    /// How often in all.
    pub total: u64,
    /// When first, in milliseconds since 1970.
    pub first_ms: u64,
    /// When last.
    pub last_ms: u64,
    /// How often in each window.
    pub in_windows: Vec<u64>,
    /// Different users among the events that are kept, about.
    pub users: u64,
}

/// How often a property came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PropertyReport {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How often, among the events that are kept.
    pub count: u64,
}

/// How many came from one event to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunnelReport {
    /// What users enter with.
    pub first: String,
    /// What they convert with.
    pub second: String,
    /// Within which time, in milliseconds.
    pub within_ms: u64,
    /// Times that somebody entered, among the events that are kept.
    pub entered: u64,
    /// Of these, converted.
    pub converted: u64,
    /// Did not in time.
    pub expired: u64,
    /// Were under way when too many others were.
    pub forgotten: u64,
    /// Are under way.
    pub waiting: u64,
}

/// What is known of a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricReport {
    /// Its name.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub metric: Metric,
    /// The sample standard deviation, of two values or more.
    pub deviation: Option<f64>,
}

/// As much of `text` as fits, cut at a character's border; whether it was cut.
fn cut(text: &str, max: usize) -> (&str, bool) {
    let fits = text.floor_char_boundary(max);
    (&text[..fits], fits < text.len())
}

impl Analytics {
    /// Opens the analytics in the file `path`, or creates it, and starts their writer. One process at a time.
    ///
    /// # Errors
    /// An invalid config, a database of another program, a path where nothing can be created, or no thread for the
    /// writer. After this, nothing fails any more.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        Self::start(Some(path.as_ref().to_path_buf()), config)
    }

    /// Analytics that end with the process.
    ///
    /// # Errors
    /// An invalid config, or no thread for the writer.
    pub fn in_memory(config: Config) -> Result<Self, Error> {
        Self::start(None, config)
    }

    fn start(path: Option<PathBuf>, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let inner = Arc::new(Inner {
            path,
            config,
            stats: Stats::default(),
            faults: Arc::default(),
            book: Mutex::default(),
            fresh: Mutex::default(),
            hurry: AtomicBool::new(false),
        });
        let (queue, work) = mpsc::channel();
        let mut writer = Writer::new(Arc::clone(&inner), work);
        match writer.open() {
            Ok(()) | Err((Fault::Busy | Fault::Full, _)) => {}
            Err((_, error)) => return Err(Error::store("opening the analytics", error)),
        }
        let writer = thread::Builder::new()
            .name("analytics".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("starting the analytics' writer", error))?;
        Ok(Self { inner, queue, writer: Some(writer) })
    }

    /// Counts the event `name` with its properties, now.
    pub fn track_event(&self, name: &str, properties: &[(&str, &str)]) {
        self.track_event_at(name, properties, present());
    }

    /// Counts the event `name` with its properties, at that time.
    pub fn track_event_at(&self, name: &str, properties: &[(&str, &str)], at: UnixTime) {
        let stats = &self.inner.stats;
        if name.is_empty() {
            stats.events.change(|counts| counts.refused += 1);
            return;
        }
        let limit = u64::from(self.inner.config.queue);
        let (fits, waiting) = stats.events.change(|counts| (counts.take(1, limit), counts.waiting));
        if !fits {
            return;
        }
        let at = at.as_millis();
        let user = properties.iter().find(|(key, _)| *key == USER).map(|(_, user)| hash(user.as_bytes()));
        let others = || properties.iter().filter(|(key, _)| *key != USER);
        let (name, name_cut) = cut(name, MAX_NAME);
        let fitted = || others().take(MAX_PROPERTIES).map(|(key, value)| (cut(key, MAX_NAME), cut(value, MAX_VALUE)));
        let cuts = u64::from(name_cut)
            + fitted().map(|((_, key), (_, value))| u64::from(key) + u64::from(value)).sum::<u64>()
            + others().skip(MAX_PROPERTIES).count() as u64;
        if cuts > 0 {
            stats.cut.fetch_add(cuts, Relaxed);
        }
        let first = {
            let mut fresh = self.inner.fresh();
            let first = fresh.is_empty();
            let same = |last: &&mut Event| {
                let kept = last.properties.iter().map(|(key, value)| (&**key, &**value));
                (last.at, last.user, &*last.name) == (at, user, name)
                    && kept.eq(fitted().map(|((key, _), (value, _))| (key, value)))
            };
            if let Some(last) = fresh.last_mut().filter(same) {
                last.times += 1;
            } else {
                let properties = fitted().map(|((key, _), (value, _))| (key.to_owned(), value.to_owned())).collect();
                fresh.push(Event { times: 1, at, name: name.to_owned(), user, properties });
            }
            first
        };
        if first && self.queue.send(Work::Look).is_err() {
            // The writer has panicked.
            let left = times(&std::mem::take(&mut *self.inner.fresh()));
            stats.events.change(|counts| counts.settle(left, |counts| &mut counts.lost));
        }
        if waiting >= limit.div_ceil(2) {
            self.hurry();
        }
    }

    /// Has the writer look at what there is now.
    fn hurry(&self) {
        if !self.inner.hurry.swap(true, AcqRel)
            && let Some(writer) = &self.writer
        {
            writer.thread().unpark();
        }
    }

    /// Asks the writer for what somebody waits for; says whether it is there.
    fn ask(&self, work: Work) -> bool {
        let asked = self.queue.send(work).is_ok();
        self.hurry();
        asked
    }

    /// Adds `value` to the statistics of the metric `name`.
    pub fn track_metric(&self, name: &str, value: f64) {
        let at = present().as_millis();
        let (name, was_cut) = cut(name, MAX_NAME);
        self.inner.stats.cut.fetch_add(was_cut.into(), Relaxed);
        let mut book = self.inner.book();
        let full = book.metrics.len() >= MAX_NAMES;
        match book.metrics.get_mut(name) {
            Some(metric) if value.is_finite() => metric.record(value, at),
            None if value.is_finite() && !full && !name.is_empty() => {
                book.metrics.insert(name.to_owned(), Metric::new(value, at));
            }
            _ => {
                self.inner.stats.metrics_refused.fetch_add(1, Relaxed);
                return;
            }
        }
        book.changed.insert(name.to_owned());
    }

    /// What is known of the metric `name`.
    #[must_use]
    pub fn metric_stats(&self, name: &str) -> Option<Metric> {
        self.inner.book().metrics.get(cut(name, MAX_NAME).0).copied()
    }

    /// Has reports tell how many users come from the event `first` to `second` within that time.
    ///
    /// # Errors
    /// [`Error::Config`]: the time is zero, a name is empty, or there are [`MAX_FUNNELS`] already.
    pub fn add_funnel(&self, first: &str, second: &str, within: Duration) -> Result<(), Error> {
        if within.is_zero() {
            return Err(Error::Config { field: "within", allowed: "more than no time" });
        }
        let [first, second] = [first, second].map(|name| cut(name, MAX_NAME).0.to_owned());
        let way = Way { first, second, within };
        if way.first.is_empty() || way.second.is_empty() || way.first == way.second {
            return Err(Error::Config {
                field: "second",
                allowed: "another event than the first, and both have names",
            });
        }
        let mut book = self.inner.book();
        if book.funnels.contains(&way) {
            return Ok(());
        }
        if book.funnels.len() >= MAX_FUNNELS {
            return Err(Error::Config { field: "funnels", allowed: "at most 16" });
        }
        book.funnels.push(way);
        Ok(())
    }

    /// The report of this moment. Blocks while the events are read.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_at(present())
    }

    /// The report of another moment: its windows end there.
    #[must_use]
    pub fn report_at(&self, now: UnixTime) -> Report {
        let (answer, answered) = mpsc::channel();
        let answer = Box::new(move |report| drop(answer.send(report)));
        let asked = self.ask(Work::Report { now: now.as_millis(), answer });
        // Both fail only if the writer has panicked.
        asked.then(|| answered.recv().ok()).flatten().unwrap_or_default()
    }

    /// How often each event has happened, the most frequent first: what is known without reading the file.
    #[must_use]
    pub fn totals(&self) -> Vec<(String, u64)> {
        let book = self.inner.book();
        let mut totals: Vec<_> = book.totals.iter().map(|(name, total)| (name.clone(), total.count)).collect();
        totals.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        totals
    }

    /// Waits until all that was tracked is written, or cannot be at present.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if self.ask(Work::Flush { done: Box::new(move || done.send(()).unwrap_or(())) }) {
            let _ = wait.recv();
        }
    }

    /// Writes what waits and ends the thread. What could not be written is lost, and counted.
    pub fn close(mut self) -> Snapshot {
        self.stop();
        self.snapshot()
    }

    fn stop(&mut self) {
        self.ask(Work::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Inner { stats, faults, .. } = &*self.inner;
        let load = |figure: &AtomicU64| figure.load(Relaxed);
        let events = stats.events.counts();
        let Counts { written, waiting, lost, refused } = events;
        Snapshot {
            tracked: events.sum(),
            written,
            waiting,
            lost,
            refused,
            cut: load(&stats.cut),
            metrics_refused: load(&stats.metrics_refused),
            faults: load(&faults.faults),
            quarantined: load(&faults.quarantined),
            reopened: load(&faults.reopened),
            kept: load(&stats.kept),
            bytes: load(&stats.bytes),
            up: faults.up.load(Relaxed),
        }
    }
}

/// A host that does not know the time yet counts in 1970.
fn present() -> UnixTime {
    SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0))
}

impl Drop for Analytics {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Analytics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Analytics")
            .field("path", &self.inner.path)
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

static GLOBAL: OnceLock<Analytics> = OnceLock::new();

/// The one of this process (the seed's `get_analytics_collector`).
///
/// Made at its first use, in memory, unless [`init`] was before.
///
/// # Panics
/// At its first use, if there is no thread for the writer.
///
/// # Example
/// ```
/// use daur_std::services::analytics::analytics_collector;
///
/// analytics_collector().track_event("started", &[("version", "0.1.0")]);
/// assert_eq!(analytics_collector().report().events[0].name, "started");
/// ```
#[doc(alias = "get_analytics_collector")]
pub fn analytics_collector() -> &'static Analytics {
    GLOBAL.get_or_init(|| Analytics::in_memory(Config::DEFAULT).expect("the defaults are valid, and there is a thread"))
}

/// Makes `analytics` those of [`analytics_collector`].
///
/// # Errors
/// Gives them back if there are some already: by an earlier `init`, or because somebody has used the default.
pub fn init(analytics: Analytics) -> Result<(), Analytics> {
    GLOBAL.set(analytics)
}
