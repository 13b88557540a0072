//! What the server asks itself: can it do its work, and does it need a restart.
//!
//! # Rules
//! 1. `database`, `data_dir`, `disk` and `audit` say whether requests may come: the database is the file that was
//!    opened and SQLite reads it, the directory can be written to, the disk has room, and what is done can be audited.
//!    A server that is stopping is not ready.
//! 2. An open breaker, of a program or a model, and a cache or a history that is down make it worse, not unready: the
//!    others still run.
//! 3. `heartbeat` says whether a restart is needed: the task that samples everything has not stood still.
//! 4. `start` is over once the first event of this run is in the audit.
//! 5. A probe runs no check, so that a flood of them costs nothing.
//! 6. An audit that could not be written is tried again with each period, so that a server to which nobody sends
//!    anything, since it was not ready, becomes ready again.
//! 7. That the audit fails and that the server stops are facts: one report is enough, whatever `failure_threshold` is.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration as StdDuration;

use daur_core::reliability::health::{AddError, CheckConfig, CheckId, Kind, Outcome, Status};
use daur_core::time::{Clock, Duration, Instant, UnixTime};
use daur_std::clock::StdClock;
use daur_std::reliability::health::{CheckReport, HealthChecker, Report, Verdict};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use crate::app::App;
use crate::config::DataDir;

/// Says how often the checks run, and what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the start of one run of a check to the next. Default 10 s.
    pub period: Duration,
    /// What a check may take. Default 2 s.
    pub timeout: Duration,
    /// Failures in a row that make a check unhealthy; that of liveness needs 3 at least. Default 1.
    pub failure_threshold: u8,
    /// Bytes that must be free where the data lies: below it, the server is not ready. Default 64 MiB.
    pub disk_min: u64,
    /// Bytes below which it says so. Default 512 MiB.
    pub disk_low: u64,
}

impl Config {
    /// Every 10 s for at most 2 s; at least 64 MiB free, 512 MiB better.
    pub const DEFAULT: Self = Self {
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        failure_threshold: 1,
        disk_min: 64 << 20,
        disk_low: 512 << 20,
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.period < PERIOD_MIN {
            return Err(format!("`period` is {}; it must be {PERIOD_MIN} at least", self.period));
        }
        if self.timeout.is_zero() {
            return Err("`timeout` is 0; no check could pass".into());
        }
        if self.failure_threshold == 0 {
            return Err("`failure_threshold` is 0; it must be 1 at least".into());
        }
        if self.disk_low < self.disk_min {
            return Err(format!("`disk_low`, {}, is below `disk_min`, {}", self.disk_low, self.disk_min));
        }
        Ok(())
    }

    const fn check(self, kind: Kind) -> CheckConfig {
        CheckConfig {
            kind,
            success_threshold: 1,
            failure_threshold: self.failure_threshold,
            timeout: self.timeout,
            period: Some(self.period),
            max_age: None,
        }
    }
}

/// More often would be all that the server does: a check goes down to the disk.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// The longest that the heartbeat may be away.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Keeps the server's checks.
pub struct Health {
    /// What runs and judges them.
    pub checker: HealthChecker,
    heartbeat: AtomicU64,
    /// Which files the databases of users and audit are, by device and number.
    databases: [Option<(u64, u64)>; 2],
    told: Mutex<Told>,
    /// The audit was tried, and has not answered in time.
    audit_hangs: AtomicBool,
}

/// Checks that are told of at once, and what was told last.
#[derive(Default)]
struct Told {
    audit: Option<(CheckId, Option<bool>)>,
    serving: Option<(CheckId, Option<bool>)>,
}

impl Health {
    /// No checks yet; see [`Health::register`]. The databases of `dir` are those that have been opened.
    #[must_use]
    pub fn new(dir: &DataDir) -> Self {
        Self {
            checker: HealthChecker::default(),
            heartbeat: AtomicU64::new(now()),
            databases: [dir.database(), dir.audit()].map(|path| identity(&path)),
            told: Mutex::default(),
            audit_hangs: AtomicBool::new(false),
        }
    }

    /// Adds the checks of `app`, whose health this is.
    ///
    /// # Errors
    /// A config that is none.
    pub fn register(app: &Arc<App>) -> Result<(), AddError> {
        let health = &app.health;
        let config = app.config.health;
        let (readiness, liveness) = (config.check(Kind::Readiness), config.check(Kind::Liveness));
        let blocking = |name: &str, config, check: fn(&App) -> Verdict| {
            let app = Arc::downgrade(app);
            health.checker.register_blocking(name, config, move || of(&app, check))
        };
        let quick = |name: &str, config, check: fn(&App) -> Verdict| {
            let app = Arc::downgrade(app);
            health.checker.register_check(name, config, move || std::future::ready(of(&app, check)))
        };
        blocking("database", readiness, database)?;
        blocking("data_dir", readiness, data_dir)?;
        blocking("disk", readiness, disk)?;
        quick("programs", readiness, programs)?;
        quick("cache", readiness, cache)?;
        quick("history", readiness, history)?;
        quick("models", readiness, models)?;
        // A restart is not for a moment's standstill.
        let liveness = CheckConfig { failure_threshold: liveness.failure_threshold.max(3), ..liveness };
        quick("heartbeat", liveness, heartbeat)?;
        let start = Arc::downgrade(app);
        health.checker.register_check("start", config.check(Kind::Startup), move || started(start.clone()))?;
        let mut told = health.told.lock().unwrap_or_else(PoisonError::into_inner);
        let fact = CheckConfig { failure_threshold: 1, ..readiness };
        // Nobody's run, whose beginning may be older than what is told meanwhile.
        told.audit = Some((health.checker.register_reported("audit", fact)?, None));
        told.serving = Some((health.checker.register_reported("serving", fact)?, None));
        drop(told);
        Ok(())
    }

    /// The task that samples everything is alive.
    pub fn beat(&self) {
        self.heartbeat.store(now(), Ordering::Relaxed);
    }

    /// Runs the checks, and tries the audit again if it could not be written.
    pub async fn look(&self, app: &App) {
        let tried = tokio::time::timeout(app.config.health.timeout.into(), app.audit.ready());
        let (_, tried) = tokio::join!(self.checker.run_checks(), tried);
        self.audit_hangs.store(tried.is_err(), Ordering::Relaxed);
        self.refresh(app);
    }

    /// Tells of what is known without a run, if it has changed.
    pub fn refresh(&self, app: &App) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |check: &mut Option<(CheckId, Option<bool>)>, is_well: bool, why: &str| {
            if let Some((id, last)) = check
                && *last != Some(is_well)
            {
                *last = Some(is_well);
                self.checker.report(*id, if is_well { Verdict::pass() } else { Verdict::fail(why) });
            }
        };
        let Told { audit, serving } = &mut *told;
        let is_written = !app.audit.snapshot().broken && !self.audit_hangs.load(Ordering::Relaxed);
        tell(audit, is_written, NO_AUDIT);
        tell(serving, !*app.stop.borrow(), "it is stopping");
    }

    /// What is known now.
    #[must_use]
    pub fn report(&self, app: &App) -> Report {
        self.refresh(app);
        self.checker.snapshot()
    }
}

fn now() -> u64 {
    StdClock.now().as_nanos()
}

/// Asks the app, if it is still there.
fn of(app: &Weak<App>, check: fn(&App) -> Verdict) -> Verdict {
    app.upgrade().map_or_else(Verdict::pass, |app| check(&app))
}

const NO_AUDIT: &str = "the audit log cannot be written";

/// Asks the disk, not what a connection has in its memory: that one would not see that the file is gone.
fn database(app: &App) -> Verdict {
    let path = app.dir.database();
    let named = [(&path, "the database"), (&app.dir.audit(), "the audit's database")];
    for ((path, name), opened) in named.into_iter().zip(app.health.databases) {
        match identity(path) {
            None => return Verdict::fail(format!("{name} is not there any more")),
            found if found != opened => {
                return Verdict::fail(format!("{name} is another file than at the start"));
            }
            Some(_) => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let asked = Connection::open_with_flags(path, flags).and_then(|disk| {
        disk.busy_timeout(app.config.health.timeout.into())?;
        disk.query_row("SELECT count(*) FROM users", [], |_| Ok(()))
    });
    match asked {
        Ok(()) => Verdict::pass(),
        Err(error) => Verdict::fail(format!("the user database cannot be read: {error}")),
    }
}

/// Which file a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn data_dir(app: &App) -> Verdict {
    if !app.dir.work().is_dir() {
        return Verdict::fail("the directory that programs run in is not there any more");
    }
    write_probe(app.dir.path()).map_err(|error| format!("the data directory cannot be written to: {error}")).into()
}

/// Writes a byte where everything is kept, down to the disk.
fn write_probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(".probe");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(b"1")?;
    file.sync_data()?;
    fs::remove_file(&path)
}

fn disk(app: &App) -> Verdict {
    let config = app.config.health;
    let free = match rustix::fs::statvfs(app.dir.path()) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => return Verdict::fail(format!("the disk cannot be asked: {error}")),
    };
    judge_free(free, &config)
}

fn judge_free(free: u64, config: &Config) -> Verdict {
    let text = |least: u64| format!("{} are free, {} should be", amount(free), amount(least));
    if free < config.disk_min {
        Verdict::fail(text(config.disk_min))
    } else if free < config.disk_low {
        Verdict::degraded(text(config.disk_low))
    } else {
        Verdict::pass()
    }
}

/// Bytes in the largest unit of which there are ten at least.
fn amount(bytes: u64) -> String {
    match bytes {
        n if n >= 10 << 30 => format!("{} GiB", n >> 30),
        n if n >= 10 << 20 => format!("{} MiB", n >> 20),
        n if n >= 10 << 10 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

fn programs(app: &App) -> Verdict {
    let open: Vec<String> = app
        .commands
        .programs()
        .into_iter()
        .filter(|program| matches!(program.state, "open" | "forced_open"))
        .map(|program| program.name)
        .collect();
    if open.is_empty() { Verdict::pass() } else { Verdict::degraded(format!("open breakers: {}", open.join(", "))) }
}

fn cache(app: &App) -> Verdict {
    if app.results.snapshot().file.counters.up { Verdict::pass() } else { Verdict::degraded("results are not kept") }
}

fn history(app: &App) -> Verdict {
    if app.history.snapshot().up { Verdict::pass() } else { Verdict::degraded("figures are not kept") }
}

fn models(app: &App) -> Verdict {
    let all = app.models.snapshot().upstreams;
    let open: Vec<&str> =
        all.iter().filter(|up| matches!(up.state, "open" | "forced_open")).map(|up| up.name.as_str()).collect();
    if open.is_empty() { Verdict::pass() } else { Verdict::degraded(format!("open breakers: {}", open.join(", "))) }
}

fn heartbeat(app: &App) -> Verdict {
    let away = StdClock.now() - Instant::from_nanos(app.health.heartbeat.load(Ordering::Relaxed));
    let allowed = HEARTBEAT.max(app.config.sample_every.times(10));
    if away <= allowed { Verdict::pass() } else { Verdict::fail(format!("nothing was sampled for {away}")) }
}

/// Waits for the first event; the checker's timeout ends it.
async fn started(app: Weak<App>) -> Verdict {
    while let Some(app) = app.upgrade() {
        if app.audit.snapshot().written > 0 {
            break;
        }
        drop(app);
        tokio::time::sleep(StdDuration::from_millis(2)).await;
    }
    Verdict::pass()
}

/// A check as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it speaks for.
    pub kind: &'static str,
    /// How it is judged.
    pub status: &'static str,
    /// How its last run ended.
    pub outcome: Option<&'static str>,
    /// Why.
    pub reason: Option<String>,
    /// How long its last run took.
    pub took_us: u64,
    /// When that ended, in milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Runs.
    pub runs: u32,
    /// Those that failed.
    pub failed: u32,
}

impl From<CheckReport> for Shown {
    fn from(check: CheckReport) -> Self {
        Self {
            name: check.name,
            kind: kind_name(check.kind),
            status: status_name(check.status),
            outcome: check.outcome.map(outcome_name),
            reason: check.reason,
            took_us: check.took.as_micros(),
            at_ms: check.at_unix.map(UnixTime::as_millis),
            runs: check.runs,
            failed: check.failed,
        }
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Liveness => "liveness",
        Kind::Readiness => "readiness",
        Kind::Startup => "startup",
    }
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Healthy => "healthy",
        Status::Degraded => "degraded",
        Status::Unknown => "unknown",
        Status::Unhealthy => "unhealthy",
    }
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Degraded => "degraded",
        Outcome::Panicked => "panicked",
        Outcome::TimedOut => "timed_out",
        Outcome::Stale => "stale",
        _ => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fills_is_degraded_first_and_then_fails() {
        let config = Config { disk_min: 1 << 20, disk_low: 2 << 20, ..Config::DEFAULT };
        assert_eq!(judge_free(2 << 20, &config), Verdict::pass());
        assert_eq!(judge_free((2 << 20) - 1, &config).outcome, Outcome::Degraded);
        assert_eq!(judge_free(1 << 20, &config).outcome, Outcome::Degraded);
        let full = judge_free((1 << 20) - 1, &config);
        assert_eq!(
            (full.outcome, full.reason.as_deref()),
            (Outcome::Fail, Some("1023 KiB are free, 1024 KiB should be"))
        );
    }

    #[test]
    fn checks_that_would_never_rest_or_never_pass_are_refused() {
        assert_eq!(Config::DEFAULT.validate(), Ok(()));
        let wrong = |config: Config| config.validate().unwrap_err();
        assert!(wrong(Config { period: Duration::from_nanos(1), ..Config::DEFAULT }).contains("`period` is 1ns"));
        assert!(wrong(Config { timeout: Duration::ZERO, ..Config::DEFAULT }).contains("`timeout`"));
        assert!(wrong(Config { failure_threshold: 0, ..Config::DEFAULT }).contains("`failure_threshold`"));
        assert!(wrong(Config { disk_low: 1, ..Config::DEFAULT }).contains("`disk_low`, 1, is below"));
    }

    #[test]
    fn a_directory_that_is_not_there_cannot_be_written_to() {
        assert!(write_probe(Path::new("/not/there")).is_err());
    }
}
