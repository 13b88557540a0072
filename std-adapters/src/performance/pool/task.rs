//! One job from its submission to the end of its result, in one allocation.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant as StdInstant;

use super::jobs::Jobs;
use super::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, contain, lock, look, wait};

/// Says why a job has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked.
    Panicked(Panic),
    /// It was cancelled before it began.
    Cancelled,
    /// The pool was shut down before it began.
    Dropped,
}

impl JoinError {
    /// What the job panicked with, if it did.
    #[must_use]
    pub fn into_panic(self) -> Option<Panic> {
        match self {
            Self::Panicked(panic) => Some(panic),
            Self::Cancelled | Self::Dropped => None,
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "the job panicked: {message}"),
                None => f.write_str("the job panicked"),
            },
            Self::Cancelled => f.write_str("the job was cancelled before it began"),
            Self::Dropped => f.write_str("the pool was shut down before the job began"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Carries what a job panicked with.
pub struct Panic {
    /// Behind a lock only so that a [`JoinError`] can be shared, as errors are expected to be.
    payload: std::sync::Mutex<Box<dyn Any + Send>>,
    message: Option<Box<str>>,
}

impl Panic {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).map(Into::into);
        Self { payload: std::sync::Mutex::new(payload), message }
    }

    /// The panic's text, if it had one.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The payload, as `std::thread::JoinHandle::join` gives it.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on panicking here.
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}

/// What one worker has done. Only it writes.
#[repr(align(64))] // or the workers' writes would disturb each other
#[derive(Default)]
pub(super) struct Tally {
    pub(super) done: AtomicU64,
    pub(super) panicked: AtomicU64,
    /// Callbacks that panicked.
    pub(super) callbacks: AtomicU64,
}

impl Tally {
    /// Runs `job` and counts how it ends, before anybody can see the result: who has it finds it counted.
    #[inline]
    pub(super) fn count<R>(&self, job: impl FnOnce() -> R) -> std::thread::Result<R> {
        let result = catch_unwind(AssertUnwindSafe(job));
        Self::add(if result.is_ok() { &self.done } else { &self.panicked });
        result
    }

    #[inline]
    fn add(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// A job as the pool sees it.
pub(super) trait Job: Send + Sync {
    /// Runs it, unless it was taken away; whether it ran. `early`: its pool, in whose lines it still stands.
    fn run(self: Arc<Self>, tally: &Tally, early: Option<&Jobs>) -> bool;

    /// Takes it away and tells so, unless it has begun; whether it was taken away. Then `count` was called, before anybody
    /// could see it: under a lock, so it does no more than count.
    fn refuse(&self, why: JoinError, count: &dyn Fn()) -> bool;

    /// Whether it still waits to be run.
    fn waits(&self) -> bool;
}

/// A job as its handle sees it.
pub(super) trait Outcome<R>: Job {
    /// The result, once.
    fn take(&self) -> Option<Result<R, JoinError>>;

    /// The result as soon as it is there, or nothing at `deadline`.
    fn wait(&self, deadline: Option<StdInstant>) -> Option<Result<R, JoinError>>;

    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<R, JoinError>>;

    /// Whether the job has ended in one way or another.
    fn is_done(&self) -> bool;

    /// Hands the result to `callback` as soon as it is there.
    fn on_done(&self, callback: Callback<R>);
}

pub(super) type Callback<R> = Box<dyn FnOnce(Result<R, JoinError>) + Send>;

enum Stage<F, R> {
    Waiting(F),
    Running,
    Done(Result<R, JoinError>),
    Over,
}

enum Waiter<R> {
    Nobody,
    Thread,
    Task(Waker),
    Callback(Callback<R>),
}

pub(super) struct Task<F, R> {
    cell: Mutex<Cell<F, R>>,
    /// For who looks without the lock: there is a result, or was.
    done: AtomicBool,
    ended: Condvar,
}

struct Cell<F, R> {
    stage: Stage<F, R>,
    waiter: Waiter<R>,
}

impl<F, R> Task<F, R> {
    pub(super) fn new(job: F) -> Self {
        let cell = Cell { stage: Stage::Waiting(job), waiter: Waiter::Nobody };
        Self { cell: Mutex::new(cell), done: AtomicBool::new(false), ended: Condvar::new() }
    }

    /// The job, if it has not been taken.
    pub(super) fn into_job(self) -> Option<F> {
        match self.cell.into_inner().unwrap_or_else(PoisonError::into_inner).stage {
            Stage::Waiting(job) => Some(job),
            _ => None,
        }
    }

    /// Takes the job, and counts that before anybody can see it.
    #[inline]
    fn begin(&self, count: impl FnOnce()) -> Option<F> {
        let mut cell = lock(&self.cell);
        match mem::replace(&mut cell.stage, Stage::Running) {
            Stage::Waiting(job) => {
                count();
                Some(job)
            }
            other => {
                cell.stage = other;
                None
            }
        }
    }

    /// Gives the result to who waits for it, or keeps it; whether a callback panicked.
    fn finish(&self, result: Result<R, JoinError>) -> bool {
        let mut cell = lock(&self.cell);
        let waiter = mem::replace(&mut cell.waiter, Waiter::Nobody);
        match waiter {
            Waiter::Callback(callback) => {
                cell.stage = Stage::Over;
                drop(cell);
                return contain(|| callback(result));
            }
            Waiter::Nobody | Waiter::Thread | Waiter::Task(_) => {
                cell.stage = Stage::Done(result);
                drop(cell);
                self.done.store(true, Ordering::Release);
                match waiter {
                    Waiter::Thread => self.ended.notify_one(),
                    Waiter::Task(waker) => _ = contain(|| waker.wake()),
                    _ => {}
                }
            }
        }
        false
    }
}

impl<F, R> Cell<F, R> {
    fn take(&mut self) -> Option<Result<R, JoinError>> {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Done(result) => Some(result),
            other => {
                self.stage = other;
                None
            }
        }
    }
}

impl<F, R> Job for Task<F, R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    fn run(self: Arc<Self>, tally: &Tally, early: Option<&Jobs>) -> bool {
        let count = || _ = early.map(Jobs::bury);
        let Some(job) = self.begin(count) else { return false };
        // Its place is free from now on, not only when it has ended.
        if let Some(jobs) = early {
            jobs.offer_room();
        }
        let result = tally.count(job);
        if Arc::strong_count(&self) == 1 {
            // The handle is gone: nobody will ask.
            contain(|| drop(result));
        } else if self.finish(result.map_err(|payload| JoinError::Panicked(Panic::new(payload)))) {
            Tally::add(&tally.callbacks);
        }
        true
    }

    fn refuse(&self, why: JoinError, count: &dyn Fn()) -> bool {
        let Some(job) = self.begin(count) else { return false };
        contain(|| drop(job));
        self.finish(Err(why));
        true
    }

    fn waits(&self) -> bool {
        matches!(lock(&self.cell).stage, Stage::Waiting(_))
    }
}

impl<F, R> Outcome<R> for Task<F, R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    fn take(&self) -> Option<Result<R, JoinError>> {
        // Without a result there is nothing to lock for.
        if self.done.load(Ordering::Acquire) { lock(&self.cell).take() } else { None }
    }

    fn wait(&self, deadline: Option<StdInstant>) -> Option<Result<R, JoinError>> {
        look(|| self.done.load(Ordering::Acquire));
        let mut cell = lock(&self.cell);
        loop {
            if let Some(result) = cell.take() {
                return Some(result);
            }
            if !matches!(cell.waiter, Waiter::Thread) {
                let old = mem::replace(&mut cell.waiter, Waiter::Thread);
                drop(cell);
                // A waker is foreign code: not under the lock.
                contain(|| drop(old));
                cell = lock(&self.cell);
                continue;
            }
            let late;
            (cell, late) = wait(&self.ended, cell, deadline);
            if late {
                cell.waiter = Waiter::Nobody;
                return cell.take();
            }
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<R, JoinError>> {
        let mut cell = lock(&self.cell);
        if let Some(result) = cell.take() {
            return Poll::Ready(result);
        }
        let known = matches!(&cell.waiter, Waiter::Task(waker) if waker.will_wake(context.waker()));
        if !known {
            // Cloning and dropping a waker is foreign code: not under the lock.
            drop(cell);
            let waiter = Waiter::Task(context.waker().clone());
            cell = lock(&self.cell);
            if let Some(result) = cell.take() {
                drop(cell);
                return Poll::Ready(result);
            }
            let old = mem::replace(&mut cell.waiter, waiter);
            drop(cell);
            drop(old);
        }
        Poll::Pending
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn on_done(&self, callback: Callback<R>) {
        let mut cell = lock(&self.cell);
        let Some(result) = cell.take() else {
            let old = mem::replace(&mut cell.waiter, Waiter::Callback(callback));
            drop(cell);
            drop(old);
            return;
        };
        drop(cell);
        contain(|| callback(result));
    }
}
