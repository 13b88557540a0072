//! How the machine and this process are doing: CPU, memory, disks, network.

mod host;
#[cfg_attr(feature = "tracing", path = "system/log/events.rs")]
#[cfg_attr(not(feature = "tracing"), path = "system/log/silent.rs")]
mod log;
mod sample;
mod sampler;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use daur_core::monitoring::system as machine;
use daur_core::time::{Duration, Instant};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant as TokioInstant;

pub use host::Host;
pub use machine::{Change, Field, Level, Threshold};
pub use sample::{Disk, Memory, Network, Process, Sample, Temperature};
pub use sampler::{Provider, Sampler};

/// Two CPU readings closer than this say nothing: the operating system counts in ticks.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// How often a [`Monitor`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The time between two readings, at least [`SHORTEST_INTERVAL`].
    pub interval: Duration,
}

impl Config {
    /// Every five seconds.
    pub const DEFAULT: Self = Self { interval: Duration::from_secs(5) };

    /// Checks the config.
    ///
    /// # Errors
    /// [`ConfigError`] if the interval is too short.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.interval < SHORTEST_INTERVAL { Err(ConfigError { interval: self.interval }) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says that the interval is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The interval asked for.
    pub interval: Duration,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an interval of {} is too short: at least {SHORTEST_INTERVAL} is allowed", self.interval)
    }
}

impl std::error::Error for ConfigError {}

/// Watches the system in the background (the seed's `SystemMonitor`).
///
/// # Rules
/// 1. [`Monitor::current`] never blocks and never reads the system: it is the last sample.
/// 2. The second sample follows the first after [`SHORTEST_INTERVAL`], so that a CPU figure is there
///    soon; from then on one comes every [`Config::interval`].
/// 3. [`Monitor::stop`] ends the task before it returns; `start` after it goes on. Starting twice is
///    starting once. Dropping the monitor ends the task too.
/// 4. A provider that panics costs that sample, is counted, and is asked again.
/// 5. Each sample is judged by the [machine](machine::System) of the core, whose thresholds are its defaults unless
///    [`judging`](Monitor::judging) says otherwise. A change of level goes to all who
///    [listen](Monitor::changes), and to `tracing` with that feature.
///
/// # Cost
/// A sample is what its provider reads: [`Host`] says what that is.
///
/// # Errors
/// [`ConfigError`], at the start.
///
/// # Sharing
/// By reference or in an `Arc`. The system is read on tokio's threads for blocking work.
///
/// # Example
/// ```
/// use daur_std::monitoring::system::{Config, Monitor, Sample};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// let monitor = Monitor::new(Config::DEFAULT, || Sample { cpus: Some(4), ..Sample::default() }).unwrap();
/// monitor.start();
/// assert_eq!(monitor.changed().await.unwrap().cpus, Some(4));
/// monitor.stop().await;
/// # });
/// ```
#[doc(alias = "SystemMonitor")]
pub struct Monitor<P: Provider = Host> {
    config: Config,
    /// The first start: what the sampler's time counts from.
    began: OnceLock<TokioInstant>,
    sampler: Arc<Mutex<Sampler<P>>>,
    watched: Arc<Watched>,
    task: Mutex<Option<Task>>,
}

/// What the task tells.
struct Watched {
    samples: watch::Sender<Option<Arc<Sample>>>,
    failures: watch::Sender<u64>,
    changes: broadcast::Sender<Change>,
    judge: Mutex<machine::System<POINTS>>,
}

/// Points of each trend: with one a minute, that of the last half an hour.
const POINTS: usize = 30;
/// Changes of level that wait for a slow listener.
const WAITING: usize = 64;

struct Task {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Monitor {
    /// A monitor of this machine, not started.
    ///
    /// # Errors
    /// [`ConfigError`] if the interval is too short.
    pub fn of_host(config: Config) -> Result<Self, ConfigError> {
        Self::new(config, Host::new())
    }
}

impl<P: Provider> Monitor<P> {
    /// A monitor of what `provider` tells, not started.
    ///
    /// # Errors
    /// [`ConfigError`] if the interval is too short.
    pub fn new(config: Config, provider: P) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            began: OnceLock::new(),
            sampler: Arc::new(Mutex::new(Sampler::new(provider))),
            watched: Arc::new(Watched {
                samples: watch::Sender::new(None),
                failures: watch::Sender::new(0),
                changes: broadcast::Sender::new(WAITING),
                judge: Mutex::new(machine::System::default()),
            }),
            task: Mutex::new(None),
        })
    }

    /// The same, judged by these thresholds; their interval is that of [`Config`].
    ///
    /// # Errors
    /// [`machine::ConfigError`] says which of them contradicts itself.
    pub fn judging(self, thresholds: machine::Config) -> Result<Self, machine::ConfigError> {
        let thresholds = machine::Config { interval: self.config.interval, ..thresholds };
        *held(&self.watched.judge) = machine::System::try_new(thresholds)?;
        Ok(self)
    }

    /// Begins to watch. Says whether it had not begun before.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self) -> bool {
        let mut task = held(&self.task);
        if task.as_ref().is_some_and(|task| !task.handle.is_finished()) {
            return false;
        }
        let (stop, stopped) = watch::channel(false);
        let watching = watch_system(
            self.config.interval,
            *self.began.get_or_init(TokioInstant::now),
            Arc::clone(&self.sampler),
            Arc::clone(&self.watched),
            stopped,
        );
        *task = Some(Task { stop, handle: tokio::spawn(watching) });
        true
    }

    /// Ends watching; a reading under way is waited for. Says whether it was watching.
    pub async fn stop(&self) -> bool {
        let Some(task) = held(&self.task).take() else { return false };
        task.stop.send_replace(true);
        // The task neither panics nor is it aborted; if the runtime is going down, it has ended.
        let _ = task.handle.await;
        true
    }

    /// Whether it is watching.
    #[must_use]
    pub fn is_running(&self) -> bool {
        held(&self.task).as_ref().is_some_and(|task| !task.handle.is_finished())
    }

    /// The last sample, if there was one.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Sample>> {
        self.watched.samples.borrow().clone()
    }

    /// Waits for the next sample; `None` if there will be none because the monitor is gone.
    pub async fn changed(&self) -> Option<Arc<Sample>> {
        let mut samples = self.watched.samples.subscribe();
        samples.changed().await.ok()?;
        samples.borrow_and_update().clone()
    }

    /// Samples, as they come, for a stream of events.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Sample>>> {
        self.watched.samples.subscribe()
    }

    /// The level of the worst figure.
    #[must_use]
    pub fn level(&self) -> Level {
        held(&self.watched.judge).level()
    }

    /// The levels, trends and last figures; its moments count from the first start.
    #[must_use]
    pub fn judged(&self) -> machine::Snapshot {
        held(&self.watched.judge).snapshot()
    }

    /// How long until memory or the fullest disk is used up, if it goes on as of late.
    #[must_use]
    pub fn lasts(&self, field: Field) -> Option<Duration> {
        held(&self.watched.judge).lasts(field)
    }

    /// Changes of level from now on. Who is more than 64 behind is told how many are lost.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.watched.changes.subscribe()
    }

    /// Readings that ended in a panic of the provider.
    #[must_use]
    pub fn failures(&self) -> u64 {
        *self.watched.failures.borrow()
    }
}

impl<P: Provider> Drop for Monitor<P> {
    fn drop(&mut self) {
        if let Some(task) = held(&self.task).take() {
            task.stop.send_replace(true);
        }
    }
}

impl<P: Provider> fmt::Debug for Monitor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("config", &self.config)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

/// A panic elsewhere does not make the figures false.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_system<P: Provider>(
    interval: Duration,
    began: TokioInstant,
    sampler: Arc<Mutex<Sampler<P>>>,
    watched: Arc<Watched>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut pause = SHORTEST_INTERVAL;
    loop {
        let sampler = Arc::clone(&sampler);
        let now = Instant::ZERO + Duration::from(began.elapsed());
        let sampled = tokio::task::spawn_blocking(move || held(&sampler).sample(now)).await;
        let sample = sampled.map_err(|error| {
            // What was thrown may panic as it is dropped: the task would end without a word.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(error))) {
                std::mem::forget(again);
            }
        });
        watched.take(sample.ok(), now);
        tokio::select! {
            // An error means that the monitor is gone.
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause.into()) => {}
        }
        pause = interval;
    }
}

impl Watched {
    /// Judges a sample and tells it; without one, the reading failed.
    fn take(&self, sample: Option<Arc<Sample>>, now: Instant) {
        let Some(sample) = sample else {
            held(&self.judge).on_failure(now);
            self.failures.send_modify(|failures| *failures += 1);
            log::failed();
            return;
        };
        let figures = sample.figures();
        let changes = held(&self.judge).update(&figures, now);
        self.samples.send_replace(Some(sample));
        for change in changes {
            log::changed(&change);
            // An error means that nobody listens.
            let _ = self.changes.send(change);
        }
    }
}

static GLOBAL: OnceLock<Monitor> = OnceLock::new();

/// The one monitor of this process (the seed's `get_system_monitor`), made with the defaults at its first use unless
/// [`init`] was before. It watches once it is [started](Monitor::start).
///
/// # Panics
/// Never: the defaults are valid.
///
/// # Example
/// ```
/// use daur_std::monitoring::system::system_monitor;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// let monitor = system_monitor();
/// monitor.start();
/// let sample = monitor.changed().await.unwrap();
/// assert!(sample.memory.unwrap().total > 0);
/// # monitor.stop().await;
/// # });
/// ```
#[doc(alias = "get_system_monitor")]
pub fn system_monitor() -> &'static Monitor {
    GLOBAL.get_or_init(|| Monitor::of_host(Config::DEFAULT).expect("the defaults are valid"))
}

/// Makes `monitor` the one that [`system_monitor`] gives.
///
/// # Errors
/// Gives `monitor` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(monitor: Monitor) -> Result<(), Box<Monitor>> {
    GLOBAL.set(monitor).map_err(Box::new)
}
