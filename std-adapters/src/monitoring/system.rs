//! How the machine and this process are doing: CPU, memory, disks, network.

mod host;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use daur_core::time::{Duration, Instant, UnixTime, WallClock};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant as TokioInstant;

pub use host::Host;

use crate::clock::SystemWallClock;

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

/// What was read. A field that the host does not tell is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// When, on the wall clock.
    pub taken_at: Option<UnixTime>,
    /// How busy all CPUs were since the sample before, in thousandths.
    pub cpu_permille: Option<u32>,
    /// CPUs that the process sees.
    pub cpus: Option<u32>,
    /// The memory there is for this process: the machine's, or its container's.
    pub memory: Option<Memory>,
    /// The swap space.
    pub swap: Option<Memory>,
    /// The load averages over 1, 5 and 15 minutes, in thousandths.
    pub load_permille: Option<[u32; 3]>,
    /// How long the machine has been up, in seconds.
    pub uptime_seconds: Option<u64>,
    /// Every disk.
    pub disks: Vec<Disk>,
    /// Every network interface.
    pub networks: Vec<Network>,
    /// This process.
    pub process: Option<Process>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What there is.
    pub total: u64,
    /// What is in use.
    pub used: u64,
    /// Whether `total` is a cgroup's limit, and not the machine's memory.
    pub limited: bool,
}

/// One mounted disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its size.
    pub total: u64,
    /// What is free for this process.
    pub available: u64,
}

/// One network interface: bytes since the machine started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Bytes that came in.
    pub received: u64,
    /// Bytes that went out.
    pub transmitted: u64,
}

/// This process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// How busy it was since the sample before, in thousandths of one CPU.
    pub cpu_permille: Option<u32>,
    /// Its resident memory in bytes.
    pub memory: u64,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
}

/// Reads the figures. [`Host`] asks the operating system; a test tells its own.
pub trait Provider: Send + 'static {
    /// Reads everything anew. May block for some milliseconds.
    fn read(&mut self) -> Sample;
}

impl<F: FnMut() -> Sample + Send + 'static> Provider for F {
    fn read(&mut self) -> Sample {
        self()
    }
}

/// Takes samples no closer than sense allows.
///
/// # Rules
/// 1. The first CPU reading is an average since the machine's start, and is not reported.
/// 2. A sample asked for less than [`SHORTEST_INTERVAL`] after the last is the last one.
#[derive(Debug)]
pub struct Sampler<P> {
    provider: P,
    last: Option<(Instant, Arc<Sample>)>,
}

impl<P: Provider> Sampler<P> {
    /// A sampler that has read nothing.
    pub const fn new(provider: P) -> Self {
        Self { provider, last: None }
    }

    /// The present sample.
    pub fn sample(&mut self, now: Instant) -> Arc<Sample> {
        if let Some((at, last)) = &self.last
            && now.since(*at) < SHORTEST_INTERVAL
        {
            return Arc::clone(last);
        }
        let mut sample = self.provider.read();
        if self.last.is_none() {
            sample.cpu_permille = None;
            if let Some(process) = &mut sample.process {
                process.cpu_permille = None;
            }
        }
        sample.taken_at = sample.taken_at.or_else(|| SystemWallClock.unix_now());
        let sample = Arc::new(sample);
        self.last = Some((now, Arc::clone(&sample)));
        sample
    }
}

/// Watches the system in the background (the seed's `SystemMonitor`).
///
/// # Rules
/// 1. [`Monitor::current`] never blocks and never reads the system: it is the last sample.
/// 2. The second sample follows the first after [`SHORTEST_INTERVAL`], so that a CPU figure is there
///    soon; from then on one comes every [`Config::interval`].
/// 3. [`Monitor::stop`] ends the task before it returns; `start` after it goes on. Starting twice is
///    starting once. Dropping the monitor ends the task too.
/// 4. A provider that panics costs that sample, is counted, and is asked again.
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
    samples: watch::Sender<Option<Arc<Sample>>>,
    failures: watch::Sender<u64>,
    task: Mutex<Option<Task>>,
}

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
            samples: watch::Sender::new(None),
            failures: watch::Sender::new(0),
            task: Mutex::new(None),
        })
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
            self.samples.clone(),
            self.failures.clone(),
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
        self.samples.borrow().clone()
    }

    /// Waits for the next sample; `None` if there will be none because the monitor is gone.
    pub async fn changed(&self) -> Option<Arc<Sample>> {
        let mut samples = self.samples.subscribe();
        samples.changed().await.ok()?;
        samples.borrow_and_update().clone()
    }

    /// Samples, as they come, for a stream of events.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Sample>>> {
        self.samples.subscribe()
    }

    /// Readings that ended in a panic of the provider.
    #[must_use]
    pub fn failures(&self) -> u64 {
        *self.failures.borrow()
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
    samples: watch::Sender<Option<Arc<Sample>>>,
    failures: watch::Sender<u64>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut pause = SHORTEST_INTERVAL;
    loop {
        let sampler = Arc::clone(&sampler);
        let now = Instant::ZERO + Duration::from(began.elapsed());
        match tokio::task::spawn_blocking(move || held(&sampler).sample(now)).await {
            Ok(sample) => {
                samples.send_replace(Some(sample));
            }
            Err(_) => failures.send_modify(|failures| *failures += 1),
        }
        tokio::select! {
            // An error means that the monitor is gone.
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause.into()) => {}
        }
        pause = interval;
    }
}
