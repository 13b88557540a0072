//! Everything at one moment, and its exports.

mod charts;
mod csv;
mod file;
mod html;
#[cfg(feature = "sqlite")]
mod kept;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use daur_core::monitoring::report::{Report, Verdict};
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use serde::Serialize;
use serde_json::Value;

pub use self::charts::{Chart, Charts, Recent};
pub use self::file::replace;
use crate::clock::{StdClock, SystemWallClock};
use crate::error::Error;

/// Sources at a time.
pub const MAX_SOURCES: usize = 1_024;
/// Series at a time.
pub const MAX_SERIES: usize = 64;

/// Says what a dashboard is called, and how often it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program's name, on top of its reports.
    pub title: String,
    /// The program's version.
    pub version: String,
    /// From one collection to the next.
    pub interval: Duration,
    /// How far back the charts of a report reach.
    pub charts: Duration,
}

impl Config {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.interval.as_millis() < 100 || self.interval.as_secs() > 86_400 {
            return Err(Error::Config { field: "interval", allowed: "from 100ms to a day" });
        }
        if self.charts.as_nanos() < self.interval.as_nanos() {
            return Err(Error::Config { field: "charts", allowed: "at least the interval" });
        }
        Ok(())
    }
}

impl Default for Config {
    /// This crate's name and version, every 5 seconds, charts of an hour.
    fn default() -> Self {
        Self {
            title: "Daur".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            interval: Duration::from_secs(5),
            charts: Duration::from_secs(3_600),
        }
    }
}

/// Names a format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The whole of the [`FullStatus`].
    Json,
    /// One line for each figure and text, by RFC 4180: section, name, field, value.
    Csv,
    /// Each figure as a gauge, as Prometheus reads it.
    Prometheus,
    /// A page that needs nothing else, with charts.
    Html,
}

impl Format {
    /// The `Content-Type` of what is written.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Prometheus => super::prometheus::Format::Prometheus.content_type(),
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// How the names of such files end.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Prometheus => "prom",
            Self::Html => "html",
        }
    }
}

/// What a program knows of itself at one moment (the seed's `full_status`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FullStatus {
    /// The program's name.
    pub title: String,
    /// The program's version.
    pub version: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Time since the dashboard was made.
    pub uptime_ms: u64,
    /// How grave it is.
    pub verdict: Verdict,
    /// What is wrong, the gravest first.
    pub concerns: Vec<Concern>,
    /// The same in numbers: what all machines told, added up.
    pub report: Report,
    /// The snapshot of every machine, by section and name.
    pub sections: BTreeMap<String, BTreeMap<String, Value>>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// How grave it is.
    pub verdict: Verdict,
    /// Of which section.
    pub section: String,
    /// Of which machine.
    pub name: String,
    /// What it is, in words.
    pub what: String,
}

/// What one source shows: its snapshot, the report with what it adds, and what went wrong with it.
type Show = dyn Fn() -> (Value, Box<dyn Fn(Report) -> Report>, Option<String>) + Send + Sync;
type Read = dyn Fn() -> Option<f64> + Send + Sync;

/// Shows every machine of a program as one value, exports it, and collects series for charts (the seed's
/// `MonitoringDashboard`).
///
/// Machines are registered by section and name, as closures that take a snapshot: "metrics", "system", "errors", "profiles", "breakers",
/// "caches", "queues", "scheduler", "health", "audit", "devices", or whatever a program has.
///
/// # Rules
/// 1. A [`full_status`](Self::full_status) holds the snapshot of every source. One that panics or cannot be serialised is `null`, and a
///    concern; the others are there.
/// 2. The verdict is that of the gravest concern. What counts as one is for [`Report`] to say.
/// 3. Registering a name again replaces what was there.
/// 4. Every text in an export is escaped: for HTML, for CSV also where a spreadsheet would take it for a formula.
/// 5. An export is a whole file or none: it is written beside its place, synchronised and renamed.
/// 6. From [`start`](Self::start) to [`stop`](Self::stop) every watched series is read each interval. Starting twice is starting once;
///    dropping stops.
///
/// # Cost
/// A status takes every snapshot and one allocation for each of its fields. A collection calls each watched series once.
///
/// # Sharing
/// `&self` everywhere; put it into an `Arc`. No lock is held while a source is asked.
///
/// # Example
/// ```
/// use daur_std::core::monitoring::report::Verdict;
/// use daur_std::core::reliability::breaker::{self, Breaker};
/// use daur_std::core::shared::Shared;
/// use daur_std::monitoring::dashboard::{Config, Dashboard, Format};
/// use daur_std::shared::StdShared;
///
/// static UPSTREAM: StdShared<Breaker> = StdShared::new(Breaker::new(breaker::Config::DEFAULT));
///
/// let dashboard = Dashboard::new(Config::default())?;
/// let snapshot = || UPSTREAM.with(|breaker, _| breaker.snapshot());
/// dashboard.register_judged("breakers", "upstream", snapshot, |breaker, report| report.breaker(breaker))?;
/// assert_eq!(dashboard.full_status().verdict, Verdict::Green);
///
/// UPSTREAM.with(|breaker, now| breaker.force_open(now));
/// let status = dashboard.full_status();
/// assert_eq!((status.verdict, status.concerns[0].name.as_str()), (Verdict::Amber, "upstream"));
/// assert_eq!(status.sections["breakers"]["upstream"]["state"], "ForcedOpen");
/// assert!(dashboard.render(Format::Html).contains("a breaker is forced open"));
/// # Ok::<(), daur_std::error::Error>(())
/// ```
#[doc(alias = "MonitoringDashboard")]
pub struct Dashboard {
    inner: Arc<Inner>,
    task: Mutex<Option<Task>>,
}

struct Inner {
    config: Config,
    began: Instant,
    charts: Arc<dyn Charts>,
    sources: Mutex<BTreeMap<(String, String), Arc<Show>>>,
    series: Mutex<BTreeMap<String, Arc<Read>>>,
    collections: AtomicU64,
    panics: AtomicU64,
}

struct Task {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Dashboard {
    /// A dashboard that keeps the last 720 values of each series in memory, not started.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::with_charts(config, Arc::new(Recent::default()))
    }

    /// A dashboard that keeps its series in `charts`, such as a `History`, not started.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_charts(config: Config, charts: Arc<dyn Charts>) -> Result<Self, Error> {
        config.validate()?;
        let inner = Inner {
            config,
            began: StdClock.now(),
            charts,
            sources: Mutex::default(),
            series: Mutex::default(),
            collections: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner), task: Mutex::default() })
    }

    /// Shows what `snapshot` gives, as `name` in `section`.
    ///
    /// # Errors
    /// [`Error::Config`]: there are [`MAX_SOURCES`] already.
    pub fn register<T: Serialize + 'static>(
        &self,
        section: &str,
        name: &str,
        snapshot: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<(), Error> {
        self.register_judged(section, name, snapshot, |_, report| report)
    }

    /// Shows what `snapshot` gives, and adds it to the report, which judges it.
    ///
    /// # Errors
    /// [`Error::Config`]: there are [`MAX_SOURCES`] already.
    pub fn register_judged<T: Serialize + 'static>(
        &self,
        section: &str,
        name: &str,
        snapshot: impl Fn() -> T + Send + Sync + 'static,
        judge: impl Fn(&T, Report) -> Report + Send + Sync + Clone + 'static,
    ) -> Result<(), Error> {
        let show = move || {
            let shown = snapshot();
            let (value, fault) = match serde_json::to_value(&shown) {
                Ok(value) => (value, None),
                Err(error) => (Value::Null, Some(format!("cannot be shown: {error}"))),
            };
            let judge = judge.clone();
            let add: Box<dyn Fn(Report) -> Report> = Box::new(move |report| judge(&shown, report));
            (value, add, fault)
        };
        let mut sources = held(&self.inner.sources);
        let key = (section.to_owned(), name.to_owned());
        if sources.len() >= MAX_SOURCES && !sources.contains_key(&key) {
            return Err(Error::Config { field: "sources", allowed: "at most 1024" });
        }
        sources.insert(key, Arc::new(show));
        Ok(())
    }

    /// No longer shows `name` in `section`; says whether it did.
    pub fn unregister(&self, section: &str, name: &str) -> bool {
        held(&self.inner.sources).remove(&(section.to_owned(), name.to_owned())).is_some()
    }

    /// Collects what `read` gives as the series `name`; `None` is a gap.
    ///
    /// # Errors
    /// [`Error::Config`]: there are [`MAX_SERIES`] already.
    pub fn watch(&self, name: &str, read: impl Fn() -> Option<f64> + Send + Sync + 'static) -> Result<(), Error> {
        let mut series = held(&self.inner.series);
        if series.len() >= MAX_SERIES && !series.contains_key(name) {
            return Err(Error::Config { field: "series", allowed: "at most 64" });
        }
        series.insert(name.to_owned(), Arc::new(read));
        Ok(())
    }

    /// Everything at this moment.
    #[must_use]
    pub fn full_status(&self) -> FullStatus {
        self.inner.status(present())
    }

    /// Reads every watched series as of that time. What [`start`](Self::start) does each interval.
    pub fn collect(&self, at: UnixTime) {
        self.inner.collect(at);
    }

    /// Begins to collect, in a thread of its own. Says whether it had not begun before.
    ///
    /// # Errors
    /// [`Error::Io`]: no thread to be had.
    pub fn start(&self) -> Result<bool, Error> {
        let mut task = held(&self.task);
        if task.as_ref().is_some_and(|task| !task.thread.is_finished()) {
            return Ok(false);
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let inner = Arc::clone(&self.inner);
        let interval = self.inner.config.interval.into();
        let thread = thread::Builder::new()
            .name("dashboard".into())
            .spawn(move || {
                loop {
                    inner.collect(present());
                    if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })
            .map_err(|error| Error::io("starting the dashboard's thread", error))?;
        *task = Some(Task { stop, thread });
        Ok(true)
    }

    /// Ends collecting; a collection under way is waited for. Says whether it was collecting.
    pub fn stop(&self) -> bool {
        let Some(Task { stop, thread }) = held(&self.task).take() else { return false };
        drop(stop);
        // A source that stops the dashboard would wait for itself.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
        true
    }

    /// Whether it is collecting.
    #[must_use]
    pub fn is_running(&self) -> bool {
        held(&self.task).as_ref().is_some_and(|task| !task.thread.is_finished())
    }

    /// How often it has collected.
    #[must_use]
    pub fn collections(&self) -> u64 {
        self.inner.collections.load(Relaxed)
    }

    /// How often a source or a series has panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Relaxed)
    }

    /// Everything at this moment, in that format.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let now = present();
        let charts = if format == Format::Html { self.inner.charts(now) } else { Vec::new() };
        self.inner.status(now).render(format, &charts)
    }

    /// Writes everything at this moment to the file `path`, in that format: the whole of it, or nothing.
    ///
    /// # Errors
    /// [`Error::Io`] says what could not be done.
    pub fn export(&self, format: Format, path: impl AsRef<Path>) -> Result<(), Error> {
        replace(path.as_ref(), self.render(format).as_bytes())
    }
}

impl Inner {
    fn status(&self, now: UnixTime) -> FullStatus {
        let mut status = FullStatus {
            title: self.config.title.clone(),
            version: self.config.version.clone(),
            at_ms: now.as_millis(),
            uptime_ms: StdClock.now().since(self.began).as_millis(),
            ..FullStatus::default()
        };
        let mut report = Report::new(StdClock.now().since(self.began));
        // Copied, so that a source may register another.
        let sources: Vec<_> = held(&self.sources).iter().map(|(key, show)| (key.clone(), Arc::clone(show))).collect();
        for ((section, name), show) in sources {
            let shown = quiet(|| {
                let (value, add, fault) = show();
                (value, add(Report::default()), add(report), fault)
            });
            let (value, alone, fault) = match shown {
                Some((value, alone, together, fault)) => {
                    report = together;
                    (value, alone, fault)
                }
                None => {
                    self.panics.fetch_add(1, Relaxed);
                    (Value::Null, Report::default(), Some("its snapshot panicked".to_owned()))
                }
            };
            let concern = |verdict, what| Concern { verdict, section: section.clone(), name: name.clone(), what };
            status.concerns.extend(alone.concerns().map(|wrong| concern(wrong.verdict(), wrong.to_string())));
            status.concerns.extend(fault.map(|what| concern(Verdict::Amber, what)));
            status.sections.entry(section).or_default().insert(name, value);
        }
        // Stable: within a verdict in the order of sections and names.
        status.concerns.sort_by_key(|concern| std::cmp::Reverse(concern.verdict));
        status.verdict = status.concerns.first().map_or(Verdict::Green, |concern| concern.verdict);
        status.report = report;
        status
    }

    fn collect(&self, at: UnixTime) {
        let series: Vec<_> = held(&self.series).iter().map(|(name, read)| (name.clone(), Arc::clone(read))).collect();
        let mut values = Vec::with_capacity(series.len());
        for (name, read) in series {
            match quiet(|| read()) {
                Some(value) => values.extend(value.filter(|value| value.is_finite()).map(|value| (name, value))),
                None => {
                    self.panics.fetch_add(1, Relaxed);
                }
            }
        }
        self.charts.append(at, &values);
        self.collections.fetch_add(1, Relaxed);
    }

    fn charts(&self, now: UnixTime) -> Vec<Chart> {
        let names: Vec<String> = held(&self.series).keys().cloned().collect();
        let from = now.as_millis().saturating_sub(self.config.charts.as_millis());
        self.charts.charts(
            &names,
            UnixTime::from_millis(from),
            UnixTime::from_millis(now.as_millis().saturating_add(1)),
        )
    }
}

impl FullStatus {
    /// The status in that format. `charts` are for HTML alone.
    #[must_use]
    pub fn render(&self, format: Format, charts: &[Chart]) -> String {
        match format {
            // Texts, numbers and maps with texts as keys: nothing of it can fail.
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default(),
            Format::Csv => csv::render(self),
            Format::Prometheus => text::prometheus(self),
            Format::Html => html::render(self, charts),
        }
    }
}

/// What `work` gives, unless it panics.
fn quiet<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(payload) => {
            // What was thrown may panic as it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

/// A panic elsewhere does not make the figures false.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host that does not know the time yet is in 1970.
fn present() -> UnixTime {
    SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0))
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("config", &self.inner.config)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

static GLOBAL: OnceLock<Dashboard> = OnceLock::new();

/// The one of this process (the seed's `get_monitoring_dashboard`).
///
/// Made at its first use with [`Config::default`], unless [`init`] was before.
///
/// # Panics
/// Never: the default config is valid.
#[doc(alias = "get_monitoring_dashboard")]
pub fn monitoring_dashboard() -> &'static Dashboard {
    GLOBAL.get_or_init(|| Dashboard::new(Config::default()).expect("the default config is valid"))
}

/// Makes `dashboard` that of [`monitoring_dashboard`].
///
/// # Errors
/// Gives it back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(dashboard: Dashboard) -> Result<(), Dashboard> {
    GLOBAL.set(dashboard)
}
