//! The server's own periodic work, kept by the [scheduler](daur_std::services::scheduler): how often it was done, how that went, when it is due again.
//!
//! # Rules
//! 1. A job never runs beside itself: it begins when it is due, or at once where the run before it has taken longer.
//! 2. A run that panics has failed, with what it said; the next one comes all the same.
//! 3. Whoever asks for a run gets one at once, or right after the one under way; those who ask meanwhile share it.
//! 4. After a stop no run begins; the one under way is waited for. A server that is dropped without one gives it up, and lets go what the jobs hold.
//! 5. A job that is paused runs for those who ask only. One that is cancelled has ended, a run of it under way is given up; the next start of the server
//!    has it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daur_core::services::scheduler::{Config, Error, Id, Plan, Status};
use daur_core::time::{Clock, Duration, Instant, UnixTime};
use daur_std::clock::TokioClock;
use daur_std::services::scheduler::{Job as Task, TaskScheduler};
use serde::Serialize;

/// Names a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Reads all figures, for the dashboard and the history.
    Sample,
    /// Forgets sessions, tokens and locks whose time is over.
    Tidy,
    /// Asks how short memory is.
    Memory,
    /// Finds out what people did.
    Analytics,
    /// Asks itself whether it can do its work.
    Health,
}

impl Job {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sample, Self::Tidy, Self::Memory, Self::Analytics, Self::Health];

    /// Its name in paths.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Tidy => "tidy",
            Self::Memory => "memory",
            Self::Analytics => "analytics",
            Self::Health => "health",
        }
    }

    /// The job of that name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.id() == id)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sample => "Read all figures",
            Self::Tidy => "Forget what has expired",
            Self::Memory => "Watch the memory",
            Self::Analytics => "Find out what people did",
            Self::Health => "Run the health checks",
        }
    }
}

/// What a person may do with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Have it done now.
    Run,
    /// Let no run of it begin.
    Pause,
    /// Let its runs begin again.
    Resume,
    /// End it.
    Cancel,
}

impl Act {
    /// Its name in paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// Knows the jobs.
pub struct Jobs {
    scheduler: TaskScheduler,
    entries: [Entry; Job::ALL.len()],
}

#[derive(Default)]
struct Entry {
    id: Mutex<Option<Id>>,
    /// From the beginning of the last run to the next one, in nanoseconds.
    pause: Arc<AtomicU64>,
}

/// [Ends](Jobs::end) them when it is dropped: the jobs hold what they work on, and that holds them.
pub(crate) struct UntilDropped(pub(crate) Arc<Jobs>);

impl Drop for UntilDropped {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Shows one job.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its name in paths.
    pub id: &'static str,
    /// What it does.
    pub name: &'static str,
    /// `scheduled`, `paused`, `running`, `cancelling`, `cancelled` or `stopped`.
    pub state: &'static str,
    /// From one beginning to the next.
    pub period_ms: u64,
    /// Runs that have ended.
    pub runs: u64,
    /// Those that failed.
    pub failed: u64,
    /// Of these, those that panicked.
    pub panicked: u64,
    /// When the last one began, in milliseconds since 1970.
    pub last_ms: Option<u64>,
    /// How long it took.
    pub last_took_us: Option<u64>,
    /// When the next one begins.
    pub next_ms: Option<u64>,
    /// Whether the last one has failed.
    pub failing: bool,
    /// What the last one that failed said.
    pub last_error: Option<String>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { scheduler: TaskScheduler::new(Config::DEFAULT), entries: Default::default() }
    }
}

impl Jobs {
    fn entry(&self, job: Job) -> &Entry {
        // In the order of `ALL`.
        &self.entries[job as usize]
    }

    /// Begins with what is [kept](Self::keep). Inside a tokio runtime.
    pub fn start(&self) {
        self.scheduler.start();
    }

    /// Does `work` at once and whenever that is due: every `period`, or when `next` says, asked at the end of each run.
    pub fn keep<F>(
        self: &Arc<Self>,
        job: Job,
        period: Duration,
        next: Option<Box<dyn Fn() -> Instant + Send + Sync>>,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (pause, next, last) = (Arc::clone(&self.entry(job).pause), Arc::new(next), Arc::new(Mutex::new(None)));
        pause.store(period.as_nanos(), Ordering::Relaxed);
        let jobs = Arc::downgrade(self);
        let task = Task::future(job.name(), move |context| {
            let (running, jobs, next) = (work(), jobs.clone(), Arc::clone(&next));
            let (pause, last) = (Arc::clone(&pause), Arc::clone(&last));
            async move {
                let began = TokioClock.now();
                let ended = tokio::select! {
                    ended = running => ended,
                    () = context.cancelled() => Err("was cancelled".to_owned()),
                };
                if let (Some(next), Some(jobs)) = (&*next, jobs.upgrade()) {
                    let due = next();
                    pause.store(due.since(began).as_nanos(), Ordering::Relaxed);
                    // One that is being cancelled has no next run.
                    let _ = jobs.scheduler.reschedule(context.id, due.since(TokioClock.now()));
                }
                let mut last = held(&last);
                let before = std::mem::replace(&mut *last, ended.clone().err());
                // Once, not every second.
                if let Some(said) = last.as_ref().filter(|_| before != *last) {
                    tracing::warn!(job = job.name(), error = said, "a job of the server failed");
                }
                ended
            }
        });
        let plan = Plan { delay: Duration::ZERO, ..Plan::every(period) };
        match self.scheduler.schedule(task, plan) {
            Ok(id) => *held(&self.entry(job).id) = Some(id),
            Err(error) => tracing::error!(job = job.name(), %error, "a job of the server is not done"),
        }
    }

    /// Ends all of them: no run begins, those under way have so long.
    pub async fn stop(&self, deadline: Duration) {
        for name in self.scheduler.stop(deadline).await {
            tracing::warn!(job = &*name, "a job of the server was given up");
        }
        self.end();
    }

    /// Ends all of them and waits for none: no run begins, those under way are given up.
    pub fn end(&self) {
        for entry in &self.entries {
            // What it was to do is dropped, and what that holds. Its figures stay.
            let _ = held(&entry.id).map(|id| self.scheduler.cancel(id));
        }
    }

    /// Does something with it; gives the state that it is in then.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn act(&self, job: Job, act: Act) -> Result<&'static str, Error> {
        let id = held(&self.entry(job).id).ok_or(Error::Unknown)?;
        let state = || self.scheduler.task(id).map_or("stopped", |task| self.word(task.status));
        let before = state();
        match act {
            Act::Run => {
                self.scheduler.run_now(id)?;
                // Whether it has begun already is chance.
                return Ok(before);
            }
            Act::Pause => self.scheduler.pause(id)?,
            Act::Resume => self.scheduler.resume(id)?,
            Act::Cancel => drop(self.scheduler.cancel(id)?),
        }
        Ok(state())
    }

    fn word(&self, status: Status) -> &'static str {
        match status {
            _ if !self.scheduler.is_running() && status != Status::Running => "stopped",
            Status::Scheduled => "scheduled",
            Status::Paused => "paused",
            Status::Running => "running",
            Status::Cancelling => "cancelling",
            Status::Cancelled => "cancelled",
            Status::Completed => "completed",
            Status::Failed { .. } => "failed",
        }
    }

    /// Every job that has begun.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Shown> {
        let show = |job: Job| {
            let entry = self.entry(job);
            let id = *held(&entry.id);
            let task = id.and_then(|id| self.scheduler.task(id))?;
            let info = &task.info;
            let waits = task.status == Status::Scheduled && self.scheduler.is_running();
            Some(Shown {
                id: job.id(),
                name: job.name(),
                state: self.word(task.status),
                period_ms: Duration::from_nanos(entry.pause.load(Ordering::Relaxed)).as_millis(),
                runs: u64::from(info.runs).saturating_sub(info.running.into()),
                failed: info.failed.into(),
                panicked: info.panics.into(),
                last_ms: task.last_start.map(UnixTime::as_millis),
                last_took_us: info.last_took.map(Duration::as_micros),
                next_ms: task.next_start.filter(|_| waits).map(UnixTime::as_millis),
                failing: info.failing,
                last_error: task.last_error,
            })
        };
        Job::ALL.into_iter().filter_map(show).collect()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use tokio::sync::Notify;

    const LONG: Duration = Duration::from_secs(3_600);

    struct Kept {
        jobs: Arc<Jobs>,
        runs: Arc<AtomicU32>,
    }

    /// A job whose `n`th run does `act(n)`.
    fn kept(period: Duration, act: impl Fn(u32) -> Result<(), String> + Send + Sync + 'static) -> Kept {
        let (jobs, runs) = (Arc::new(Jobs::default()), Arc::new(AtomicU32::new(0)));
        let (act, counted) = (Arc::new(act), Arc::clone(&runs));
        jobs.keep(Job::Tidy, period, None, move || {
            let (act, runs) = (Arc::clone(&act), Arc::clone(&counted));
            async move { act(runs.fetch_add(1, Ordering::Relaxed)) }
        });
        jobs.start();
        Kept { jobs, runs }
    }

    fn shown(jobs: &Jobs) -> Shown {
        jobs.snapshot().remove(0)
    }

    async fn until(jobs: &Jobs, is: impl Fn(&Shown) -> bool) -> Shown {
        loop {
            let shown = shown(jobs);
            if is(&shown) {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rule_1_a_job_never_runs_beside_itself_and_goes_on_at_once_where_it_is_late() {
        let (jobs, inside) = (Arc::new(Jobs::default()), Arc::new(AtomicU32::new(0)));
        let work = move || {
            let inside = Arc::clone(&inside);
            async move {
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
                inside.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
        };
        jobs.keep(Job::Tidy, Duration::from_millis(10), None, work);
        jobs.start();
        while shown(&jobs).runs < 20 {
            let _ = jobs.act(Job::Tidy, Act::Run);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        jobs.stop(LONG).await;
        assert_eq!((shown(&jobs).failed, shown(&jobs).state), (0, "stopped"));
    }

    #[tokio::test]
    async fn rule_2_a_run_that_panics_has_failed_and_the_next_one_comes() {
        let kept = kept(LONG, |n| match n {
            0 => panic!("no {n}"),
            1 => Err("no disk".to_owned()),
            _ => Ok(()),
        });
        let first = until(&kept.jobs, |shown| shown.runs == 1).await;
        assert_eq!((first.failed, first.panicked, first.last_error.as_deref()), (1, 1, Some("panicked: no 0")));
        assert_eq!((first.period_ms, first.id, first.next_ms > first.last_ms), (3_600_000, "tidy", true));
        kept.jobs.act(Job::Tidy, Act::Run).unwrap();
        let second = until(&kept.jobs, |shown| shown.runs == 2).await;
        assert_eq!((second.failed, second.panicked, second.last_error.as_deref()), (2, 1, Some("no disk")));
        kept.jobs.act(Job::Tidy, Act::Run).unwrap();
        let third = until(&kept.jobs, |shown| shown.runs == 3).await;
        assert_eq!((third.failed, third.failing, third.last_error.as_deref()), (2, false, Some("no disk")));
    }

    #[tokio::test]
    async fn rule_3_those_who_ask_at_the_same_time_share_one_run() {
        let kept = kept(LONG, |_| Ok(()));
        until(&kept.jobs, |shown| shown.runs == 1).await;
        for _ in 0..10 {
            kept.jobs.act(Job::Tidy, Act::Run).unwrap();
        }
        until(&kept.jobs, |shown| shown.runs == 2).await;
        kept.jobs.stop(LONG).await;
        assert_eq!(kept.runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn rule_4_after_a_stop_no_run_begins() {
        let kept = kept(LONG, |_| Ok(()));
        until(&kept.jobs, |shown| shown.runs == 1).await;
        kept.jobs.stop(LONG).await;
        assert!(kept.jobs.act(Job::Tidy, Act::Run).is_err());
        let shown = shown(&kept.jobs);
        assert_eq!((shown.runs, shown.state, shown.next_ms), (1, "stopped", None));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_4_the_run_under_way_is_waited_for() {
        let (jobs, gate) = (Arc::new(Jobs::default()), Arc::new(Notify::new()));
        let opened = Arc::clone(&gate);
        jobs.keep(Job::Tidy, LONG, None, move || {
            let opened = Arc::clone(&opened);
            async move {
                opened.notified().await;
                Ok(())
            }
        });
        jobs.start();
        until(&jobs, |shown| shown.state == "running").await;
        let stopping = Arc::clone(&jobs);
        let stopping = tokio::spawn(async move { stopping.stop(LONG).await });
        gate.notify_one();
        stopping.await.unwrap();
        assert_eq!((shown(&jobs).runs, shown(&jobs).failed), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_4_what_is_dropped_without_a_stop_ends_its_jobs_and_lets_go_what_they_hold() {
        let (jobs, what) = (Arc::new(Jobs::default()), Arc::new(()));
        let held = Arc::downgrade(&what);
        jobs.keep(Job::Tidy, LONG, None, move || {
            let what = Arc::clone(&what);
            async move {
                let _what = what;
                std::future::pending().await
            }
        });
        jobs.start();
        until(&jobs, |shown| shown.state == "running").await;
        drop(UntilDropped(Arc::clone(&jobs)));
        until(&jobs, |shown| shown.state == "cancelled").await;
        assert!(jobs.act(Job::Tidy, Act::Run).is_err());
        // The clock is turned to the next sleep where nothing else is to be done.
        let let_go = async {
            while held.strong_count() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG.into(), let_go).await.expect("nobody holds it");
    }

    #[tokio::test(start_paused = true)]
    async fn rule_5_a_paused_job_runs_for_those_who_ask_only() {
        let kept = kept(Duration::from_millis(10), |_| Ok(()));
        until(&kept.jobs, |shown| shown.runs == 1).await;
        assert_eq!(kept.jobs.act(Job::Tidy, Act::Pause), Ok("paused"));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!((shown(&kept.jobs).runs, shown(&kept.jobs).next_ms), (1, None));
        kept.jobs.act(Job::Tidy, Act::Run).unwrap();
        assert_eq!(until(&kept.jobs, |shown| shown.runs == 2).await.state, "paused");
        assert_eq!(kept.jobs.act(Job::Tidy, Act::Resume), Ok("scheduled"));
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        assert!(shown(&kept.jobs).runs > 2);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_5_a_cancelled_job_has_ended() {
        let jobs = Arc::new(Jobs::default());
        jobs.keep(Job::Tidy, LONG, None, std::future::pending);
        jobs.start();
        until(&jobs, |shown| shown.state == "running").await;
        assert_eq!(jobs.act(Job::Tidy, Act::Cancel), Ok("cancelling"));
        assert_eq!(jobs.act(Job::Tidy, Act::Cancel), Err(Error::Cancelling));
        let shown = until(&jobs, |shown| shown.state == "cancelled").await;
        assert_eq!((shown.runs, shown.last_error.as_deref()), (1, Some("was cancelled")));
        assert_eq!(jobs.act(Job::Tidy, Act::Resume), Err(Error::Ended));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_may_say_itself_when_it_is_due() {
        let jobs = Arc::new(Jobs::default());
        let next = Box::new(|| TokioClock.now() + Duration::from_secs(5));
        jobs.keep(Job::Memory, LONG, Some(next), || std::future::ready(Ok(())));
        jobs.start();
        let began = TokioClock.now();
        while shown(&jobs).runs < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(shown(&jobs).period_ms, 5_000);
        assert!(TokioClock.now().since(began) < Duration::from_secs(11));
    }

    #[test]
    fn every_job_has_a_name_and_a_place() {
        for (place, job) in Job::ALL.into_iter().enumerate() {
            assert_eq!((Job::by_id(job.id()), job as usize), (Some(job), place));
        }
        assert_eq!(Job::by_id("none"), None);
    }
}
