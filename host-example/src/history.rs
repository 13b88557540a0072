//! What the figures were: kept in a file, so that a restart keeps the charts.
//!
//! # Rules
//! 1. Each sample goes into the series of [`NAMES`] and one for each breaker, `breaker:NAME`: 0 for closed, 1 for
//!    half-open, 2 for open.
//! 2. A file that is at fault fails no request: what is lost is counted, and shown.
//! 3. What is not known is a gap, never a zero.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::monitoring::history::{self, History as File, Series, Snapshot, Tier};
use serde::Serialize;

use crate::app::App;
use crate::breakers::MODEL;
use crate::monitor::{HISTORY, Monitor, Point};
use crate::problem::{Code, Problem};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The series that there always are: `cpu` and `hit` in thousandths, `memory` in bytes, `p50` to `p99` in microseconds,
/// `rps`, `errors`, `failed`, `net_rx` and `net_tx` a second, the others as they are.
pub const NAMES: [&str; 13] = [
    "cpu",
    "memory",
    "rps",
    "p50",
    "p95",
    "p99",
    "hit",
    "errors",
    "failed",
    "streams",
    "pool_queued",
    "net_rx",
    "net_tx",
];

/// What the names of breakers' series begin with.
const BREAKER: &str = "breaker:";

/// Says how finely, how long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the finest to the coarsest. Default: a second for 10 minutes, 10 s for 6 hours, a minute for two days, 10
    /// minutes for four weeks.
    pub tiers: [Tier; 4],
    /// Series that are kept at a time; more, if the server has more. Default 64.
    pub series: u16,
}

impl Config {
    /// Four weeks of 64 series.
    pub const DEFAULT: Self =
        Self { tiers: history::Config::DEFAULT.tiers, series: history::Config::DEFAULT.max_series };

    const fn machine(self) -> history::Config {
        history::Config { tiers: self.tiers, max_series: self.series, ..history::Config::DEFAULT }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        self.machine().validate().map_err(|error| error.to_string().replace("max_series", "series"))
    }
}

/// Keeps the figures.
pub struct History {
    file: File,
    last: Mutex<Option<Totals>>,
}

/// What only grows, as it was at some moment.
#[derive(Clone, Copy)]
struct Totals {
    at: Instant,
    errors: u64,
    failed: u64,
}

impl Totals {
    fn of(app: &App) -> Self {
        Self { at: StdClock.now(), errors: app.monitor.errors().total(), failed: app.monitor.requests().failed }
    }
}

/// What the figures were.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    from_ms: u64,
    to_ms: u64,
    step_ms: u64,
    /// Whether the file could be read; if not, all are gaps.
    complete: bool,
    /// Where each step begins.
    t: Vec<u64>,
    series: BTreeMap<String, Vec<Option<f64>>>,
}

impl Shown {
    /// Where each step begins, and the series.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u64>, BTreeMap<String, Vec<Option<f64>>>) {
        (self.t, self.series)
    }
}

impl From<Series> for Shown {
    fn from(found: Series) -> Self {
        let show = |(name, steps): (String, Vec<Option<history::Step>>)| {
            // Half of the time open is open, not half-open.
            let is_state = name.starts_with(BREAKER);
            let figure = |step: history::Step| if is_state { step.max } else { (step.mean * 100.0).round() / 100.0 };
            (name, steps.into_iter().map(|step| step.map(figure)).collect())
        };
        Self {
            from_ms: found.from_ms,
            to_ms: found.to_ms,
            step_ms: found.step_ms,
            complete: found.complete,
            t: found.t,
            series: found.series.into_iter().map(show).collect(),
        }
    }
}

/// All figures of the file at `path`, which belongs to the caller alone. Blocks.
///
/// # Errors
/// Those of [`History::open`]; a span that is none.
pub fn figures_of(path: &Path, config: Config, from: u64, to: u64, points: usize) -> Result<Shown, Error> {
    let file = File::open(path, config.machine())?;
    let names = file.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = file.query(&names, UnixTime::from_millis(from), UnixTime::from_millis(to), points)?;
    Ok(found.into())
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which series.
    pub names: Vec<String>,
    /// From when on, in milliseconds since 1970.
    pub from: u64,
    /// Until when.
    pub to: u64,
    /// In how many steps at most.
    pub points: usize,
}

impl History {
    /// Opens the file at `path`, for a server with so many breakers.
    ///
    /// # Errors
    /// An invalid config; somebody else's database, or a path where none can be.
    pub fn open(path: &Path, config: Config, breakers: usize) -> Result<Self, Error> {
        let needed = u16::try_from(NAMES.len() + breakers).unwrap_or(u16::MAX);
        let config = Config { series: config.series.max(needed), ..config };
        Ok(Self { file: File::open(path, config.machine())?, last: Mutex::default() })
    }

    /// Adds a sample.
    pub fn append(&self, app: &App, point: &Point) {
        let Some(at) = SystemWallClock.unix_now() else { return };
        let totals = Totals::of(app);
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(totals);
        let seconds =
            before.map(|before| totals.at.since(before.at).as_nanos() as f64 / 1e9).filter(|took| *took > 0.0);
        let rate = |of: fn(&Totals) -> u64| Some((of(&totals) - before.as_ref().map(of)?) as f64 / seconds?);
        let whole = |value: u64| value as f64;
        let machine = app.system.current().map(|sample| sample.figures()).unwrap_or_default();
        let values = [
            ("cpu", point.cpu.map(f64::from)),
            ("memory", point.memory.map(whole)),
            ("rps", Some(point.rps)),
            ("p50", point.p50.map(whole)),
            ("p95", point.p95.map(whole)),
            ("p99", point.p99.map(whole)),
            ("hit", point.hit.map(whole)),
            ("errors", rate(|totals| totals.errors)),
            ("failed", rate(|totals| totals.failed)),
            ("streams", Some(whole(app.monitor.streams()))),
            ("pool_queued", Some(whole(app.pool.snapshot().queued))),
            ("net_rx", machine.received_per_second.map(whole)),
            ("net_tx", machine.sent_per_second.map(whole)),
        ];
        let known = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let breakers = breakers(app).into_iter().map(|(name, state)| (format!("{BREAKER}{name}"), level(state)));
        self.file.append(at, &known.chain(breakers).collect::<Vec<_>>());
    }

    /// What the figures were.
    ///
    /// # Errors
    /// `bad_request` for a series that there is not, and for what cannot be shown.
    pub async fn query(&self, app: &App, asked: &Asked) -> Result<Shown, Problem> {
        let bad = |said: String| Problem::new(Code::BadRequest, said);
        let breakers: Vec<String> = breakers(app).into_iter().map(|(name, _)| format!("{BREAKER}{name}")).collect();
        let is_known = |name: &String| NAMES.contains(&name.as_str()) || breakers.contains(name);
        if let Some(unknown) = asked.names.iter().position(|name| !is_known(name)) {
            let all = [NAMES.join(", "), breakers.join(", ")].join(", ");
            return Err(bad(format!("The series number {} is not one of: {all}.", unknown + 1)));
        }
        let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
        let (from, to) = (UnixTime::from_millis(asked.from), UnixTime::from_millis(asked.to));
        let found = self.file.query_async(&names, from, to, asked.points).await.map_err(|error| match error {
            daur_std::error::Error::Config { field, allowed } => bad(format!("`{field}` must be: {allowed}.")),
            error => Problem::internal("the history cannot be asked", &error),
        })?;
        Ok(found.into())
    }

    /// Gives the monitor the last minutes before this start. Blocks.
    pub fn recall(&self, monitor: &Monitor, every: Duration) {
        let Some(now) = SystemWallClock.unix_now() else { return };
        let from = UnixTime::from_millis(now.as_millis().saturating_sub(every.times(HISTORY as u64).as_millis()));
        let names = ["cpu", "memory", "rps", "p50", "p95", "p99", "hit"];
        let Ok(found) = self.file.query(&names, from, now, HISTORY + 1) else { return };
        let means = found.means();
        let figure = |name: &str, place: usize| means.get(name)?.get(place).copied().flatten();
        let whole = |name: &str, place: usize| figure(name, place).map(|value| value.max(0.0).round() as u64);
        let points = found.t.iter().enumerate().filter_map(|(place, t)| {
            Some(Point {
                t: *t,
                cpu: whole("cpu", place).and_then(|cpu| u32::try_from(cpu).ok()),
                memory: whole("memory", place),
                rps: figure("rps", place)?,
                p50: whole("p50", place),
                p95: whole("p95", place),
                p99: whole("p99", place),
                hit: whole("hit", place),
            })
        });
        monitor.recall(points);
    }

    /// Waits until what was appended is in the file, or cannot be at present.
    pub fn flush(&self) {
        self.file.flush();
    }

    /// What is kept and what was lost.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.file.snapshot()
    }
}

/// Every breaker's name and state.
fn breakers(app: &App) -> Vec<(String, &'static str)> {
    let programs = app.commands.programs().into_iter().map(|program| (program.name, program.state));
    let models = app.models.snapshot().upstreams;
    programs.chain(models.into_iter().map(|model| (format!("{MODEL}{}", model.name), model.state))).collect()
}

fn level(state: &str) -> f64 {
    match state {
        "half_open" => 1.0,
        "open" | "forced_open" => 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(Config::DEFAULT.validate(), Ok(()));
        assert!(Config { series: 0, ..Config::DEFAULT }.validate().unwrap_err().contains("`series`"));
        let mut tiers = Config::DEFAULT.tiers;
        tiers.swap(0, 1);
        assert!(Config { tiers, ..Config::DEFAULT }.validate().unwrap_err().contains("`tiers`"));
    }
}
