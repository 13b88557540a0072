//! Everything at one moment: what `/api/status` answers and the dashboard shows.

mod attention;
mod machine;
mod standing;

use daur_core::time::{Clock, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::link::DeviceStatus;
use daur_std::monitoring::errors::Recorded;
use daur_std::monitoring::history;
use daur_std::performance::batch;
use daur_std::services::notify;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::audit;
use crate::command::{BudgetStatus, Places, ProgramStatus};
use crate::gate::Limits;
use crate::monitor::{Latency, Point, Requests, micros};
use crate::{events, fallback, health, jobs, logs, memory, model, pool, results, usage};

pub use machine::{Disk, System};
pub use standing::{Passing, Standing, topic_level};

pub(crate) use standing::standings;

/// Holds the state of every machine of the server.
#[derive(Debug, Serialize)]
pub struct FullStatus {
    /// Our version.
    pub version: &'static str,
    /// The machine's name.
    pub host: String,
    /// When, in milliseconds since 1970.
    pub now_ms: u64,
    /// Since the server's start.
    pub uptime_ms: u64,
    /// Whether it lives and is ready.
    pub health: Health,
    /// What is wrong, the worst first.
    pub attention: Vec<Attention>,
    /// Whether it only shows.
    pub read_only: bool,
    /// What became of the log's lines; `None` if there is no log.
    pub logs: Option<logs::Snapshot>,
    /// What people do, in short.
    pub analytics: usage::Snapshot,
    /// What is kept for the charts.
    pub history: history::Snapshot,
    /// What it does by itself, again and again.
    pub jobs: Vec<jobs::Shown>,
    /// The machine.
    pub system: Option<System>,
    /// Requests in numbers.
    pub requests: Requests,
    /// Latencies of the last minute.
    pub latency: Latency,
    /// Latencies of every operation since the start.
    pub operations: Vec<Operation>,
    /// The results.
    pub cache: results::Snapshot,
    /// What waits for the disk.
    pub pool: pool::Snapshot,
    /// What happened, by name.
    pub events: events::Snapshot,
    /// What has changed, and who was told.
    pub notifications: notify::Snapshot,
    /// How short memory is.
    pub memory: memory::Snapshot,
    /// The models.
    pub models: model::Snapshot,
    /// The programs' breakers.
    pub breakers: Vec<ProgramStatus>,
    /// Commands that run now.
    pub running: u32,
    /// Places to run and to wait in.
    pub bulkhead: Places,
    /// What is left for retries; `None` if they are not limited.
    pub budget: Option<BudgetStatus>,
    /// Earlier outputs that were given instead.
    pub fallbacks: fallback::Snapshot,
    /// What failed.
    pub errors: Errors,
    /// Logins and the audit.
    pub security: Security,
    /// The devices.
    pub devices: Vec<DeviceStatus>,
    /// The latest point of history.
    pub point: Point,
}

/// Whether the server lives and is ready.
#[derive(Debug, Serialize)]
pub struct Health {
    /// It needs no restart.
    pub live: bool,
    /// It can do its work.
    pub ready: bool,
    /// Its start is over.
    pub started: bool,
    /// Why it is not all of this.
    pub failing: Vec<String>,
    /// Every check.
    pub checks: Vec<health::Shown>,
}

impl Health {
    fn of(app: &App) -> Self {
        let report = app.health.report(app);
        let (live, ready, started) = (report.live, report.ready, report.started);
        let checks: Vec<_> = report.checks.into_iter().map(health::Shown::from).collect();
        let why = |check: &health::Shown| match &check.reason {
            Some(reason) => format!("{} ({reason})", check.name),
            None => check.name.clone(),
        };
        let failing = checks.iter().filter(|check| matches!(check.status, "unhealthy" | "unknown")).map(why).collect();
        Self { live, ready, started, failing, checks }
    }
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// `red` for what does not work, `amber` for what may soon not.
    pub level: &'static str,
    /// What.
    pub text: String,
}

/// One operation since the start.
#[derive(Debug, Serialize)]
pub struct Operation {
    name: &'static str,
    count: u64,
    in_flight: u32,
    errors: u64,
    abandoned: u64,
    mean_us: Option<u64>,
    p50_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// What failed.
#[derive(Debug, Serialize)]
pub struct Errors {
    /// How often, since the start.
    pub total: u64,
    /// How often, in the last minute.
    pub last_minute: u64,
    panics: u64,
    top: Vec<serde_json::Value>,
    recent: Vec<serde_json::Value>,
}

/// Logins and the audit.
#[derive(Debug, Serialize)]
pub struct Security {
    locked_users: u32,
    locked_names: u32,
    locks: u64,
    refused_logins: u64,
    limited_users: Limits,
    limited_addresses: Limits,
    /// The audit's chain.
    pub audit: audit::Snapshot,
    batches: batch::Snapshot,
}

/// Everything at this moment.
#[must_use]
pub fn full(app: &App) -> FullStatus {
    full_with(app, app.monitor.history().last().copied().unwrap_or_default())
}

/// As [`full`], with what the sampler knows.
#[must_use]
pub fn full_with(app: &App, point: Point) -> FullStatus {
    let (known, unknown) = app.gate.lockouts();
    let (by_user, by_address) = app.gate.limits();
    let mut status = FullStatus {
        version: env!("CARGO_PKG_VERSION"),
        host: app.host.clone(),
        now_ms: SystemWallClock.unix_now().map_or(0, UnixTime::as_millis),
        uptime_ms: StdClock.now().since(app.started).as_millis(),
        health: Health::of(app),
        attention: Vec::new(),
        read_only: app.config.read_only,
        logs: app.logs.snapshot(),
        analytics: app.usage.snapshot(),
        history: app.history.snapshot(),
        jobs: app.jobs.snapshot(),
        system: app.system.current().map(|sample| System::of(&sample)),
        requests: app.monitor.requests(),
        latency: app.monitor.latency(),
        operations: operations(app),
        cache: app.results.snapshot(),
        pool: app.pool.snapshot(),
        events: events(app),
        notifications: app.notifications.snapshot(),
        memory: app.memory.snapshot(),
        models: app.models.snapshot(),
        breakers: app.commands.programs(),
        running: app.commands.bulkhead().running,
        bulkhead: app.commands.bulkhead(),
        budget: app.commands.budget(),
        fallbacks: app.commands.fallbacks(),
        errors: errors(app),
        security: Security {
            locked_users: known.locked,
            locked_names: unknown.locked,
            locks: known.locks + unknown.locks,
            refused_logins: known.refused + unknown.refused,
            limited_users: by_user,
            limited_addresses: by_address,
            audit: app.audit.snapshot(),
            batches: app.audit.batches(),
        },
        devices: app.registry.snapshot(),
        point,
    };
    status.attention = attention::attention(&status);
    status
}

/// The present point, without what the monitor adds.
#[must_use]
pub fn point(app: &App) -> Point {
    let sample = app.system.current();
    Point {
        t: SystemWallClock.unix_now().map_or(0, UnixTime::as_millis),
        cpu: sample.as_ref().and_then(|sample| sample.cpu_permille),
        memory: sample.as_ref().and_then(|sample| sample.memory).map(|memory| memory.used),
        hit: app.results.snapshot().hit_permille,
        ..Point::default()
    }
}

fn operations(app: &App) -> Vec<Operation> {
    let mut all: Vec<Operation> = app
        .monitor
        .operations()
        .into_iter()
        .filter(|op| op.time.count + op.abandoned + u64::from(op.in_flight) > 0)
        .map(|op| Operation {
            name: op.op,
            count: op.time.count,
            in_flight: op.in_flight,
            errors: op.errors,
            abandoned: op.abandoned,
            mean_us: op.time.mean().map(micros),
            p50_us: op.time.p50.map(micros),
            p95_us: op.time.p95.map(micros),
            p99_us: op.time.p99.map(micros),
            max_us: op.time.max.map(micros),
        })
        .collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(b.name)));
    all
}

/// Counts by name that travel with every status.
const TOTALS: usize = 64;

fn events(app: &App) -> events::Snapshot {
    let mut shown = app.events.snapshot();
    shown.totals.truncate(TOTALS);
    shown
}

fn errors(app: &App) -> Errors {
    let shown = app.monitor.errors().snapshot(8);
    let millis = |at: Option<UnixTime>| at.map(UnixTime::as_millis);
    Errors {
        total: shown.total,
        last_minute: shown.recent,
        panics: shown.panics,
        top: shown
            .top
            .into_iter()
            .map(|kind| json!({ "kind": kind.kind, "count": kind.count, "bound": kind.overestimate }))
            .collect(),
        recent: shown
            .last
            .into_iter()
            .map(|error| {
                let Recorded { at, kind, message, causes, .. } = error;
                json!({ "kind": kind, "message": message, "causes": causes, "at_ms": millis(at) })
            })
            .collect(),
    }
}

/// Takes a sample, and shows it to all streams.
///
/// # Errors
/// That it cannot be shown.
pub fn sample(app: &App) -> Result<(), String> {
    app.health.beat();
    let point = app.monitor.sample(point(app));
    app.history.append(app, &point);
    let status = full_with(app, point);
    app.notifications.look(&status);
    let text = serde_json::to_string(&status);
    let text = text.map_err(|error| format!("the status is not JSON: {error}"))?;
    app.latest.send_replace(text.into());
    Ok(())
}
