//! The memory of the process, its limit and its pressure.
//!
//! The judging is [`daur_core::performance::memory`]'s: this reads the figures, asks the shrinkers outside of every
//! lock, and has the allocator give back what they freed.

mod provider;
mod registry;
mod report;
mod system;
mod tree;
mod turn;
mod watch;

#[cfg_attr(target_os = "linux", path = "memory/here/linux.rs")]
#[cfg_attr(all(not(target_os = "linux"), feature = "sysinfo"), path = "memory/here/other.rs")]
#[cfg_attr(all(not(target_os = "linux"), not(feature = "sysinfo")), path = "memory/here/unknown.rs")]
mod here;
#[cfg_attr(feature = "tracing", path = "memory/log/events.rs")]
#[cfg_attr(not(feature = "tracing"), path = "memory/log/silent.rs")]
mod log;
#[cfg(feature = "tokio")]
mod task;
#[cfg_attr(all(target_os = "linux", target_env = "gnu"), path = "memory/trim/glibc.rs")]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), path = "memory/trim/none.rs")]
mod trim;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use daur_core::performance::memory::{self as machine, Level, Monitor, Shrink, shrinkers};
use daur_core::time::{Clock, Duration, Instant};

pub use provider::{Error, Group, Pressure, Provider, Sample, Scope, Stall};
pub use registry::{Registration, Shrinker};
pub use report::{Freed, MemoryUsage, One, Polled, Snapshot};
pub use system::System;
pub use tree::Tree;
pub use watch::Watcher;

use crate::clock::StdClock;
use registry::Registry;
use turn::Turns;

/// How many shrinkers one [`MemoryOptimizer`] holds.
pub const SHRINKERS: usize = 64;

/// Says when memory is short, and what is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// From where on memory is short, and how often to look.
    pub monitor: machine::Config,
    /// How much whoever gives back may hold at which level, and how it grows back.
    pub shrinkers: shrinkers::Config,
    /// Bytes of resident memory that this process may use, if it is to stay below its group's limit or has none.
    pub limit: Option<u64>,
}

impl Config {
    /// The defaults of the machines, and no limit but those of the system.
    pub const DEFAULT: Self =
        Self { monitor: machine::Config::DEFAULT, shrinkers: shrinkers::Config::DEFAULT, limit: None };
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// One of the monitor's.
    Monitor(machine::ConfigError),
    /// One of the shrinkers'.
    Shrinkers(shrinkers::ConfigError),
    /// `limit` is 0.
    NoLimit,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitor(error) => error.fmt(f),
            Self::Shrinkers(error) => error.fmt(f),
            Self::NoLimit => f.write_str("memory: `limit` is 0; leave it out for none"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Watches this process's memory, and has caches and others give back when it is short (the seed's `MemoryOptimizer`).
///
/// Whoever holds what can be had again registers a [`Shrink`]: a shared cache, a pool of buffers, a closure in a
/// [`Resize`](machine::Resize). Then [`keep_watching`](MemoryOptimizer::keep_watching) on tokio or
/// [`watch`](MemoryOptimizer::watch) on a thread does the rest; or call [`poll`](MemoryOptimizer::poll) yourself.
///
/// # Rules
/// 1. Of all limits that is judged of which the smallest part is left: the machine's memory, the control groups', the
///    address space's, the configured one.
/// 2. The level is told and left as [`Monitor`] says, shrinkers are asked and grow back as
///    [`Shrinkers`](machine::Shrinkers) says.
/// 3. A reading that fails leaves the level, asks nobody, and is counted and told.
/// 4. Shrinkers run outside of every lock, one at a time. One that panics has freed nothing; it is counted and told, and
///    asked again like the others.
/// 5. After somebody was asked to give back the allocator trims; and as often as a shrinker is asked again while memory is short,
///    since what the program has freed by itself may be there. Where it cannot trim, `trimmed` is `None`.
/// 6. [`optimize`](MemoryOptimizer::optimize) asks all of them, whatever the level is, and tells what that freed by the
///    process's resident memory before and after, beside what they themselves say.
/// 7. A dropped [`Registration`] is asked no more.
/// 8. Called by a shrinker, `poll` and `optimize` do nothing.
///
/// # Cost
/// [`usage`](MemoryOptimizer::usage) reads Linux' files: 86 us on a shared x86-64 core, of which the process's own figure is
/// 6, so it is not for every request. [`level`](MemoryOptimizer::level) is a lock and a load, 20 ns. Trimming walks all free
/// memory: of 100 MiB in pieces of many sizes, with survivors between them, freeing half gave back 0.4 MiB, and trimming
/// then 50.
///
/// # Errors
/// [`Error`] of a figure that cannot be read; [`Full`](shrinkers::Full) with the shrinker, if [`SHRINKERS`] are there.
///
/// # Sharing
/// `Clone`, `Send` and `Sync`. All but `level` block for files and shrinkers: from async code, call them on a thread for
/// blocking work, as `keep_watching` does. That may be dropped at any time; what is under way ends by itself. A shrinker
/// that holds the optimizer keeps it alive until its registration is dropped.
///
/// # Example
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use daur_std::core::performance::memory::{Level, Resize, Share, Usage};
/// use daur_std::performance::memory::{Config, MemoryOptimizer, Sample};
///
/// let lines = Arc::new(Mutex::new(vec![[0_u8; 80]; 1_000]));
/// let held = Arc::clone(&lines);
///
/// // A service takes `MemoryOptimizer::new(Config::DEFAULT)`, which asks the system.
/// let optimizer = MemoryOptimizer::builder(Config::DEFAULT)
///     .provider(|| Ok(Sample { process: 90, total: 100, available: 10, ..Sample::default() }))
///     .build()?;
/// let registration = optimizer.register("lines", 0, Resize(move |keep: Share| {
///     let mut lines = held.lock().unwrap();
///     let before = lines.len();
///     lines.truncate(keep.of(1_000));
///     lines.shrink_to_fit();
///     (before - lines.len()) as u64 * 80
/// }))?;
///
/// let polled = optimizer.poll();
/// assert_eq!(polled.level, Level::Elevated);
/// assert_eq!((polled.by[0].name, polled.by[0].freed), ("lines", 40_000));
/// assert_eq!(lines.lock().unwrap().len(), 500);
/// # drop(registration);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// Linux, *Control Group v2* and *PSI: Pressure Stall Information*; malloc_trim(3).
#[doc(alias("get_memory_usage", "optimize_memory"))]
#[derive(Clone)]
pub struct MemoryOptimizer {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    provider: Box<dyn Provider>,
    clock: Box<dyn Clock + Send + Sync>,
    trim: Box<dyn Fn() -> Option<bool> + Send + Sync>,
    state: Mutex<State>,
    turns: Turns,
}

struct State {
    monitor: Monitor,
    registry: Registry,
    panics: u32,
    trims: u32,
    trimmed_at: Option<Instant>,
    /// The last reading failed.
    failing: bool,
    error: Option<String>,
}

/// Makes a [`MemoryOptimizer`].
pub struct Builder {
    config: Config,
    provider: Option<Box<dyn Provider>>,
    clock: Box<dyn Clock + Send + Sync>,
    trim: Box<dyn Fn() -> Option<bool> + Send + Sync>,
}

impl Builder {
    /// Reads the figures there instead of from the system.
    #[must_use]
    pub fn provider(self, provider: impl Provider + 'static) -> Self {
        Self { provider: Some(Box::new(provider)), ..self }
    }

    /// Lives by `clock` instead of the operating system's.
    #[must_use]
    pub fn clock(self, clock: impl Clock + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Trims by `trim` instead of glibc's `malloc_trim`: for another allocator. It says whether that gave anything back,
    /// or `None` if it cannot.
    #[must_use]
    pub fn trim(self, trim: impl Fn() -> Option<bool> + Send + Sync + 'static) -> Self {
        Self { trim: Box::new(trim), ..self }
    }

    /// The optimizer.
    ///
    /// # Errors
    /// [`ConfigError`] if the config breaks a rule.
    pub fn build(self) -> Result<MemoryOptimizer, ConfigError> {
        let Self { config, provider, clock, trim } = self;
        let monitor = Monitor::try_new(config.monitor).map_err(ConfigError::Monitor)?;
        let registry = Registry::try_new(config.shrinkers).map_err(ConfigError::Shrinkers)?;
        if config.limit == Some(0) {
            return Err(ConfigError::NoLimit);
        }
        let provider = provider.unwrap_or_else(|| Box::new(System::new()));
        let state =
            Mutex::new(State { monitor, registry, panics: 0, trims: 0, trimmed_at: None, failing: false, error: None });
        let inner = Inner { config, provider, clock, trim, state, turns: Turns::default() };
        Ok(MemoryOptimizer { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl MemoryOptimizer {
    /// One that asks the system.
    ///
    /// # Errors
    /// [`ConfigError`] if `config` breaks a rule.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::builder(config).build()
    }

    /// One that is put together otherwise.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder { config, provider: None, clock: Box::new(StdClock), trim: Box::new(trim::trim) }
    }

    /// Reads how much memory is used now.
    ///
    /// # Errors
    /// [`Error`] if that cannot be read.
    #[doc(alias = "get_memory_usage")]
    pub fn usage(&self) -> Result<MemoryUsage, Error> {
        self.sample().map(|sample| MemoryUsage::new(&sample, self.inner.config.limit))
    }

    /// Reads all figures.
    ///
    /// # Errors
    /// [`Error`] if they cannot be read.
    pub fn sample(&self) -> Result<Sample, Error> {
        caught(|| self.inner.provider.sample())
    }

    /// Reads this process's proportional set size, in bytes; costs milliseconds.
    ///
    /// # Errors
    /// [`Error`] if it cannot be read.
    pub fn proportional(&self) -> Result<u64, Error> {
        caught(|| self.inner.provider.proportional())
    }

    /// The level at the last poll.
    #[must_use]
    pub fn level(&self) -> Level {
        self.state().monitor.level()
    }

    /// Registers one whom giving back costs `cost`: 0 for what is got again for nothing. It is asked until the
    /// registration is dropped.
    ///
    /// # Errors
    /// [`Full`](shrinkers::Full), with the shrinker, if there are [`SHRINKERS`] already.
    pub fn register(
        &self,
        name: &'static str,
        cost: u8,
        shrinker: impl Shrink + Send + Sync + 'static,
    ) -> Result<Registration, shrinkers::Full<Shrinker>> {
        let id = self.state().registry.add(name, cost, Arc::new(shrinker))?;
        Ok(Registration::new(id, Arc::downgrade(&self.inner)))
    }

    /// Looks once: reads the figures, judges, asks whoever is to be asked.
    pub fn poll(&self) -> Polled {
        let Some(_turn) = self.inner.turns.take() else { return Polled::nothing(self.level()) };
        let sample = self.sample();
        let (level, change, news) = {
            let mut state = self.state();
            // A provider that fails for hours is news once.
            let news = state.failing != sample.is_err();
            state.failing = sample.is_err();
            // The clock is read under the lock, so that no reading is older than the one before it.
            let now = self.inner.clock.now();
            match &sample {
                Ok(sample) => {
                    let change = state.monitor.update(sample.reading(self.inner.config.limit), now);
                    (state.monitor.level(), change, news)
                }
                Err(error) => {
                    state.monitor.on_failure(now);
                    state.error = Some(error.to_string());
                    (state.monitor.level(), None, news)
                }
            }
        };
        if let Some(change) = &change {
            log::changed(change);
        }
        if let Err(error) = sample {
            if news {
                log::failed(&error);
            }
            return Polled { error: Some(error), ..Polled::nothing(level) };
        }
        let by = self.ask();
        // Whoever was asked may have freed something without knowing how much.
        let asked = by.iter().any(|one| !one.grew);
        let trimmed = if asked || self.still_short() { self.trim() } else { None };
        Polled { level, change, by, trimmed, error: None }
    }

    /// When the next poll is due.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        self.state().monitor.poll_at()
    }

    /// Asks all to give back what they need not keep while memory is short, whatever the level is; then trims the
    /// allocator, and measures. What has shrunk grows back as after any other shortage, if it is polled.
    #[doc(alias = "optimize_memory")]
    pub fn optimize(&self) -> Freed {
        let Some(_turn) = self.inner.turns.take() else { return Freed::default() };
        let process = || caught(|| self.inner.provider.process()).ok();
        let before = process();
        {
            let mut state = self.state();
            let level = state.monitor.level().max(Level::Elevated);
            state.registry.demand(level);
        }
        let by = self.ask();
        let trimmed = self.trim();
        Freed { before, after: process(), by, trimmed }
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            monitor: state.monitor.snapshot(),
            shrinkers: state.registry.snapshot(),
            by: state.registry.shrinkers().collect(),
            panics: state.panics,
            trims: state.trims,
            error: state.error.clone(),
        }
    }

    /// How long to wait for the next poll.
    fn pause(&self) -> Duration {
        let state = self.state();
        let now = self.inner.clock.now();
        let config = state.monitor.config();
        // No longer than an interval, should the clock have stepped back.
        state
            .monitor
            .poll_at()
            .map_or(Duration::ZERO, |at| at.since(now))
            .min(config.interval.max(config.interval_short))
    }

    /// Asks one after the other, each outside the lock.
    fn ask(&self) -> Vec<One> {
        let mut by = Vec::new();
        loop {
            let Some(ask) = ({
                let mut state = self.state();
                let State { monitor, registry, .. } = &mut *state;
                registry.next(monitor, self.inner.clock.now())
            }) else {
                return by;
            };
            let done = catch_unwind(AssertUnwindSafe(|| ask.carry_out()));
            let (freed, panicked) = (done.as_ref().map_or(0, |freed| *freed), done.is_err());
            let one = One { name: ask.name, keep: ask.keep, grew: ask.grows, freed, panicked };
            let mut state = self.state();
            state.registry.done(ask.id, freed);
            state.panics = state.panics.saturating_add(u32::from(panicked));
            drop(state);
            if panicked {
                log::panicked(ask.name);
            }
            by.push(one);
        }
    }

    /// Whether memory is short, and the allocator has not been asked for as long as nobody else would be.
    fn still_short(&self) -> bool {
        let state = self.state();
        let now = self.inner.clock.now();
        let due = state.trimmed_at.is_none_or(|at| now.since(at) >= self.inner.config.shrinkers.again);
        due && state.monitor.wanted() > 0
    }

    fn trim(&self) -> Option<bool> {
        let trimmed = catch_unwind(AssertUnwindSafe(&self.inner.trim)).ok().flatten();
        let mut state = self.state();
        state.trimmed_at = Some(self.inner.clock.now());
        state.trims = state.trims.saturating_add(u32::from(trimmed.is_some()));
        trimmed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state()
    }
}

impl Inner {
    /// A panic elsewhere does not make the figures false.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryOptimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOptimizer").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// What a provider says, also if it panics.
fn caught<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(Error::Panicked))
}

static GLOBAL: OnceLock<MemoryOptimizer> = OnceLock::new();

/// The one optimizer of this process (the seed's `get_memory_optimizer`).
///
/// Made at its first use, unless [`init`] was before: of [`Config::DEFAULT`], asking the system. Nobody polls it until
/// somebody calls [`keep_watching`](MemoryOptimizer::keep_watching), [`watch`](MemoryOptimizer::watch) or
/// [`poll`](MemoryOptimizer::poll).
///
/// # Panics
/// Never: the defaults are valid.
///
/// # Example
/// ```
/// use daur_std::performance::memory::memory_optimizer;
///
/// let usage = memory_optimizer().usage()?;
/// assert!(usage.percent > 0.0 && usage.process < usage.total);
/// # Ok::<(), daur_std::performance::memory::Error>(())
/// ```
#[doc(alias = "get_memory_optimizer")]
pub fn memory_optimizer() -> &'static MemoryOptimizer {
    GLOBAL.get_or_init(|| MemoryOptimizer::new(Config::DEFAULT).expect("the defaults are valid"))
}

/// Makes `optimizer` the one that [`memory_optimizer`] gives.
///
/// # Errors
/// Gives `optimizer` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(optimizer: MemoryOptimizer) -> Result<(), MemoryOptimizer> {
    GLOBAL.set(optimizer)
}
