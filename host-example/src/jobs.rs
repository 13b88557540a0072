//! The server's own periodic work: how often it was done, how that went, when it is due again.
//!
//! # Rules
//! 1. A job never runs beside itself: it begins when it is due, or at once where the run before it has taken longer.
//! 2. A run that panics has failed, with what it said; the next one comes all the same.
//! 3. Whoever asks for a run gets one at once, or right after the one under way; those who ask meanwhile share it.
//! 4. After a stop no run begins; the one under way is waited for.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinError;
use tokio::time;

use crate::http::stopped;

/// Longest text of an error that is kept.
const ERROR_CHARS: usize = 200;

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

/// Knows the jobs.
#[derive(Default)]
pub struct Jobs([Entry; Job::ALL.len()]);

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    name: &'static str,
    pause: Duration,
    is_kept: bool,
    is_wanted: bool,
    running: bool,
    next: Option<Instant>,
    runs: u64,
    failed: u64,
    panicked: u64,
    last: Option<UnixTime>,
    took: Option<Duration>,
    failing: bool,
    error: Option<String>,
}

impl State {
    const fn word(&self) -> &'static str {
        match (self.running, self.is_kept) {
            (true, _) => "running",
            (false, true) => "scheduled",
            (false, false) => "stopped",
        }
    }
}

/// Shows one job.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its name in paths.
    pub id: &'static str,
    /// What it does.
    pub name: &'static str,
    /// `scheduled`, `running` or `stopped`.
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

impl Jobs {
    fn entry(&self, job: Job) -> &Entry {
        // In the order of `ALL`.
        &self.0[job as usize]
    }

    /// Does `work` now and whenever that is due, until `stop` says `true`. Of a run that has begun at some moment, `next`
    /// says when the one after it is due.
    pub async fn keep<F>(
        &self,
        job: Job,
        mut stop: watch::Receiver<bool>,
        next: impl Fn(Instant) -> Instant,
        mut work: impl FnMut() -> F,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let entry = self.entry(job);
        {
            let mut state = entry.state();
            (state.name, state.is_kept) = (job.name(), true);
        }
        let mut due = StdClock.now();
        loop {
            entry.state().next = Some(due);
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = entry.wanted.notified() => {
                    // The run that was asked for has begun by itself in this very moment.
                    if !entry.state().is_wanted {
                        continue;
                    }
                }
                () = time::sleep(due.since(StdClock.now()).into()) => {}
            }
            let began = StdClock.now();
            entry.begin();
            // A task of its own: what panics in it ends there.
            let ended = tokio::spawn(work()).await;
            let took = StdClock.now().since(began);
            due = next(began);
            entry.end(ended, took, due.since(began));
        }
        let mut state = entry.state();
        (state.is_kept, state.next) = (false, None);
    }

    /// Has it done now; gives the state that it is in then.
    pub fn run(&self, job: Job) -> &'static str {
        let entry = self.entry(job);
        let mut state = entry.state();
        if state.is_kept && !std::mem::replace(&mut state.is_wanted, true) {
            entry.wanted.notify_one();
        }
        if state.is_kept && !state.running {
            state.next = Some(StdClock.now());
        }
        state.word()
    }

    /// Every job that has begun.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Shown> {
        let (now, wall) = (StdClock.now(), SystemWallClock.unix_now());
        let show = |job: Job| {
            let state = self.entry(job).state();
            let next = state.next.filter(|_| !state.running);
            Shown {
                id: job.id(),
                name: job.name(),
                state: state.word(),
                period_ms: state.pause.as_millis(),
                runs: state.runs,
                failed: state.failed,
                panicked: state.panicked,
                last_ms: state.last.map(UnixTime::as_millis),
                last_took_us: state.took.map(Duration::as_micros),
                next_ms: next.zip(wall).map(|(next, wall)| wall.as_millis() + next.since(now).as_millis()),
                failing: state.failing,
                last_error: state.error.clone(),
            }
        };
        Job::ALL.into_iter().map(show).collect()
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let mut state = self.state();
        // Whoever asks from now on asks for another run.
        (state.running, state.is_wanted, state.last) = (true, false, SystemWallClock.unix_now());
    }

    fn end(&self, ended: Result<Result<(), String>, JoinError>, took: Duration, pause: Duration) {
        let mut state = self.state();
        (state.running, state.took, state.pause) = (false, Some(took), pause);
        state.runs += 1;
        let has_failed_before = std::mem::replace(&mut state.failing, !matches!(ended, Ok(Ok(()))));
        let said = match ended {
            Ok(Ok(())) => return,
            Ok(Err(said)) => said,
            Err(error) => {
                state.panicked += 1;
                panic_text(error)
            }
        };
        let said: String = said.chars().take(ERROR_CHARS).collect();
        state.failed += 1;
        // Once, not every second.
        if !has_failed_before || state.error.as_deref() != Some(&said) {
            tracing::warn!(job = state.name, error = said, "a job of the server failed");
        }
        state.error = Some(said);
    }
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "was aborted".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned());
    // What was thrown may panic as it is dropped.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
    format!("panicked: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(3_600);

    struct Kept {
        jobs: Arc<Jobs>,
        stop: watch::Sender<bool>,
        runs: Arc<AtomicU32>,
        task: tokio::task::JoinHandle<()>,
    }

    /// A job whose `n`th run does `act(n)`.
    fn kept(act: impl Fn(u32) -> Result<(), String> + Send + Sync + 'static) -> Kept {
        let (jobs, runs) = (Arc::new(Jobs::default()), Arc::new(AtomicU32::new(0)));
        let (stop, stopped) = watch::channel(false);
        let (act, counted) = (Arc::new(act), Arc::clone(&runs));
        let keeping = Arc::clone(&jobs);
        let task = tokio::spawn(async move {
            let work = || {
                let (act, runs) = (Arc::clone(&act), Arc::clone(&counted));
                async move { act(runs.fetch_add(1, Ordering::Relaxed)) }
            };
            keeping.keep(Job::Tidy, stopped, |began| began + LONG, work).await;
        });
        Kept { jobs, stop, runs, task }
    }

    impl Kept {
        async fn until(&self, runs: u64) -> Shown {
            loop {
                let shown = self.jobs.snapshot().remove(1);
                if shown.runs >= runs && shown.state == "scheduled" {
                    return shown;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn rule_1_a_job_never_runs_beside_itself_and_goes_on_at_once_where_it_is_late() {
        let (jobs, inside) = (Arc::new(Jobs::default()), Arc::new(AtomicU32::new(0)));
        let (stop, stopped) = watch::channel(false);
        let keeping = Arc::clone(&jobs);
        let task = tokio::spawn(async move {
            let work = || {
                let inside = Arc::clone(&inside);
                async move {
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    inside.fetch_sub(1, Ordering::Relaxed);
                    Ok(())
                }
            };
            // Due again as soon as it has begun.
            keeping.keep(Job::Tidy, stopped, |began| began, work).await;
        });
        while jobs.snapshot()[1].runs < 20 {
            jobs.run(Job::Tidy);
            tokio::task::yield_now().await;
        }
        stop.send_replace(true);
        task.await.unwrap();
        assert_eq!((jobs.snapshot()[1].failed, jobs.snapshot()[1].state), (0, "stopped"));
    }

    #[tokio::test]
    async fn rule_2_a_run_that_panics_has_failed_and_the_next_one_comes() {
        let kept = kept(|n| match n {
            0 => panic!("no {n}"),
            1 => Err("no disk".to_owned()),
            _ => Ok(()),
        });
        let shown = kept.until(1).await;
        assert_eq!((shown.failed, shown.panicked, shown.last_error.as_deref()), (1, 1, Some("panicked: no 0")));
        assert_eq!((shown.period_ms, shown.id, shown.next_ms > shown.last_ms), (3_600_000, "tidy", true));
        assert_eq!(kept.jobs.run(Job::Tidy), "scheduled");
        let shown = kept.until(2).await;
        assert_eq!((shown.failed, shown.panicked, shown.last_error.as_deref()), (2, 1, Some("no disk")));
        kept.jobs.run(Job::Tidy);
        let shown = kept.until(3).await;
        assert_eq!((shown.failed, shown.failing, shown.last_error.as_deref()), (2, false, Some("no disk")));
    }

    #[tokio::test]
    async fn rule_3_those_who_ask_at_the_same_time_share_one_run() {
        let kept = kept(|_| Ok(()));
        kept.until(1).await;
        for _ in 0..10 {
            kept.jobs.run(Job::Tidy);
        }
        kept.until(2).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(kept.runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn rule_4_after_a_stop_no_run_begins() {
        let kept = kept(|_| Ok(()));
        kept.until(1).await;
        kept.stop.send_replace(true);
        kept.task.await.unwrap();
        assert_eq!(kept.jobs.run(Job::Tidy), "stopped");
        let shown = kept.jobs.snapshot().remove(1);
        assert_eq!((shown.runs, shown.state, shown.next_ms), (1, "stopped", None));
    }

    #[tokio::test]
    async fn rule_4_the_run_under_way_is_waited_for() {
        let (jobs, gate) = (Arc::new(Jobs::default()), Arc::new(Notify::new()));
        let (stop, stopped) = watch::channel(false);
        let (keeping, opened) = (Arc::clone(&jobs), Arc::clone(&gate));
        let task = tokio::spawn(async move {
            let work = || {
                let opened = Arc::clone(&opened);
                async move {
                    opened.notified().await;
                    Ok(())
                }
            };
            keeping.keep(Job::Tidy, stopped, |began| began + LONG, work).await;
        });
        while jobs.snapshot()[1].state != "running" {
            tokio::task::yield_now().await;
        }
        stop.send_replace(true);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!task.is_finished() && jobs.snapshot()[1].state == "running");
        gate.notify_one();
        task.await.unwrap();
        assert_eq!((jobs.snapshot()[1].runs, jobs.snapshot()[1].failed), (1, 0));
    }

    #[test]
    fn every_job_has_a_name_and_a_place() {
        for (place, job) in Job::ALL.into_iter().enumerate() {
            assert_eq!((Job::by_id(job.id()), job as usize), (Some(job), place));
        }
        assert_eq!(Job::by_id("none"), None);
    }
}
