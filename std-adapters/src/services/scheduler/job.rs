//! What is to be done, by whom it is known and where it is kept.

use std::fmt::{self, Display};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daur_core::services::scheduler::{Id, Plan, PlanError, Repeat};
use daur_core::time::{Duration, Instant, UnixTime};
use tokio::sync::watch;

use crate::error::Error as IoError;

/// Longest text of an error that is kept.
const ERROR_CHARS: usize = 200;

type Ended = Result<(), String>;
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

#[derive(Clone)]
pub(super) enum Work {
    Blocking(Arc<dyn Fn(&Context) -> Ended + Send + Sync>),
    Future(Arc<dyn Fn(Context) -> Running + Send + Sync>),
}

/// Something to be done, with a name.
#[derive(Clone)]
pub struct Job {
    pub(super) name: Arc<str>,
    pub(super) work: Work,
    pub(super) calendar: Option<Arc<dyn Calendar>>,
    pub(super) is_kept: bool,
}

impl Job {
    /// One that blocks a thread while it runs.
    pub fn blocking<E: Display>(
        name: impl Into<Arc<str>>,
        work: impl Fn(&Context) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        let work = move |context: &Context| work(context).map_err(|error| error.to_string());
        Self { name: name.into(), work: Work::Blocking(Arc::new(work)), calendar: None, is_kept: false }
    }

    /// One that waits as tasks do.
    pub fn future<E: Display, F>(name: impl Into<Arc<str>>, work: impl Fn(Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let work = move |context| -> Running {
            let running = work(context);
            Box::pin(async move { running.await.map_err(|error| error.to_string()) })
        };
        Self { name: name.into(), work: Work::Future(Arc::new(work)), calendar: None, is_kept: false }
    }

    /// The same, at the times of a calendar. Of its [`Plan`] the priority, the grace and the overlap hold then; one run
    /// stands for all times that were missed.
    #[must_use]
    pub fn at(self, calendar: impl Calendar + 'static) -> Self {
        Self { calendar: Some(Arc::new(calendar)), ..self }
    }

    /// The same, kept in the [`Journal`] under its name: after a restart it goes on where it was.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { is_kept: true, ..self }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("is_kept", &self.is_kept).finish_non_exhaustive()
    }
}

/// Tells a run what it is.
#[derive(Clone, Debug)]
pub struct Context {
    /// The task.
    pub id: Id,
    /// When it should have begun, by the wall clock: of a job that is kept or in a calendar, else `None`. Also `None` for a run that
    /// somebody asked for. No two runs have the same.
    pub due: Option<UnixTime>,
    /// Due times before this one that it stands for.
    pub missed: u32,
    pub(super) cancel: watch::Receiver<bool>,
}

impl Context {
    /// Whether somebody wants the run to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Waits until somebody wants the run to stop.
    pub async fn cancelled(&self) {
        let mut cancel = self.cancel.clone();
        if cancel.wait_for(|cancel| *cancel).await.is_err() {
            // Nobody is there who could want that.
            std::future::pending::<()>().await;
        }
    }
}

/// Tells the times of a calendar. `Cron`, of the feature `cron`, is one.
pub trait Calendar: Send + Sync {
    /// The first time after `after`, if there is one.
    fn next(&self, after: UnixTime) -> Option<UnixTime>;

    /// A text that changes when its times do.
    fn text(&self) -> String;
}

/// One row of a [`Journal`]. Moments are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of the job.
    pub name: String,
    /// What it was planned by; under another plan it begins anew.
    pub plan: String,
    /// The next due time; `None` if there will be none.
    pub next: Option<i64>,
    /// When the last run began.
    pub last: Option<i64>,
    /// Runs that have begun.
    pub runs: u64,
    /// Runs that went wrong.
    pub failed: u64,
    /// What the last of them said.
    pub error: Option<String>,
}

/// Keeps jobs over restarts. `Sqlite`, of the feature `sqlite`, is one.
pub trait Journal: Send + Sync {
    /// What is kept of a job.
    ///
    /// # Errors
    /// If it cannot be read.
    fn load(&self, name: &str) -> Result<Option<Kept>, IoError>;

    /// Keeps it, all or nothing, so that it is there after the process is killed.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn save(&self, kept: &Kept) -> Result<(), IoError>;

    /// Forgets a job.
    ///
    /// # Errors
    /// If it cannot.
    fn forget(&self, name: &str) -> Result<(), IoError>;
}

/// Says why a job was not taken in.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// All places are taken.
    Full(Job),
    /// Its plan cannot be kept.
    Invalid(Job, PlanError),
    /// There is a kept job of that name already.
    Taken(Job),
    /// It is to be kept, and there is no journal.
    NoJournal(Job),
    /// The journal could not be read or written.
    Journal(Job, IoError),
    /// It is kept or in a calendar, and the wall clock is not set.
    NoWallClock(Job),
    /// It has run as often as it was to, before a restart; or its calendar has no time any more.
    Over(Job),
}

impl Refused {
    /// The job.
    #[must_use]
    pub fn into_inner(self) -> Job {
        match self {
            Self::Full(job)
            | Self::Invalid(job, _)
            | Self::Taken(job)
            | Self::NoJournal(job)
            | Self::Journal(job, _)
            | Self::NoWallClock(job)
            | Self::Over(job) => job,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the scheduler is full"),
            Self::Invalid(_, error) => error.fmt(f),
            Self::Taken(job) => write!(f, "there is a job {} already", job.name),
            Self::NoJournal(_) => f.write_str("there is no journal to keep it in"),
            Self::Journal(_, error) => error.fmt(f),
            Self::NoWallClock(_) => f.write_str("the wall clock is not set"),
            Self::Over(_) => f.write_str("it has run as often as it was to"),
        }
    }
}

impl std::error::Error for Refused {}

/// A job in the scheduler.
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) face: Arc<Face>,
    pub(super) cancel: watch::Sender<bool>,
    /// The next due time on both clocks; for jobs that are kept or in a calendar.
    pub(super) planned: Mutex<Option<Planned>>,
    pub(super) row: Mutex<Kept>,
    /// Held while the row is written, so that the newest is.
    pub(super) writing: Mutex<()>,
    pub(super) pause: Option<Duration>,
}

/// What is known of a job after its end.
pub(super) struct Face {
    pub(super) name: Arc<str>,
    pub(super) last: Mutex<Last>,
}

#[derive(Clone, Default)]
pub(super) struct Last {
    pub(super) start: Option<UnixTime>,
    pub(super) error: Option<String>,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) at: Instant,
    /// Nanoseconds since 1970.
    pub(super) wall: i64,
}

impl Entry {
    pub(super) fn new(job: Job, plan: &Plan, row: Kept) -> Self {
        let pause = match plan.repeat {
            Repeat::FixedDelay(pause) if job.calendar.is_none() => Some(pause),
            _ => None,
        };
        let last = Last { start: row.last.map(unix), error: row.error.clone() };
        let face = Arc::new(Face { name: Arc::clone(&job.name), last: Mutex::new(last) });
        let (planned, writing) = (Mutex::new(None), Mutex::new(()));
        Self { job, face, cancel: watch::Sender::new(false), planned, row: Mutex::new(row), writing, pause }
    }

    /// Writes the row as it is now.
    pub(super) fn save(&self, journal: Option<&dyn Journal>) -> Result<(), String> {
        let Some(journal) = journal.filter(|_| self.job.is_kept) else { return Ok(()) };
        let _writing = held(&self.writing);
        let row = held(&self.row).clone();
        if row.name.is_empty() {
            return Ok(());
        }
        journal.save(&row).map_err(|error| format!("could not be kept: {}", with_source(&error)))
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// How a run went.
pub(super) enum Went {
    Well,
    Wrong(String),
    Panicked(String),
}

impl Went {
    pub(super) fn of(ended: Ended) -> Self {
        match ended {
            Ok(()) => Self::Well,
            Err(text) => Self::Wrong(cut(&text)),
        }
    }

    pub(super) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        // What was thrown may panic as it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Self::Panicked(cut(&format!("panicked: {text}")))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(ERROR_CHARS).collect()
}

pub(super) fn unix(nanos: i64) -> UnixTime {
    UnixTime::from_millis(nanos.max(0).unsigned_abs() / 1_000_000)
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
