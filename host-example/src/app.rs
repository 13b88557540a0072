//! Everything that the routes share.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use daur_core::id::BootId;
use daur_core::reliability::limiter::{self, Gcra, Quota};
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::StdClock;
use daur_std::link::Registry;
use daur_std::monitoring::system;
use daur_std::rng::os_bytes;
use daur_std::security::keys;
use daur_std::shared::StdShared;
use tokio::sync::watch;

use crate::audit::{self, Audit};
use crate::command::Commands;
use crate::config::{Config, DataDir};
use crate::events::{self, Events};
use crate::gate::{Caller, Gate, check_origin};
use crate::health::Health;
use crate::history::History;
use crate::http::Peer;
use crate::jobs::Jobs;
use crate::logs::Logs;
use crate::memory::Memory;
use crate::model::Models;
use crate::monitor::Monitor;
use crate::notifications::Notifications;
use crate::pool::Pool;
use crate::problem::{Code, Problem};
use crate::results::Results;
use crate::usage::Usage;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Refusals at the gate that are audited one by one; what is beyond is counted, and told with the next one.
const REFUSALS: Quota = Quota::new(limiter::Config { rate: 20, period: Duration::from_secs(1), burst: 200 });

/// The server's parts.
pub struct App {
    /// What it was told at its start.
    pub config: Config,
    /// Its files.
    pub dir: DataDir,
    /// Who may pass.
    pub gate: Arc<Gate>,
    /// What is done and refused.
    pub audit: Audit,
    /// What runs programs.
    pub commands: Commands,
    /// What asks models.
    pub models: Models,
    /// What both have given.
    pub results: Arc<Results>,
    /// What waits for the disk.
    pub pool: Pool,
    /// What happened, by name.
    pub events: Events,
    /// What has changed.
    pub notifications: Notifications,
    /// How short memory is.
    pub memory: Memory,
    /// The devices.
    pub registry: Registry,
    /// What it asks itself.
    pub health: Health,
    /// What it does by itself, again and again.
    pub jobs: Arc<Jobs>,
    /// What is counted.
    pub monitor: Arc<Monitor>,
    /// What the figures were.
    pub history: History,
    /// What people do.
    pub usage: Usage,
    /// What is said about it all.
    pub logs: Logs,
    /// The machine.
    pub system: system::Monitor,
    /// The latest status as JSON, for all streams.
    pub latest: watch::Sender<Arc<str>>,
    /// Says `true` once the server shall end.
    pub stop: watch::Receiver<bool>,
    /// When it started.
    pub started: Instant,
    /// The machine's name.
    pub host: String,
    refusals: StdShared<(Gcra, u64)>,
}

/// What ends last: once it has, everything is on disk.
pub struct Writers {
    /// That of the audit.
    pub audit: audit::Writer,
    /// That of the events.
    pub events: events::Writer,
}

impl App {
    /// Opens everything in the data directory. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub fn open(config: Config, stop: watch::Receiver<bool>) -> Result<(Arc<Self>, Writers), Error> {
        if let Some((_, twice)) =
            config.devices.iter().enumerate().find(|(place, device)| config.devices[..*place].contains(device))
        {
            return Err(format!("the device {twice} is named twice").into());
        }
        config.policy.validate().map_err(|error| format!("[policy] {error}"))?;
        config.pool.validate().map_err(|error| format!("[pool] {error}"))?;
        config.cache.validate().map_err(|error| format!("[cache] {error}"))?;
        config.events.validate().map_err(|error| format!("[events] {error}"))?;
        config.memory.validate().map_err(|error| format!("[memory] {error}"))?;
        config.model.validate().map_err(|error| format!("[model] {error}"))?;
        config.history.validate().map_err(|error| format!("[history] {error}"))?;
        config.health.validate().map_err(|error| format!("[health] {error}"))?;
        let dir = DataDir::open(&config.data_dir)
            .map_err(|error| format!("the data directory {} cannot be used: {error}", config.data_dir.display()))?;
        let pool = Pool::new(config.pool).map_err(|error| format!("[pool] {error}"))?;
        let gate = Arc::new(Gate::open(config.policy, &dir, pool.clone())?);
        let fleet_key = fleet_key(&config, &dir)?;
        let boot = BootId(u32::from_le_bytes(os_bytes::<4>().map_err(|error| error.to_string())?));
        let (audit, writer) = audit::open(&dir, boot)?;
        let results = Arc::new(Results::open(dir.cache(), config.cache, pool.clone())?);
        let commands =
            Commands::new(config.command.clone(), config.policy, dir.work(), Arc::clone(&results), stop.clone())?;
        let models = Models::new(config.model.clone(), Arc::clone(&results), stop.clone())
            .map_err(|error| format!("[model] {error}"))?;
        let (events, writer_of_events) = events::open(&dir.events(), config.events)
            .map_err(|error| format!("the events cannot be kept: {error}"))?;
        let monitor = Arc::new(Monitor::new(config.errors.clone())?);
        let breakers = commands.programs().len() + models.snapshot().upstreams.len();
        let history = History::open(&dir.history(), config.history, breakers)
            .map_err(|error| format!("the history cannot be kept: {error}"))?;
        history.recall(&monitor, config.sample_every);
        let usage = Usage::open(&dir.usage()).map_err(|error| format!("what people do cannot be kept: {error}"))?;
        let memory = Memory::new(&config.memory).map_err(|error| format!("[memory] {error}"))?;
        memory.register("results", 0, results.shrinker())?;
        memory.register("last_good", 1, commands.shrinker())?;
        memory.register("last_answers", 1, models.shrinker())?;
        let registry = Registry::with_audit_dir(config.link, Some(&fleet_key), dir.device_audit());
        for endpoint in &config.devices {
            registry.attach(endpoint);
        }
        let system = system::Monitor::of_host(system::Config { interval: config.system_every })?;
        system.start();
        let app = Arc::new(Self {
            gate,
            audit,
            commands,
            models,
            results,
            pool,
            events,
            notifications: Notifications::new()?,
            memory,
            registry,
            health: Health::new(&dir),
            jobs: Arc::default(),
            monitor,
            history,
            usage,
            logs: Logs(config.logger.clone()),
            system,
            latest: watch::Sender::new(Arc::from("")),
            stop,
            started: StdClock.now(),
            host: host_name(),
            refusals: StdShared::new((Gcra::NEW, 0)),
            config,
            dir,
        });
        Health::register(&app).map_err(|error| format!("[health] {error}"))?;
        app.audit.note(Event::new(
            Kind::Start,
            Outcome::Success,
            "",
            "",
            concat!("daur-host ", env!("CARGO_PKG_VERSION")),
        ));
        Ok((app, Writers { audit: writer, events: writer_of_events }))
    }

    /// Lets a request pass whose sender is known, permitted `needed`, and not too fast.
    ///
    /// # Errors
    /// `unauthenticated`, `forbidden`, `rate_limited`; all are audited. On a server that is read-only, whatever needs a
    /// permission and is no question is `forbidden`.
    pub fn admit(&self, request: &Request<Body>, needed: Permissions) -> Result<Caller, Problem> {
        let note = |actor: &str, why: &dyn Display| {
            let detail = format!("{} {}: {why}", request.method(), request.uri().path());
            self.note_refusal(actor, &source(request), &detail);
        };
        let caller = self.gate.identify(request.headers()).map_err(|error| {
            note("", &error);
            Problem::new(Code::Unauthenticated, "A valid token is needed: log in with POST /api/login.")
        })?;
        let refused = |problem: Problem, why: &str| {
            note(caller.name(), &why);
            problem
        };
        check_origin(request.method(), request.headers(), caller.by_cookie)
            .map_err(|problem| refused(problem, "foreign origin"))?;
        self.gate.admit_user(caller.name()).map_err(|problem| refused(problem, "rate limit"))?;
        if !caller.permissions().contains(needed) {
            let detail = format!("This needs the permission `{needed}`, which this user does not have.");
            return Err(refused(Problem::new(Code::Forbidden, detail), "permission"));
        }
        // Whatever needs no permission is about the caller's own session.
        if self.config.read_only && !request.method().is_safe() && needed != Permissions::NONE {
            return Err(refused(read_only(), "read-only"));
        }
        Ok(caller)
    }

    /// Whether a request comes from this machine itself, on a server that only it can reach: such a one may see
    /// figures without a login. A proxy, or a page under another name for this address, is somebody else.
    #[must_use]
    pub fn is_local(&self, request: &Request<Body>) -> bool {
        let headers = request.headers();
        let direct = !headers.contains_key(header::FORWARDED) && !headers.contains_key("x-forwarded-for");
        direct
            && self.config.listen.ip().is_loopback()
            && request.extensions().get::<Peer>().is_some_and(|peer| peer.address.ip().is_loopback())
            && headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_none_or(is_local_name)
    }

    /// Whether a request comes from somebody who may read, without counting it against anything.
    #[must_use]
    pub fn may_read(&self, request: &Request<Body>) -> bool {
        self.gate.identify(request.headers()).is_ok_and(|caller| caller.permissions().contains(Permissions::READ))
    }

    /// Audits a refusal at the gate, such that a flood of them fills neither disk nor queue.
    pub fn note_refusal(&self, actor: &str, source: &str, detail: &str) {
        let (due, untold) = self.refusals.with(|(allowance, untold), now| {
            if allowance.check(&REFUSALS, now).is_ok() {
                (true, std::mem::take(untold))
            } else {
                *untold += 1;
                (false, 0)
            }
        });
        if untold > 0 {
            let lost = format!("{untold} refusals were counted, not written");
            self.audit.note(Event::new(Kind::Lost, Outcome::Denied, "", "", &lost));
        }
        if due {
            self.audit.note(Event::new(Kind::AccessDenied, Outcome::Denied, actor, source, detail));
        }
    }
}

/// What a server says that only shows.
#[must_use]
pub fn read_only() -> Problem {
    Problem::new(Code::Forbidden, "This server is read-only: nothing can be changed here.")
}

fn is_local_name(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|v4| v4.is_loopback())
}

/// Where a request comes from, for the audit.
#[must_use]
pub fn source(request: &Request<Body>) -> String {
    request.extensions().get::<Peer>().map_or_else(String::new, |peer| peer.address.ip().to_string())
}

/// The fleet key: the file that was named, which must be there, or our own.
fn fleet_key(config: &Config, dir: &DataDir) -> Result<[u8; 32], Error> {
    let key = match &config.fleet_key_file {
        Some(path) => keys::load(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::from(format!("there is no file {}", path.display())),
            _ => error.into(),
        }),
        None => keys::load_or_create(dir.path(), "fleet.key").map_err(Error::from),
    };
    Ok(key.map_err(|error| format!("the fleet key cannot be used: {error}"))?)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this host".to_owned() } else { name.trim().to_owned() }
}
