//! Tasks at their times, on tokio.

#[cfg(feature = "cron")]
mod cron;
mod job;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "cron")]
pub use cron::{Cron, CronError};
pub use job::{Calendar, Context, Job, Journal, Kept, Refused};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use daur_core::services::scheduler::{
    self as machine, Error, Id, Info, Outcome, Plan, Repeat, Run, Scheduler, Snapshot, Status,
};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};

use crate::clock::{SystemWallClock, TokioClock};
use crate::shared::StdShared;
use job::{Entry, Face, Last, Planned, Went, Work, held, unix};

/// Tasks that there may be at once.
pub const PLACES: usize = 1_024;

/// How long a calendar is not looked at: a wall clock that is set meanwhile is noticed then.
const LOOK: Duration = Duration::from_secs(30);
/// By how much the two clocks may drift apart before the wall clock counts as set.
const DRIFT_NS: i64 = 1_000_000_000;
/// A wall clock that is set back further was wrong; by less, its times have been.
const BACK_NS: i64 = 3 * 3_600 * DRIFT_NS;
/// Between the runs of a job in a calendar as the machine sees it: it is told of the next one in time.
const DECADE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Times of a calendar that are counted as missed.
const MOST_MISSED: u32 = 10_000;

/// Tells tokio's time, decades ahead: what was due before the process began has a moment too.
#[derive(Clone, Copy)]
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Instant {
        TokioClock.now() + Duration::from_secs(2_000_000_000)
    }
}

type Machine = Scheduler<Arc<Entry>, PLACES>;

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

struct Inner {
    machine: StdShared<Box<Machine>, Ahead>,
    wall: Box<dyn WallClock + Send + Sync>,
    journal: Option<Box<dyn Journal>>,
    /// By place, also of tasks that have ended.
    faces: Mutex<HashMap<u32, (Id, Arc<Face>)>>,
    /// Jobs that are kept, by name.
    names: Mutex<HashMap<Arc<str>, Id>>,
    calendars: Mutex<Vec<(Id, Arc<Entry>)>>,
    runs: Mutex<Runs>,
    running: watch::Sender<usize>,
    wake: Notify,
}

#[derive(Default)]
struct Runs {
    next: u64,
    under_way: HashMap<u64, UnderWay>,
}

struct UnderWay {
    entry: Arc<Entry>,
    /// Of those that do not block a thread.
    abort: Option<AbortHandle>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
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

impl Inner {
    /// Nanoseconds since 1970.
    fn wall_now(&self) -> Option<i64> {
        self.wall.unix_now().map(nanos)
    }

    fn entry(&self, id: Id) -> Option<Arc<Entry>> {
        self.machine.with(|machine, _| machine.task(id).cloned())
    }

    fn forget(&self, entry: &Entry) {
        if let Some(journal) = self.journal.as_ref().filter(|_| entry.job.is_kept) {
            let _writing = held(&entry.writing);
            let over = Kept { next: None, ..held(&entry.row).clone() };
            // Without a name it is not written any more.
            held(&entry.row).name.clear();
            if journal.forget(&entry.job.name).is_err() {
                // Perhaps it can be written that it is over. If not, the caller has cancelled what a restart brings back.
                let _ = journal.save(&over);
            }
        }
    }

    /// `wall` has the due time and the present, by the wall clock.
    fn put(&self, entry: Entry, plan: Plan, wall: Option<(i64, i64)>) -> Result<Id, Refused> {
        let entry = Arc::new(entry);
        let taken = self.machine.with(|machine, now| {
            let due = match wall {
                None => now + plan.delay,
                Some((due, wall)) => moved(now, due.saturating_sub(wall)),
            };
            *held(&entry.planned) = wall.map(|(wall, _)| Planned { at: due, wall });
            machine.schedule_at(Arc::clone(&entry), plan, due)
        });
        match taken {
            Ok(id) => {
                held(&self.faces).insert(place(id), (id, Arc::clone(&entry.face)));
                if entry.job.calendar.is_some() {
                    held(&self.calendars).push((id, entry));
                }
                self.wake.notify_one();
                Ok(id)
            }
            Err(refused) => {
                let error = match &refused {
                    machine::Refused::Full(_) => None,
                    machine::Refused::Invalid(_, error) => Some(*error),
                };
                drop(refused);
                let job = entry.job.clone();
                Err(match error {
                    None => Refused::Full(job),
                    Some(error) => Refused::Invalid(job, error),
                })
            }
        }
    }

    /// The next due time of a task was moved by hand.
    fn moved(&self, id: Id) {
        self.wake.notify_one();
        let Some(entry) = self.entry(id) else { return };
        if self.note_next(id, &entry) {
            // If it cannot be written, the older due time is late after a restart.
            let _ = entry.save(self.journal.as_deref());
        }
    }

    /// Notes the next due time as the machine has it now, if it has one. Not for calendars, which are told to the machine and not by it.
    fn note_next(&self, id: Id, entry: &Entry) -> bool {
        let (info, now) = self.machine.with(|machine, now| (machine.info(id), now));
        let Some(at) = info.ok().and_then(|info| info.next_start) else { return false };
        let Some(wall) = self.wall_now() else { return false };
        if !entry.job.is_kept && entry.job.calendar.is_none() || at.since(now) > Duration::from_nanos(DECADE.as_nanos() / 2) {
            return false;
        }
        let mut planned = held(&entry.planned);
        let wall = match *planned {
            // As the one before it, so that the two are as far apart as on the machine's clock.
            Some(before) => before.wall.saturating_add(apart(before.at, at)),
            None => wall.saturating_add(apart(now, at)),
        };
        *planned = Some(Planned { at, wall });
        held(&entry.row).next = Some(wall);
        true
    }

    /// Begins the next run that is due.
    fn begin(self: &Arc<Self>) -> bool {
        let begun = self.machine.with(|machine, now| {
            let due = machine.poll(now)?;
            let (run, entry, at) = (due.run, Arc::clone(due.task), (due.due, due.missed, due.asked));
            let next = machine.info(run.id()).ok().and_then(|info| info.next_start);
            Some((run, entry, at, next, now))
        });
        let Some((run, entry, (due, mut missed, asked), next, now)) = begun else { return false };
        let wall = self.wall_now();
        let mut due_wall = None;
        if let Some(wall) = wall {
            held(&entry.face.last).start = Some(unix(wall));
            due_wall = match &entry.job.calendar {
                None => entry.take(due, asked, next, now, wall),
                Some(calendar) => self.take_time(run.id(), &entry, &**calendar, asked, now, wall, &mut missed),
            };
            let mut row = held(&entry.row);
            row.last = Some(wall);
            row.runs = row.runs.saturating_add(1);
        }
        let cancel = entry.cancel.subscribe();
        let context = Context { id: run.id(), due: due_wall.map(unix), missed, cancel };
        let number = {
            let mut runs = held(&self.runs);
            runs.next += 1;
            let number = runs.next;
            runs.under_way.insert(number, UnderWay { entry: Arc::clone(&entry), abort: None });
            self.running.send_replace(runs.under_way.len());
            number
        };
        let guard = Guard { inner: Arc::clone(self), entry: Arc::clone(&entry), run: Some(run), number };
        let is_blocking = matches!(entry.job.work, Work::Blocking(_));
        let abort = tokio::spawn(perform(guard, context)).abort_handle();
        if !is_blocking && let Some(run) = held(&self.runs).under_way.get_mut(&number) {
            run.abort = Some(abort);
        }
        true
    }

    /// A run of a calendar's time has begun: the next one is planned.
    #[expect(clippy::too_many_arguments, reason = "what the beginning of a run knows")]
    fn take_time(
        &self,
        id: Id,
        entry: &Entry,
        calendar: &dyn Calendar,
        asked: bool,
        now: Instant,
        wall: i64,
        missed: &mut u32,
    ) -> Option<i64> {
        let mut planned = held(&entry.planned);
        let due = planned.map_or(wall, |planned| planned.wall);
        if asked {
            return None;
        }
        let mut next = calendar.next(unix(due)).map(nanos);
        while let Some(time) = next.filter(|time| *time <= wall && *missed < MOST_MISSED) {
            *missed += 1;
            next = calendar.next(unix(time)).map(nanos);
        }
        let next = if *missed < MOST_MISSED { next } else { calendar.next(unix(wall)).map(nanos) };
        self.plan_time(id, entry, &mut planned, next, now, wall);
        Some(due)
    }

    /// Tells the machine of a calendar's next time; if there is none, it stays a decade away.
    fn plan_time(&self, id: Id, entry: &Entry, planned: &mut Option<Planned>, next: Option<i64>, now: Instant, wall: i64) {
        held(&entry.row).next = next;
        *planned = next.map(|next| Planned { at: moved(now, next.saturating_sub(wall)), wall: next });
        if let Some(next) = *planned {
            // It has not ended: its run is under way, or it waits for its time.
            let _ = self.machine.with(|machine, now| machine.reschedule(id, next.at.since(now), now));
        }
    }

    /// Looks whether the wall clock was set, and whether a time of a calendar was dropped for being late.
    fn look_at_calendars(&self) {
        let mut calendars = held(&self.calendars);
        calendars.retain(|(id, _)| self.machine.with(|machine, _| machine.status(*id).is_ok_and(|is| !is.is_ended())));
        let Some(wall) = self.wall_now() else { return };
        for (id, entry) in &*calendars {
            let (info, now) = self.machine.with(|machine, now| (machine.info(*id), now));
            let (Ok(info), Some(calendar)) = (info, &entry.job.calendar) else { continue };
            let mut planned = held(&entry.planned);
            let Some(next) = *planned else { continue };
            let off = apart(next.at, moved(now, next.wall.saturating_sub(wall)));
            let is_passed = info.next_start.is_some_and(|at| at.since(now).as_nanos() > DECADE.as_nanos() / 2);
            if is_passed || off > BACK_NS {
                let time = calendar.next(unix(wall)).map(nanos);
                self.plan_time(*id, entry, &mut planned, time, now, wall);
            } else if off.abs() > DRIFT_NS {
                self.plan_time(*id, entry, &mut planned, Some(next.wall), now, wall);
            }
        }
    }

    /// How long there is nothing to do.
    fn sleep(&self) -> Option<Duration> {
        let pause = self.machine.with(|machine, now| machine.poll_at().map(|at| at.since(now)));
        let look = if held(&self.calendars).is_empty() { None } else { Some(LOOK) };
        pause.into_iter().chain(look).min()
    }
}

impl Entry {
    /// A run has begun: its due time by the wall clock, and what is next.
    fn take(&self, due: Instant, asked: bool, next: Option<Instant>, now: Instant, wall: i64) -> Option<i64> {
        if !self.job.is_kept {
            return None;
        }
        let mut planned = held(&self.planned);
        let before = *planned;
        let due_wall = before.filter(|_| !asked).map(|before| before.wall.saturating_add(apart(before.at, due)));
        *planned = match (next, before) {
            (Some(at), Some(before)) => {
                // A wall clock that was set in between is followed from here on.
                let expected = before.wall.saturating_add(apart(before.at, now));
                let steady = before.wall.saturating_add(apart(before.at, at));
                let is_steady = wall.abs_diff(expected) <= DRIFT_NS.unsigned_abs();
                Some(Planned { at, wall: if is_steady { steady } else { wall.saturating_add(apart(now, at)) } })
            }
            _ => None,
        };
        let then = planned.map(|planned| planned.wall).or_else(|| self.pause.map(|pause| after(wall, pause)));
        held(&self.row).next = then;
        due_wall
    }
}

/// Begins what is due, and sleeps.
async fn drive(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    loop {
        inner.look_at_calendars();
        while !*stop.borrow() && inner.begin() {}
        let pause = inner.sleep();
        let sleep = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = inner.wake.notified() => {}
            () = sleep => {}
        }
    }
}

/// A run under way: however it goes, the machine is told.
struct Guard {
    inner: Arc<Inner>,
    entry: Arc<Entry>,
    run: Option<Run>,
    number: u64,
}

impl Guard {
    fn finish(&mut self, went: Went) {
        let Some(run) = self.run.take() else { return };
        let id = run.id();
        let (outcome, error) = match went {
            Went::Well => (Outcome::Done, None),
            Went::Wrong(text) => (Outcome::Failed(0), Some(text)),
            Went::Panicked(text) => (Outcome::Panicked, Some(text)),
        };
        if let Some(error) = error {
            let mut row = held(&self.entry.row);
            row.failed = row.failed.saturating_add(1);
            row.error = Some(error.clone());
            held(&self.entry.face.last).error = Some(error);
        }
        // What the machine gives back at a task's end is dropped outside.
        let ended = self.inner.machine.with(|machine, now| machine.finish(run, outcome, now));
        drop(ended);
        if self.entry.pause.is_some() {
            self.inner.note_next(id, &self.entry);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish(Went::Wrong("was given up".to_owned()));
        let mut runs = held(&self.inner.runs);
        let ended = runs.under_way.remove(&self.number);
        self.inner.running.send_replace(runs.under_way.len());
        drop(runs);
        drop(ended);
        self.inner.wake.notify_one();
    }
}

/// One run, from what is written before it to what is written after it.
async fn perform(mut guard: Guard, context: Context) {
    if let Err(text) = save(&guard).await {
        guard.finish(Went::Wrong(text));
        return;
    }
    let went = match guard.entry.job.work.clone() {
        Work::Blocking(work) => {
            let run = move || catch_unwind(AssertUnwindSafe(|| work(&context)));
            match spawn_blocking(run).await {
                Ok(Ok(ended)) => Went::of(ended),
                Ok(Err(payload)) => Went::panicked(payload),
                Err(_) => return,
            }
        }
        Work::Future(work) => match catch_unwind(AssertUnwindSafe(|| work(context))) {
            Ok(mut running) => {
                let poll = |cx: &mut std::task::Context<'_>| {
                    match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                        Ok(poll) => poll.map(Went::of),
                        Err(payload) => std::task::Poll::Ready(Went::panicked(payload)),
                    }
                };
                let went = std::future::poll_fn(poll).await;
                match catch_unwind(AssertUnwindSafe(|| drop(running))) {
                    Ok(()) => went,
                    Err(payload) => Went::panicked(payload),
                }
            }
            Err(payload) => Went::panicked(payload),
        },
    };
    guard.finish(went);
    // What it said is news, no promise: the next save has it.
    let _ = save(&guard).await;
}

/// Writes the row of a kept job.
async fn save(guard: &Guard) -> Result<(), String> {
    if !guard.entry.job.is_kept {
        return Ok(());
    }
    let (inner, entry) = (Arc::clone(&guard.inner), Arc::clone(&guard.entry));
    let written = spawn_blocking(move || entry.save(inner.journal.as_deref())).await;
    written.unwrap_or_else(|_| Err("could not be kept".to_owned()))
}

#[expect(clippy::cast_possible_truncation, reason = "the place is the lower half")]
const fn place(id: Id) -> u32 {
    id.to_bits() as u32
}

fn nanos(at: UnixTime) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn after(wall: i64, pause: Duration) -> i64 {
    wall.saturating_add_unsigned(pause.as_nanos())
}

/// From `from` to `to`, in nanoseconds.
fn apart(from: Instant, to: Instant) -> i64 {
    let (ahead, behind) = (to.since(from).as_nanos(), from.since(to).as_nanos());
    i64::try_from(ahead).unwrap_or(i64::MAX).saturating_sub_unsigned(behind)
}

fn moved(at: Instant, by: i64) -> Instant {
    Instant::from_nanos(at.as_nanos().saturating_add_signed(by))
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
