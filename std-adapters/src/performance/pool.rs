//! Threads that run jobs.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant as StdInstant;

use daur_core::monitoring::histogram;
use daur_core::time::Duration;

mod handle;
mod jobs;
#[cfg(all(test, daur_loom))]
mod loom;
mod size;
mod submit;
mod sync;
mod task;
mod worker;

pub use handle::Handle;
pub use task::{JoinError, Panic};

use crate::error::Error;
use jobs::Jobs;
use sync::{JoinHandle, Mutex, Ordering, lock};
use worker::here;

/// Says how many threads a pool has, and how many jobs wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads; 1 to 32,768.
    pub workers: usize,
    /// Jobs that wait at most; at least 1.
    pub queue: usize,
    /// What the threads are called, with a number behind it. Linux shows 15 characters of it.
    pub name: &'static str,
    /// The stack of each thread, in bytes; `None` for what threads have by default.
    pub stack: Option<usize>,
    /// How often in a row a more urgent job may be taken ahead of the one that waits longest, as in
    /// [`queue::Config`](daur_core::performance::queue::Config).
    pub max_passed: u8,
    /// One of so many jobs is timed while it waits, the first included; 1 for all, 0 for none. Two readings of the clock
    /// cost as much as a short job.
    pub timed_one_in: u32,
}

impl Config {
    /// 4 threads, 1,024 jobs, and one of 64 is timed.
    pub const DEFAULT: Self =
        Self { workers: 4, queue: 1_024, name: "daur-pool", stack: None, max_passed: 7, timed_one_in: 64 };

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] names the first that cannot work.
    pub fn validate(&self) -> Result<(), Error> {
        let config = |field, allowed| Err(Error::Config { field, allowed });
        if self.workers == 0 || self.workers > MAX_WORKERS {
            return config("workers", WORKERS);
        }
        if self.queue == 0 {
            return config("queue", "at least 1");
        }
        if self.name.as_bytes().contains(&0) {
            return config("name", "without a zero byte");
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const MAX_WORKERS: usize = 32_768;
const WORKERS: &str = "1 to 32,768";

/// Says why a job is not taken, by a pool or by a [balancer](super::balancer::LoadBalancer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// As many jobs wait as may.
    Full,
    /// Whoever should do it is shut down.
    ShutDown,
}

/// Gives back a job that was not taken.
pub struct Rejected<F> {
    /// The job, as it was.
    pub job: F,
    /// Why it was not taken.
    pub why: Why,
}

impl<F> fmt::Debug for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Full => "as many jobs wait as may",
            Why::ShutDown => "there is a shutdown, and no more jobs are taken",
        })
    }
}

impl<F> std::error::Error for Rejected<F> {}

/// What a shutdown does with the jobs that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// They are run, as long as there is time.
    Drain,
    /// They are dropped at once.
    Drop,
}

/// Tells how a shutdown ended. All jobs that the pool has ever taken are in one of the four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Jobs that were run, with those that panicked.
    pub ran: u64,
    /// Jobs that were cancelled before.
    pub cancelled: u64,
    /// Jobs that were dropped, and whose handles say [`JoinError::Dropped`].
    pub dropped: u64,
    /// Jobs that had not ended at the deadline; they go on.
    pub still_running: u64,
}

/// Runs jobs on threads of its own (the seed's `get_thread_pool`).
///
/// For blocking work beside an async runtime, and for work that must not be more than so much at once. To split one slice
/// among threads, use `#[parallelize]`; on a device, the [queue](daur_core::performance::queue) alone.
///
/// # Rules
/// 1. A job that was taken is run once, or its handle says why not.
/// 2. At most `queue` jobs wait. Then [`try_submit`](Self::try_submit) gives the job back, and [`submit`](Self::submit) waits; on
///    a worker of the pool itself, which others may wait for, it runs the job at once instead.
/// 3. A job that panics fails its own handle, whatever its panic carries; the worker lives.
/// 4. Jobs begin in the order of the [queue](daur_core::performance::queue): by priority, and in turn; nobody is passed over for ever.
/// 5. A pool that is shut down gives every job back. What [`shutdown`](Self::shutdown) drops is told to its handle and counted:
///    `ran + cancelled + dropped + still_running` is what was submitted.
/// 6. Dropping the pool runs what waits, and ends its threads before it returns. Dropped by a job of its own, or after a
///    shutdown whose time ran out, it waits for nothing.
/// 7. A job may wait for jobs by [`Handle::join`]. One that waits for another job in some other way holds its worker meanwhile: so
///    many as there are workers hold all of them.
///
/// # Cost
/// One allocation a job, and its threads. A pool that has nothing to do sleeps; a worker looks around for some microseconds
/// before it does.
///
/// # Errors
/// [`Rejected`] has the job; [`JoinError`] says why there is no result.
///
/// # Sharing
/// `&self` everywhere.
///
/// # Example
/// ```
/// use daur_std::performance::pool::{Config, JoinError, Shutdown, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(Config { workers: 2, ..Config::DEFAULT });
/// let answer = pool.submit(|| 6 * 7)?;
/// let broken = pool.submit(|| { let none: Option<u32> = None; none.expect("no answer") })?;
/// assert_eq!(answer.join()?, 42);
/// let JoinError::Panicked(panic) = broken.join().unwrap_err() else { unreachable!() };
/// assert_eq!(panic.message(), Some("no answer"));
///
/// let report = pool.shutdown(Shutdown::Drain, Duration::from_secs(5));
/// assert_eq!((report.ran, report.dropped, report.still_running), (2, 0, 0));
/// let late = pool.submit(|| 1).unwrap_err();
/// assert_eq!((late.job)(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// Waking one worker at a time, which wakes the next if there is more: the schedulers of Go and tokio.
#[doc(alias = "get_thread_pool")]
#[doc(alias = "ThreadPoolExecutor")]
pub struct ThreadPool {
    jobs: Arc<Jobs>,
    threads: Mutex<Threads>,
    config: Config,
}

struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// How many workers there shall be.
    workers: usize,
    /// A shutdown's time ran out: who drops the pool waits no more.
    given_up: bool,
}

impl ThreadPool {
    /// A pool, with all its threads.
    ///
    /// # Panics
    /// If `config` is invalid, or the operating system has no more threads; see [`try_new`](Self::try_new).
    #[must_use]
    pub fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(pool) => pool,
            Err(error) => panic!("no thread pool: {error}"),
        }
    }

    /// A pool, with all its threads, or none.
    ///
    /// # Errors
    /// What [`Config::validate`] says, and [`Error::Io`] if the operating system refuses a thread: those that had begun
    /// have ended then.
    pub fn try_new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let threads = Threads { handles: Vec::with_capacity(config.workers), workers: 0, given_up: false };
        let pool = Self { jobs: Jobs::new(&config), threads: Mutex::new(threads), config };
        pool.resize(config.workers)?;
        Ok(pool)
    }

    /// Takes no more jobs, and waits until those that it has are through with, `timeout` at most: what then still waits is dropped.
    ///
    /// It may be called again, to wait longer for what is still running. A job that calls it runs what waits itself, and is
    /// itself still running: what waits must not wait for that job in turn.
    pub fn shutdown(&self, how: Shutdown, timeout: impl Into<Duration>) -> Report {
        let deadline = StdInstant::now().checked_add(timeout.into().into());
        self.jobs.close();
        if how == Shutdown::Drop {
            self.jobs.drop_waiting();
        }
        let here = here(self.jobs.id);
        if let Some((_, tally)) = &here {
            while deadline.is_none_or(|deadline| StdInstant::now() < deadline)
                && let Some(entry) = self.jobs.try_pop()
            {
                self.jobs.run(entry, tally);
            }
        }
        let late = self.jobs.wait_until_quiet(here.is_some(), deadline);
        // Nothing is left if it was quiet in time.
        self.jobs.drop_waiting();
        let mut threads = lock(&self.threads);
        threads.given_up = late;
        let ended = if late || here.is_some() { Vec::new() } else { std::mem::take(&mut threads.handles) };
        drop(threads);
        for thread in ended {
            // A worker does not panic.
            let _ = thread.join();
        }
        self.report()
    }

    fn report(&self) -> Report {
        let incoming = self.jobs.incoming();
        let (done, panicked, _) = self.jobs.ended();
        let ran = done + panicked;
        let cancelled = self.jobs.cancelled.load(Ordering::Acquire);
        let dropped = self.jobs.dropped.load(Ordering::Acquire);
        let still_running = incoming.pushed.saturating_sub(ran + cancelled + dropped);
        Report { ran, cancelled, dropped, still_running }
    }

    /// Whether every job is given back.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.jobs.incoming().closed
    }

    /// Threads that there are, or shall be: after a [`resize`](Self::resize) some may have to end a job yet.
    #[must_use]
    pub fn workers(&self) -> usize {
        lock(&self.threads).workers
    }

    /// What the pool has done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let outgoing = self.jobs.outgoing();
        let incoming = self.jobs.incoming();
        let (workers, rejected) = (incoming.alive, incoming.rejected);
        let (queued, submitted) = (self.jobs.queued(&incoming), incoming.pushed);
        let (done, panicked, callbacks_panicked) = self.jobs.ended();
        let cancelled = self.jobs.cancelled.load(Ordering::Acquire);
        let dropped = self.jobs.dropped.load(Ordering::Acquire);
        drop((incoming, outgoing));
        let running = submitted.saturating_sub(queued + done + panicked + cancelled + dropped);
        let waited = lock(&self.jobs.waited).snapshot();
        Snapshot {
            workers,
            submitted,
            queued,
            running,
            done,
            panicked,
            cancelled,
            dropped,
            rejected,
            callbacks_panicked,
            waited,
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.jobs.close();
        let mut threads = lock(&self.threads);
        let handles = std::mem::take(&mut threads.handles);
        let waits = !threads.given_up && here(self.jobs.id).is_none();
        drop(threads);
        if waits {
            for thread in handles {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Shows a [`ThreadPool`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Threads that have not ended.
    pub workers: usize,
    /// Jobs that were taken, all told.
    pub submitted: u64,
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs that have begun and not ended.
    pub running: u64,
    /// Jobs that have given a result.
    pub done: u64,
    /// Jobs that have panicked.
    pub panicked: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that a shutdown has dropped.
    pub dropped: u64,
    /// Jobs that were given back.
    pub rejected: u64,
    /// Callbacks that have panicked on a worker.
    pub callbacks_panicked: u64,
    /// How long jobs have waited, in nanoseconds: those that were timed.
    pub waited: histogram::Snapshot,
}

static GLOBAL: OnceLock<ThreadPool> = OnceLock::new();

/// The one pool of this process (the seed's `get_thread_pool`).
///
/// Made at its first use with `max_workers` threads, at least one, unless [`init`] was before; from then on it stays as it is, and
/// `max_workers` has no effect: [`ThreadPool::resize`] has. It is never dropped: whoever must not lose what waits shuts it down.
///
/// # Panics
/// At its first use, if the operating system has no more threads.
///
/// # Example
/// ```
/// use daur_std::performance::pool::thread_pool;
///
/// let sum = thread_pool(2).submit(|| (1..=100).sum::<u32>())?;
/// assert_eq!(sum.join()?, 5_050);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "get_thread_pool")]
pub fn thread_pool(max_workers: usize) -> &'static ThreadPool {
    GLOBAL.get_or_init(|| ThreadPool::new(Config { workers: max_workers.clamp(1, MAX_WORKERS), ..Config::DEFAULT }))
}

/// Makes `pool` the one that [`thread_pool`] gives.
///
/// # Errors
/// Gives `pool` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(pool: ThreadPool) -> Result<(), ThreadPool> {
    GLOBAL.set(pool)
}
