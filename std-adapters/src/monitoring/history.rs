//! Series over time in SQLite, thinned out as they age.

mod store;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use daur_core::time::{Duration, UnixTime};
use serde::Serialize;

use self::writer::{Work, Writer};
use crate::error::Error;
use crate::sqlite::{Account, Counts, Fault, Faults, PAGE};

/// Longest name of a series, in bytes.
pub const MAX_NAME: usize = 64;
/// Most steps that one query answers with.
pub const MAX_POINTS: usize = 4_096;
/// Bytes that a row takes at most, in a half-filled page.
const ROW: u64 = 112;

/// How finely and how long one tier keeps what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// What is appended within one step becomes one row.
    pub step: Duration,
    /// How much is kept: `keep / step` rows a series, and the one that is under way.
    pub keep: Duration,
}

impl Tier {
    /// A tier of steps that long, kept so long.
    #[must_use]
    pub const fn new(step: Duration, keep: Duration) -> Self {
        Self { step, keep }
    }

    /// Rows of one series.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        match self.keep.as_millis().checked_div(self.step.as_millis()) {
            Some(rows) => rows.saturating_add(1),
            None => 0,
        }
    }
}

/// How finely, how long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the finest to the coarsest: each step a multiple of the one before it, each kept longer.
    pub tiers: [Tier; 4],
    /// Series that are kept at a time.
    pub max_series: u16,
    /// Values that may wait to be written; what comes beyond is lost and counted.
    pub queue: u32,
    /// Longest wait for a lock that another process holds.
    pub busy_timeout: Duration,
}

impl Config {
    /// A second for 10 minutes, 10 seconds for 6 hours, a minute for two days, 10 minutes for four weeks; 64 series.
    pub const DEFAULT: Self = Self {
        tiers: [
            Tier::new(Duration::from_secs(1), Duration::from_secs(600)),
            Tier::new(Duration::from_secs(10), Duration::from_secs(6 * 3_600)),
            Tier::new(Duration::from_secs(60), Duration::from_secs(48 * 3_600)),
            Tier::new(Duration::from_secs(600), Duration::from_secs(28 * 24 * 3_600)),
        ],
        max_series: 64,
        queue: 16_384,
        busy_timeout: Duration::from_millis(250),
    };

    /// Checks the fields, also against each other.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        let mut at = 0;
        while at < self.tiers.len() {
            let tier = &self.tiers[at];
            let step = tier.step.as_millis();
            if step == 0 || tier.step.as_nanos() != step.saturating_mul(1_000_000) || tier.rows() < 2 {
                return Err(Error::Config {
                    field: "tiers",
                    allowed: "steps of whole milliseconds, kept for at least one",
                });
            }
            if at > 0 {
                let finer = &self.tiers[at - 1];
                if step <= finer.step.as_millis() || !step.is_multiple_of(finer.step.as_millis()) {
                    return Err(Error::Config {
                        field: "tiers",
                        allowed: "steps that are multiples of the one before",
                    });
                }
                if tier.keep.as_nanos() <= finer.keep.as_nanos() {
                    return Err(Error::Config { field: "tiers", allowed: "kept longer from tier to tier" });
                }
            }
            if tier.rows() > 1 + (1 << 20) {
                return Err(Error::Config { field: "tiers", allowed: "at most 1048576 steps each" });
            }
            at += 1;
        }
        if self.max_series == 0 || self.max_rows() > 1 << 24 {
            return Err(Error::Config { field: "max_series", allowed: "at least 1, and at most 16777216 rows in all" });
        }
        if self.queue == 0 || self.queue > 1 << 20 {
            return Err(Error::Config { field: "queue", allowed: "from 1 to 1048576" });
        }
        if self.busy_timeout.as_secs() > 60 {
            return Err(Error::Config { field: "busy_timeout", allowed: "at most 60s" });
        }
        Ok(())
    }

    /// Rows that the file holds at most.
    #[must_use]
    pub const fn max_rows(&self) -> u64 {
        let [a, b, c, d] = &self.tiers;
        (a.rows() + b.rows() + c.rows() + d.rows()) * self.max_series as u64
    }

    /// Bytes that the file takes at most; its log adds up to about 4 MiB.
    #[must_use]
    pub const fn max_bytes(&self) -> u64 {
        (self.max_rows() * ROW + (1 << 20)).next_multiple_of(PAGE)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Keeps named figures over time in an SQLite file, finely at first and coarsely later.
///
/// What the charts of a dashboard are drawn from. It survives a restart, and its size is bounded. For the present
/// figures alone use a [`Collector`](daur_core::monitoring::metrics::Collector).
///
/// # Rules
/// 1. Each value goes into every tier. A row of a tier is the number, mean, least and greatest of the values in its
///    step, so a spike is in every tier as long as the tier keeps it.
/// 2. A tier keeps `keep / step + 1` rows of a series. Beyond that the row farthest from the present goes: in the past, or
///    ahead, if the clock was set back. No jump of the clock takes more than one row for each that is added.
/// 3. A step without a value is a gap, never a zero and never a guess.
/// 4. A query is answered from the coarsest tier that is fine enough, or from the finest that reaches back far enough; in at
///    most as many steps as it asks for.
/// 5. Nobody who appends waits or fails. Values that find no room are `lost`; those that are no numbers, whose name is empty or
///    longer than 64 bytes, or for whose series there is no place, are `refused`. `offered` is always the sum of
///    `written`, `waiting`, `lost` and `refused`.
/// 6. A new series takes the place of the one that has gone longest without a value, but never of one that had a value
///    since the file was opened.
/// 7. A damaged file is renamed to `NAME.quarantine-*`, and a deleted one is made anew. While the file is locked or the disk is
///    full, values wait. A database of another program is never touched: [`open`](Self::open) refuses it.
///
/// # Cost
/// One thread. A value is four rows' update. The default config bounds the file at 70.4 MB.
///
/// # Sharing
/// `&self` everywhere; put it into an `Arc`. Dropping it writes what waits.
///
/// # Example
/// ```
/// use daur_std::core::time::UnixTime;
/// use daur_std::monitoring::history::{Config, History};
///
/// # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-history");
/// # let _ = std::fs::remove_dir_all(&folder);
/// # std::fs::create_dir_all(&folder)?;
/// let history = History::open(folder.join("history.db"), Config::DEFAULT)?;
/// let at = UnixTime::from_secs;
/// history.append(at(1_700_000_000), &[("cpu", 120.0), ("rps", 3.5)]);
/// history.append(at(1_700_000_002), &[("cpu", 180.0)]);
///
/// let shown = history.query(&["cpu"], at(1_700_000_000), at(1_700_000_003), 10)?;
/// assert_eq!(shown.step_ms, 1_000);
/// assert_eq!(shown.means()["cpu"], [Some(120.0), None, Some(180.0)]);
/// # drop(history);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// Oetiker: `RRDtool`, round-robin archives.
pub struct History {
    inner: Arc<Inner>,
    queue: Sender<Work>,
    writer: Option<JoinHandle<()>>,
}

/// What callers and the writer share.
struct Inner {
    path: PathBuf,
    config: Config,
    stats: Stats,
    faults: Arc<Faults>,
    names: Mutex<Vec<Arc<str>>>,
}

#[derive(Default)]
struct Stats {
    values: Account,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// What the history has done since it was opened, and how much it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Values appended.
    pub offered: u64,
    /// Values in the file.
    pub written: u64,
    /// Values that wait to be written.
    pub waiting: u64,
    /// Values for which there was no room.
    pub lost: u64,
    /// Values that were no numbers, had no name, or no place for their series.
    pub refused: u64,
    /// Refusals of SQLite or the file system.
    pub faults: u64,
    /// Files put into quarantine.
    pub quarantined: u64,
    /// Times that the file was opened again.
    pub reopened: u64,
    /// Series that are kept.
    pub series: u64,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that it holds at most.
    pub max_rows: u64,
    /// Bytes in use in the file.
    pub bytes: u64,
    /// Bytes that it takes at most.
    pub max_bytes: u64,
    /// Whether the file is open at present.
    pub up: bool,
}

/// What was appended within one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
}

impl Step {
    const fn of(value: f64) -> Self {
        Self { count: 1, mean: value, min: value, max: value }
    }

    /// Both steps as one.
    fn with(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        // By shares and not by sums, which may be beyond what a float holds.
        let share = |step: Self| step.mean * (step.count as f64 / count as f64);
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        Self { count, mean: (share(self) + share(other)).clamp(min, max), min, max }
    }
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// Where the first step begins, in milliseconds since 1970.
    pub from_ms: u64,
    /// Where the last step ends.
    pub to_ms: u64,
    /// Length of a step.
    pub step_ms: u64,
    /// Where each step begins.
    pub t: Vec<u64>,
    /// What was in each step, by name; `None` for a gap. Every name that was asked for is there.
    pub series: BTreeMap<String, Vec<Option<Step>>>,
    /// Whether the file could be read. If not, all are gaps.
    pub complete: bool,
}

impl Series {
    /// The means alone.
    #[must_use]
    pub fn means(&self) -> BTreeMap<String, Vec<Option<f64>>> {
        self.each(|step| step.mean)
    }

    /// One figure of each step.
    #[must_use]
    pub fn each(&self, figure: impl Fn(&Step) -> f64) -> BTreeMap<String, Vec<Option<f64>>> {
        let figures = |steps: &Vec<Option<Step>>| steps.iter().map(|step| step.as_ref().map(&figure)).collect();
        self.series.iter().map(|(name, steps)| (name.clone(), figures(steps))).collect()
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    names: Vec<String>,
    from: u64,
    to: u64,
    points: usize,
}

/// In which steps it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    names: Vec<String>,
    tier: usize,
    /// In milliseconds, a multiple of the tier's step.
    step: u64,
    /// Where the first step begins: a multiple of the tier's step.
    from: u64,
    steps: usize,
}

impl Question {
    fn new(config: &Config, names: &[&str], from: u64, to: u64, points: usize) -> Result<Self, Error> {
        if points == 0 || points > MAX_POINTS {
            return Err(Error::Config { field: "points", allowed: "from 1 to 4096" });
        }
        if from >= to {
            return Err(Error::Config { field: "from", allowed: "before `to`" });
        }
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > usize::from(config.max_series) {
            return Err(Error::Config { field: "names", allowed: "no more than there are series" });
        }
        Ok(Self { names, from, to, points })
    }

    /// How it is answered by a history whose latest append was at `present`.
    fn plan(&self, config: &Config, present: u64) -> Plan {
        let Self { names, from, to, points } = self;
        // Steps begin at multiples of their length, so that charts do not flicker: at both ends of the range
        // one may stand out. Of a single one this cannot be had.
        let wanted = (to - from).div_ceil((*points as u64 - 1).max(1));
        let present = present.max(*to);
        let fine = config.tiers.iter().rposition(|tier| tier.step.as_millis() <= wanted).unwrap_or(0);
        let reaches = |at: &usize| {
            let tier = &config.tiers[*at];
            let slot = |ms: u64| ms / tier.step.as_millis().max(1);
            slot(present).saturating_sub(slot(*from)) < tier.rows()
        };
        let tier = (fine..config.tiers.len()).find(reaches).unwrap_or(config.tiers.len() - 1);
        let unit = config.tiers[tier].step.as_millis().max(1);
        let (step, from) = if *points == 1 {
            let from = from - from % unit;
            ((to - from).div_ceil(unit).saturating_mul(unit), from)
        } else {
            let step = wanted.div_ceil(unit).saturating_mul(unit);
            (step, from - from % step)
        };
        let steps = usize::try_from((to - from).div_ceil(step)).unwrap_or(usize::MAX).min(*points);
        Plan { names: names.clone(), tier, step, from, steps }
    }

    /// The answer of a file that cannot be read.
    fn unanswered(&self, config: &Config) -> Series {
        self.plan(config, 0).unanswered()
    }
}

impl Plan {
    /// The answer with nothing in it.
    fn unanswered(&self) -> Series {
        let step = |at: usize| self.from.saturating_add(self.step.saturating_mul(at as u64));
        Series {
            from_ms: self.from,
            to_ms: step(self.steps),
            step_ms: self.step,
            t: (0..self.steps).map(step).collect(),
            series: self.names.iter().map(|name| (name.clone(), vec![None; self.steps])).collect(),
            complete: false,
        }
    }
}

impl History {
    /// Opens the history in the file `path`, or creates it, and starts its writer.
    ///
    /// A damaged file is put into quarantine and replaced; one that is locked is waited for in the background.
    ///
    /// # Errors
    /// An invalid config, a database of another program, a path where nothing can be created, or no thread for the
    /// writer. After this, nothing fails any more.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let inner = Arc::new(Inner {
            path: path.as_ref().to_path_buf(),
            config,
            stats: Stats::default(),
            faults: Arc::default(),
            names: Mutex::default(),
        });
        let (queue, work) = mpsc::channel();
        let mut writer = Writer::new(Arc::clone(&inner), work);
        match writer.open() {
            Ok(()) | Err((Fault::Busy | Fault::Full, _)) => {}
            Err((_, error)) => return Err(Error::store("opening the history", error)),
        }
        let writer = thread::Builder::new()
            .name("history".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("starting the history's writer", error))?;
        Ok(Self { inner, queue, writer: Some(writer) })
    }

    /// Appends the values that the series had `at` that time.
    ///
    /// Never waits, never fails: what becomes of a value is counted.
    pub fn append<N: AsRef<str>>(&self, at: UnixTime, values: &[(N, f64)]) {
        let stats = &self.inner.stats;
        let mut taken = Vec::with_capacity(values.len());
        for (name, value) in values {
            let name = name.as_ref();
            if value.is_finite() && !name.is_empty() && name.len() <= MAX_NAME {
                taken.push((name.into(), *value));
            }
        }
        let count = taken.len() as u64;
        let limit = u64::from(self.inner.config.queue);
        let waits = stats.values.change(|counts| {
            counts.refused += values.len() as u64 - count;
            counts.take(count, limit)
        });
        if waits && count > 0 && self.queue.send(Work::Append { at: at.as_millis(), values: taken }).is_err() {
            // The writer has panicked.
            stats.values.change(|counts| counts.settle(count, |counts| &mut counts.lost));
        }
    }

    /// What the series were from `from` until `to`, in at most `points` steps. Blocks while the file is read.
    ///
    /// What was appended before is in it.
    ///
    /// # Errors
    /// [`Error::Config`]: `points` is 0 or above [`MAX_POINTS`], `from` is not before `to`, or more names than
    /// series. A file that cannot be read is no error: the answer is not [`complete`](Series::complete).
    pub fn query(&self, names: &[&str], from: UnixTime, to: UnixTime, points: usize) -> Result<Series, Error> {
        let question = self.question(names, from, to, points)?;
        let unanswered = question.unanswered(&self.inner.config);
        let (answer, answered) = mpsc::channel();
        let ask = Work::Query { question, answer: Box::new(move |series| drop(answer.send(series))) };
        // Both fail only if the writer has panicked.
        Ok(self.queue.send(ask).ok().and_then(|()| answered.recv().ok()).unwrap_or(unanswered))
    }

    /// As [`query`](Self::query), without blocking the task. May be dropped.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    #[cfg(feature = "tokio")]
    pub async fn query_async(
        &self,
        names: &[&str],
        from: UnixTime,
        to: UnixTime,
        points: usize,
    ) -> Result<Series, Error> {
        let question = self.question(names, from, to, points)?;
        let unanswered = question.unanswered(&self.inner.config);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let ask = Work::Query { question, answer: Box::new(move |series| drop(answer.send(series))) };
        match self.queue.send(ask) {
            Ok(()) => Ok(answered.await.unwrap_or(unanswered)),
            Err(_) => Ok(unanswered),
        }
    }

    fn question(&self, names: &[&str], from: UnixTime, to: UnixTime, points: usize) -> Result<Question, Error> {
        Question::new(&self.inner.config, names, from.as_millis(), to.as_millis(), points)
    }

    /// The names of the series that are kept, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.inner.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| name.as_ref().to_owned()).collect()
    }

    /// Waits until all that was appended is written, or cannot be at present.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if self.queue.send(Work::Flush { done: Box::new(move || done.send(()).unwrap_or(())) }).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Writes what waits and ends the thread. What could not be written is lost, and counted.
    pub fn close(mut self) -> Snapshot {
        self.stop();
        self.snapshot()
    }

    fn stop(&mut self) {
        let _ = self.queue.send(Work::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Inner { config, stats, faults, .. } = &*self.inner;
        let load = |figure: &AtomicU64| figure.load(Relaxed);
        let values = stats.values.counts();
        let Counts { written, waiting, lost, refused } = values;
        Snapshot {
            offered: values.sum(),
            written,
            waiting,
            lost,
            refused,
            faults: load(&faults.faults),
            quarantined: load(&faults.quarantined),
            reopened: load(&faults.reopened),
            series: self.inner.names.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
            rows: load(&stats.rows),
            max_rows: config.max_rows(),
            bytes: load(&stats.bytes),
            max_bytes: config.max_bytes(),
            up: faults.up.load(Relaxed),
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("path", &self.inner.path)
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
