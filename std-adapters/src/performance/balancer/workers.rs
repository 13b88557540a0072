//! Tasks spread over threads, each with a queue of its own.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use daur_core::performance::balancer::{Any, Balancer, Config, Outcome, PolicyConfig, Snapshot, Ticket};
use daur_core::shared::Shared;
use daur_core::time::Duration;

use crate::performance::pool::{Rejected, Why};
use crate::rng::os_seed;
use crate::shared::StdShared;

/// As many threads as one balancer has at most.
const MAX_WORKERS: usize = 256;

/// Says how many threads there are, and how much waits for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Threads; 1 to 256.
    #[doc(alias = "num_workers")]
    pub workers: usize,
    /// Tasks that wait for one thread at most, beside the one that it is doing.
    pub queue: u32,
    /// Who gets the next task.
    pub policy: PolicyConfig,
    /// What the threads are called, with a number behind it.
    pub name: &'static str,
    /// Bytes of each thread's stack; `None` for what the system gives.
    pub stack: Option<usize>,
}

impl Workers {
    /// 4 threads of 1,024 waiting tasks each, the least loaded one first.
    pub const DEFAULT: Self =
        Self { workers: 4, queue: 1_024, policy: PolicyConfig::LeastLoaded, name: "balanced", stack: None };
}

impl Default for Workers {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what became of all tasks of a balancer that was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Done.
    pub done: u64,
    /// Panicked.
    pub panicked: u64,
    /// Dropped before they had begun.
    pub dropped: u64,
}

type Machine = Balancer<MAX_WORKERS, Any>;

/// Spreads tasks over threads, each with a bounded queue of its own (`LoadBalancer`).
///
/// A task stays with the worker that was picked for it, which [`submit_task`](Self::submit_task) names: what keeps something
/// for each worker can rely on it. Where any free thread may take any task, and somebody waits for what comes of it,
/// use the [`pool`](crate::performance::pool).
///
/// # Rules
/// 1. A task goes to the worker that the policy picks, and the worker's load is what waits for it and what it is doing.
/// 2. When every queue is full, or after a shutdown, the task is given back.
/// 3. A task that panics counts as failed; its worker lives on.
/// 4. [`shutdown`](Self::shutdown) does what was taken in; [`shutdown_now`](Self::shutdown_now) only what has begun. Both say what
///    became of all tasks. Dropping the balancer is `shutdown`.
///
/// # Cost
/// A thread for each worker, 30 KiB, and one allocation a task. A pick looks at up to 16 workers, and at a few
/// if there are more.
///
/// # Errors
/// [`Rejected`], with the task.
///
/// # Sharing
/// `&self` everywhere. A task may submit tasks, but not wait for them: its own worker may have got them. Shut down by one of
/// its own tasks, it waits for the others only.
///
/// # Example
/// ```
/// use daur_std::performance::balancer::{LoadBalancer, Workers};
///
/// let balancer = LoadBalancer::try_new(Workers { workers: 2, ..Workers::DEFAULT })?;
/// for _ in 0..10 {
///     let worker = balancer.submit_task(|| ()).expect("there is room");
///     assert!(worker < 2);
/// }
/// assert_eq!(balancer.loads().len(), 2);
/// assert_eq!(balancer.shutdown().done, 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "get_load_balancer")]
pub struct LoadBalancer {
    shared: Arc<StdShared<Box<Machine>>>,
    /// None after a shutdown.
    queues: RwLock<Option<Vec<Sender<Task>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopped: Arc<AtomicBool>,
    workers: usize,
}

/// One task with the ticket that counts it, which is given back whatever becomes of the task.
struct Task {
    run: Option<Box<dyn FnOnce() + Send>>,
    ticket: Option<Ticket>,
    shared: Arc<StdShared<Box<Machine>>>,
}

impl Task {
    fn run(mut self) {
        let Some(run) = self.run.take() else { return };
        let outcome = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(()) => Outcome::Success,
            Err(payload) => {
                contain(|| drop(payload));
                Outcome::Failure
            }
        };
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.with(|balancer, now| balancer.done(ticket, outcome, now));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // What the task owns may panic when it is dropped, and must not take the worker with it.
        let run = self.run.take();
        contain(|| drop(run));
        self.settle(Outcome::Cancelled);
    }
}

impl LoadBalancer {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if there are none or more than 256, or the policy is invalid; else the
    /// system's, if it has no more threads.
    pub fn try_new(config: Workers) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        if config.workers == 0 || config.workers > MAX_WORKERS {
            return Err(invalid(format!("balancer: {} workers; 1 to {MAX_WORKERS} are allowed", config.workers)));
        }
        let policy = Any::try_new(config.policy, os_seed()).map_err(|error| invalid(error.to_string()))?;
        // A task comes back in any case, so no lease must end while it waits; and it is not the thread that fails.
        let limits = Config {
            workers: u16::try_from(config.workers).ok(),
            lease: Duration::MAX,
            max_load: Some(config.queue.saturating_add(1)),
            eject: None,
            panic_pct: 0,
        };
        let machine = Balancer::try_new(limits, policy).map_err(|error| invalid(error.to_string()))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let balancer = Self {
            shared: Arc::new(StdShared::new(Box::new(machine))),
            queues: RwLock::new(Some(Vec::with_capacity(config.workers))),
            threads: Mutex::new(Vec::with_capacity(config.workers)),
            stopped,
            workers: config.workers,
        };
        for number in 0..config.workers {
            // Bounded by `max_load`: whoever has a ticket has a place.
            let (queue, tasks) = unbounded();
            let stopped = Arc::clone(&balancer.stopped);
            let mut builder = thread::Builder::new().name(format!("{}-{number}", config.name));
            if let Some(stack) = config.stack {
                builder = builder.stack_size(stack);
            }
            let thread = builder.spawn(move || work(&tasks, &stopped))?;
            balancer.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            let mut queues = balancer.queues.write().unwrap_or_else(PoisonError::into_inner);
            queues.get_or_insert_default().push(queue);
        }
        Ok(balancer)
    }

    /// Gives `task` to one of the workers, and says to which: its number, from 0.
    ///
    /// # Errors
    /// [`Rejected`] with the task.
    pub fn submit_task<F: FnOnce() + Send + 'static>(&self, task: F) -> Result<usize, Rejected<F>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queues) = queues.as_ref() else { return Err(Rejected { job: task, why: Why::ShutDown }) };
        let Ok(ticket) = self.shared.with(|balancer, now| balancer.pick(now)) else {
            return Err(Rejected { job: task, why: Why::Full });
        };
        let worker = ticket.worker();
        let task = Task { run: Some(Box::new(task)), ticket: Some(ticket), shared: Arc::clone(&self.shared) };
        if let Some(queue) = queues.get(worker) {
            // A worker ends only after every sender is gone, and this one is held.
            _ = queue.send(task);
        }
        Ok(worker)
    }

    /// What waits for each worker, with what it is doing.
    #[doc(alias = "get_loads")]
    pub fn loads(&self) -> Vec<u32> {
        self.shared.with(|balancer, _| (0..self.workers).map(|worker| balancer.load(worker)).collect())
    }

    /// Copies out what is worth showing. `failed` are tasks that panicked, `cancelled` those that a shutdown dropped.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.with(|balancer, _| balancer.snapshot())
    }

    /// Takes no more tasks, does those that it has, and waits until they are done. Called once more meanwhile, it
    /// does not wait, and reports what has happened so far.
    pub fn shutdown(&self) -> Report {
        let queues = self.queues.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(queues);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let me = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            _ = thread.join(); // workers do not panic
        }
        let shown = self.snapshot();
        Report { done: shown.succeeded, panicked: shown.failed, dropped: shown.cancelled }
    }

    /// Takes no more tasks, drops those that have not begun, and waits until the others are done.
    pub fn shutdown_now(&self) -> Report {
        self.stopped.store(true, Ordering::SeqCst);
        self.shutdown()
    }
}

/// Runs a destructor that must not take a worker with it.
fn contain(run: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { return };
    // What a panic carries may panic as it is dropped, too. The second is left alone for good.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

fn work(tasks: &Receiver<Task>, stopped: &AtomicBool) {
    for task in tasks {
        if stopped.load(Ordering::SeqCst) {
            drop(task);
        } else {
            task.run();
        }
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for LoadBalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadBalancer").field("workers", &self.workers).finish_non_exhaustive()
    }
}

static GLOBAL: OnceLock<LoadBalancer> = OnceLock::new();

/// The one balancer of this process (the seed's `get_load_balancer`), of so many workers, at least 1 and at most 256.
///
/// Made at its first use, unless [`init`] was before: the number counts then, and is passed over later.
///
/// # Panics
/// At its first use, if the system has no threads for it.
///
/// # Example
/// ```
/// use daur_std::performance::balancer::load_balancer;
///
/// let (answer, answered) = std::sync::mpsc::channel();
/// let worker = load_balancer(2).submit_task(move || answer.send(6 * 7).unwrap()).expect("there is room");
/// assert!(worker < 2);
/// assert_eq!(answered.recv(), Ok(42));
/// ```
#[doc(alias = "get_load_balancer")]
pub fn load_balancer(num_workers: usize) -> &'static LoadBalancer {
    GLOBAL.get_or_init(|| {
        let workers = num_workers.clamp(1, MAX_WORKERS);
        LoadBalancer::try_new(Workers { workers, ..Workers::DEFAULT }).expect("threads for the workers")
    })
}

/// Makes `balancer` the one that [`load_balancer`] gives.
///
/// # Errors
/// Gives `balancer` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(balancer: LoadBalancer) -> Result<(), LoadBalancer> {
    GLOBAL.set(balancer)
}
