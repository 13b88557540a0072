//! Tasks at their times, on tokio.

#[cfg(feature = "cron")]
mod cron;
mod driver;
mod job;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "cron")]
pub use cron::{Cron, CronError};
pub use job::{Calendar, Context, Job, Journal, Kept, Refused};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use std::sync::{Arc, Mutex, OnceLock};

use daur_core::services::scheduler::{self as machine, Error, Id, Info, Plan, Repeat, Scheduler, Snapshot, Status};
use daur_core::shared::Shared;
use daur_core::time::{Duration, UnixTime, WallClock};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::clock::SystemWallClock;
use crate::shared::StdShared;
use driver::{Ahead, DECADE, Inner, after, drive, nanos, place};
use job::{Entry, Last, held, unix};

/// Tasks that there may be at once.
pub const PLACES: usize = 1_024;

/// Runs jobs at their times, as a [`Scheduler`] of core says.
///
/// One task sleeps until something is due; every run is a task of its own, or has a thread if it blocks one.
///
/// # Rules
/// 1. Between [`start`](Self::start) and [`stop`](Self::stop) runs begin as the rules of [`Scheduler`] say; before and after none does.
/// 2. A run that panics or fails is that run's failure, and what it said is kept with its task.
/// 3. `stop` waits for the runs under way. At the deadline, those that wait are dropped, and those that block a thread are asked to stop and left
///    behind; their names are told.
/// 4. [`cancel`](Self::cancel) asks a run to stop by its [`Context`], and ends it nowhere else.
/// 5. A job that is [kept](Job::kept) is in the journal with its next due time before its run begins: no due time has a second run, even if the process is
///    killed; the run that was under way then is lost. If that cannot be written, the run has failed without having begun.
/// 6. After a restart, [`schedule`](Self::schedule) under the same name and plan goes on where it was: due times that have passed are missed ones, for
///    which [`Missed`](machine::Missed) and the grace hold.
/// 7. The wall clock matters to jobs in a [calendar](Job::at) alone. If it is set, they follow within half a minute; interval jobs do not.
/// 8. Set back by less than three hours, no time of a calendar comes twice.
///
/// # Cost
/// 200 KB for 1,024 places; a run takes one task, and two writes of a row if it is kept.
///
/// # Errors
/// [`Refused`] has the job.
///
/// # Sharing
/// `&self` everywhere. Dropped, no more runs begin; those under way go on.
///
/// # Example
/// ```
/// use daur_std::core::services::scheduler::{Plan, Status};
/// use daur_std::core::time::Duration;
/// use daur_std::services::scheduler::{Job, TaskScheduler};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let scheduler = TaskScheduler::default();
/// scheduler.start();
/// let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
/// let job = Job::future("tick", move |context| {
///     let sender = sender.clone();
///     async move { sender.send(context.missed).map_err(|_| "nobody listens") }
/// });
/// let id = scheduler.schedule(job, Plan::every(Duration::from_millis(10))).unwrap();
/// for _ in 0..3 {
///     assert_eq!(receiver.recv().await, Some(0));
/// }
/// scheduler.pause(id).unwrap();
/// assert!(scheduler.stop(Duration::from_secs(5)).await.is_empty());
/// assert_eq!(scheduler.task(id).unwrap().status, Status::Paused);
/// # });
/// ```
#[derive(Debug)]
pub struct TaskScheduler {
    inner: Arc<Inner>,
    driving: Mutex<Option<Driving>>,
}

#[derive(Debug)]
struct Driving {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

/// Shows one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: Id,
    /// The name of its job.
    pub name: Arc<str>,
    /// What it is doing.
    pub status: Status,
    /// The rest of what the machine knows; its moments are on a clock of its own.
    pub info: Info,
    /// When the last run began.
    pub last_start: Option<UnixTime>,
    /// When the next one begins.
    pub next_start: Option<UnixTime>,
    /// What the last one that did not go well said.
    pub last_error: Option<String>,
}

impl Default for TaskScheduler {
    fn default() -> Self {
        Self::new(machine::Config::DEFAULT)
    }
}

impl TaskScheduler {
    /// A scheduler without tasks, not started.
    #[must_use]
    pub fn new(config: machine::Config) -> Self {
        Self::with_wall_clock(config, SystemWallClock)
    }

    /// One that asks `wall` for the time of the day. What it waits by is tokio's time.
    #[must_use]
    pub fn with_wall_clock(config: machine::Config, wall: impl WallClock + Send + Sync + 'static) -> Self {
        let inner = Inner {
            machine: StdShared::with_clock(Box::new(Scheduler::new(config)), Ahead),
            wall: Box::new(wall),
            journal: None,
            faces: Mutex::default(),
            names: Mutex::default(),
            calendars: Mutex::default(),
            runs: Mutex::default(),
            running: watch::Sender::new(0),
            wake: Notify::new(),
        };
        Self { inner: Arc::new(inner), driving: Mutex::new(None) }
    }

    /// The same, with a journal for jobs that are [kept](Job::kept). Before anything is started or scheduled: later it changes nothing.
    #[must_use]
    pub fn keeping(mut self, journal: impl Journal + 'static) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.journal = Some(Box::new(journal));
        }
        self
    }

    /// Begins to run what is due. Says whether it had not begun before.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self) -> bool {
        let mut driving = held(&self.driving);
        if driving.as_ref().is_some_and(|driving| !driving.handle.is_finished()) {
            return false;
        }
        let (stop, stopped) = watch::channel(false);
        *driving = Some(Driving { stop, handle: tokio::spawn(drive(Arc::clone(&self.inner), stopped)) });
        true
    }

    /// Lets no run begin any more, and waits up to `deadline` for those under way. The names of those that were not done by then.
    pub async fn stop(&self, deadline: Duration) -> Vec<Arc<str>> {
        let driving = held(&self.driving).take();
        if let Some(driving) = driving {
            driving.stop.send_replace(true);
            // It neither panics nor is it aborted; if the runtime is going down, it has ended.
            let _ = driving.handle.await;
        }
        let mut running = self.inner.running.subscribe();
        let idle = running.wait_for(|running| *running == 0);
        if tokio::time::timeout(deadline.into(), idle).await.is_ok() {
            return Vec::new();
        }
        let runs = held(&self.inner.runs);
        let mut left: Vec<_> = runs.under_way.values().collect();
        left.sort_by(|a, b| a.entry.face.name.cmp(&b.entry.face.name));
        for run in &left {
            run.entry.cancel.send_replace(true);
            if let Some(abort) = &run.abort {
                abort.abort();
            }
        }
        left.into_iter().map(|run| Arc::clone(&run.entry.face.name)).collect()
    }

    /// Whether runs begin.
    #[must_use]
    pub fn is_running(&self) -> bool {
        held(&self.driving).as_ref().is_some_and(|driving| !driving.handle.is_finished())
    }

    /// Takes a job in. One that is [kept](Job::kept) is written to the journal before this returns.
    ///
    /// # Errors
    /// [`Refused`] gives it back.
    #[doc(alias = "schedule_task")]
    pub fn schedule(&self, job: Job, plan: Plan) -> Result<Id, Refused> {
        let inner = &self.inner;
        let text = match &job.calendar {
            Some(calendar) => calendar.text(),
            None => format!("{:?} {:?}", plan.repeat, plan.times),
        };
        let plan = if job.calendar.is_some() {
            Plan { repeat: Repeat::FixedRate(DECADE), times: None, missed: machine::Missed::Skip, ..plan }
        } else {
            plan
        };
        if let Err(error) = plan.validate() {
            return Err(Refused::Invalid(job, error));
        }
        if !job.is_kept && job.calendar.is_none() {
            return inner.put(Entry::new(job, &plan, Kept::default()), plan, None);
        }
        let Some(wall) = inner.wall_now() else { return Err(Refused::NoWallClock(job)) };
        let mut names = held(&inner.names);
        if job.is_kept {
            names.retain(|_, id| inner.machine.with(|machine, _| machine.status(*id).is_ok_and(|is| !is.is_ended())));
            if names.contains_key(&job.name) {
                return Err(Refused::Taken(job));
            }
        }
        let found = match (&inner.journal, job.is_kept) {
            (None, true) => return Err(Refused::NoJournal(job)),
            (Some(journal), true) => match journal.load(&job.name) {
                Ok(found) => found.filter(|row| row.plan == text),
                Err(error) => return Err(Refused::Journal(job, error)),
            },
            (_, false) => None,
        };
        let (row, plan) = match resumed(found, &job, plan, text, wall) {
            Some(resumed) => resumed,
            None => return Err(Refused::Over(job)),
        };
        if let Some(journal) = inner.journal.as_ref().filter(|_| job.is_kept)
            && let Err(error) = journal.save(&row)
        {
            return Err(Refused::Journal(job, error));
        }
        let (name, is_kept, due) = (Arc::clone(&job.name), job.is_kept, row.next.unwrap_or(wall));
        let id = inner.put(Entry::new(job, &plan, row), plan, Some((due, wall)))?;
        if is_kept {
            names.insert(name, id);
        }
        Ok(id)
    }

    /// Ends a task. `false` if it runs: its run is asked to stop, and the end of that is its end. One that was kept is forgotten.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled already.
    #[doc(alias = "cancel_task")]
    pub fn cancel(&self, id: Id) -> Result<bool, Error> {
        let inner = &self.inner;
        let entry = inner.entry(id);
        let ended = inner.machine.with(|machine, _| machine.cancel(id))?;
        inner.wake.notify_one();
        if let Some(entry) = entry {
            entry.cancel.send_replace(true);
            inner.forget(&entry);
        }
        Ok(ended.is_some())
    }

    /// Lets no run of it begin until [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn pause(&self, id: Id) -> Result<(), Error> {
        self.inner.machine.with(|machine, _| machine.pause(id))
    }

    /// Lets its runs begin again.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn resume(&self, id: Id) -> Result<(), Error> {
        self.inner.machine.with(|machine, now| machine.resume(id, now))?;
        self.inner.moved(id);
        Ok(())
    }

    /// Asks for a run at once, beside those that are planned.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn run_now(&self, id: Id) -> Result<(), Error> {
        self.inner.machine.with(|machine, now| machine.run_now(id, now))?;
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Makes it due `delay` from now instead.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn reschedule(&self, id: Id, delay: Duration) -> Result<(), Error> {
        self.inner.machine.with(|machine, now| machine.reschedule(id, delay, now))?;
        self.inner.moved(id);
        Ok(())
    }

    /// What a task is doing; of one that has ended, until its place is needed.
    #[must_use]
    #[doc(alias = "get_task_status")]
    pub fn task(&self, id: Id) -> Option<Task> {
        let (known, face) = held(&self.inner.faces).get(&place(id)).cloned()?;
        if known != id {
            return None;
        }
        let (info, now) = self.inner.machine.with(|machine, now| (machine.info(id), now));
        let info = info.ok()?;
        let Last { start, error } = held(&face.last).clone();
        let wall = self.inner.wall.unix_now();
        let next = info.next_start.zip(wall).map(|(next, wall)| {
            let (ahead, behind) = (next.since(now).as_millis(), now.since(next).as_millis());
            UnixTime::from_millis(wall.as_millis().saturating_add(ahead).saturating_sub(behind))
        });
        let name = Arc::clone(&face.name);
        Some(Task { id, name, status: info.status, info, last_start: start, next_start: next, last_error: error })
    }

    /// All tasks that have not ended.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let ids: Vec<_> = self.inner.machine.with(|machine, _| machine.iter().map(|(id, _)| id).collect());
        ids.into_iter().filter_map(|id| self.task(id)).collect()
    }

    /// What it has done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.machine.with(|machine, _| machine.snapshot())
    }
}

impl Drop for TaskScheduler {
    fn drop(&mut self) {
        if let Some(driving) = held(&self.driving).take() {
            driving.stop.send_replace(true);
        }
    }
}

/// The row and plan of a job, as it was before a restart if it was; `None` if nothing is left of it.
fn resumed(found: Option<Kept>, job: &Job, plan: Plan, text: String, wall: i64) -> Option<(Kept, Plan)> {
    let first = match &job.calendar {
        Some(calendar) => nanos(calendar.next(unix(wall))?),
        None => after(wall, plan.delay),
    };
    let Some(row) = found else {
        let name = job.name.to_string();
        return Some((Kept { name, plan: text, next: Some(first), ..Kept::default() }, plan));
    };
    let times = match plan.times {
        Some(times) => Some(times.checked_sub(u32::try_from(row.runs).ok()?).filter(|left| *left > 0)?),
        None => None,
    };
    // With a wall clock that was set back meanwhile, it is not further away than it ever was.
    let next = row.next?;
    let furthest = match plan.repeat {
        _ if job.calendar.is_some() => i64::MAX,
        Repeat::FixedRate(period) | Repeat::FixedDelay(period) => after(wall, period.max(plan.delay)),
        Repeat::Once => first,
    };
    Some((Kept { next: Some(next.min(furthest)), ..row }, Plan { times, ..plan }))
}

static GLOBAL: OnceLock<TaskScheduler> = OnceLock::new();

/// The one scheduler of this process (the seed's `get_task_scheduler`), made with the defaults at its first use unless [`init`] was
/// before. It runs jobs once it is [started](TaskScheduler::start).
///
/// # Example
/// ```
/// use daur_std::core::services::scheduler::{Plan, Priority, Status};
/// use daur_std::core::time::Duration;
/// use daur_std::services::scheduler::{Job, task_scheduler};
///
/// let plan = Plan { priority: Priority::High, delay: Duration::from_secs(10), ..Plan::every(Duration::from_secs(60)) };
/// let job = Job::blocking("sweep", |_| Ok::<(), std::io::Error>(()));
/// let id = task_scheduler().schedule(job, plan).unwrap();
/// assert_eq!(task_scheduler().task(id).unwrap().status, Status::Scheduled);
/// assert_eq!(task_scheduler().cancel(id), Ok(true));
/// ```
#[doc(alias = "get_task_scheduler")]
pub fn task_scheduler() -> &'static TaskScheduler {
    GLOBAL.get_or_init(TaskScheduler::default)
}

/// Makes `scheduler` the one that [`task_scheduler`] gives.
///
/// # Errors
/// Gives `scheduler` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(scheduler: TaskScheduler) -> Result<(), Box<TaskScheduler>> {
    GLOBAL.set(scheduler).map_err(Box::new)
}
