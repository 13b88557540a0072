//! The submitter's end of a job.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant as StdInstant;

use daur_core::time::Duration;

use super::jobs::{Id, Jobs};
use super::sync::Ordering;
use super::task::{JoinError, Outcome};
use super::worker::here;

/// Waits for the result of one job of a [`ThreadPool`](super::ThreadPool).
///
/// The future that the seed's `submit` gives, for threads and for any async runtime: it is a [`Future`] too. Dropped, it lets the
/// job go on, and its result goes nowhere.
///
/// # Rules
/// 1. It is always resolved: with the result, or with the [`JoinError`] that says why there is none.
/// 2. [`join`](Self::join) on a worker of the same pool runs the job itself if it has not begun: jobs may wait for jobs.
/// 3. [`cancel`](Self::cancel) takes the job away only before it has begun; what it holds is dropped there and then, and
///    its place in the queue is free.
/// 4. A callback is called exactly once; one that panics harms nobody.
#[must_use = "dropped, nobody learns how the job ended: say so with `detach`"]
pub struct Handle<R> {
    /// There, until the result was taken.
    pub(super) task: Option<Arc<dyn Outcome<R>>>,
    /// The pool. Not a pointer, since all threads would count who points to it.
    pub(super) pool: Id,
}

impl<R> Handle<R> {
    /// Waits for the job's end.
    ///
    /// # Errors
    /// [`JoinError`] if there is no result.
    ///
    /// # Panics
    /// If the handle was awaited to its end before.
    #[doc(alias = "result")]
    pub fn join(mut self) -> Result<R, JoinError> {
        let task = self.take();
        if let Some((jobs, tally)) = here(self.pool) {
            task.clone().run(&tally, Some(&jobs));
        }
        task.wait(None).expect("without a deadline it waits for the result")
    }

    /// The result if it is there, else the handle.
    ///
    /// # Errors
    /// The handle itself, if the job has not ended.
    ///
    /// # Panics
    /// If the handle was awaited to its end before.
    pub fn try_join(mut self) -> Result<Result<R, JoinError>, Self> {
        let task = self.take();
        task.take().ok_or_else(|| self.back(task))
    }

    /// Waits for the job's end for so long at most. It never runs the job itself.
    ///
    /// # Errors
    /// The handle itself, if the job has not ended by then.
    ///
    /// # Panics
    /// If the handle was awaited to its end before.
    pub fn join_timeout(mut self, timeout: impl Into<Duration>) -> Result<Result<R, JoinError>, Self> {
        let timeout = timeout.into();
        if timeout.is_zero() {
            return self.try_join();
        }
        let task = self.take();
        let result = task.wait(StdInstant::now().checked_add(timeout.into()));
        result.ok_or_else(|| self.back(task))
    }

    /// Takes the job away if it has not begun; whether it was. [`join`](Self::join) then says [`JoinError::Cancelled`].
    pub fn cancel(&self) -> bool {
        // Without its pool no job waits.
        let (Some(task), Some(jobs)) = (&self.task, Jobs::find(self.pool)) else { return false };
        let count = || {
            jobs.cancelled.fetch_add(1, Ordering::AcqRel);
            jobs.bury();
        };
        let cancelled = task.refuse(JoinError::Cancelled, &count);
        if cancelled {
            jobs.offer_room();
        }
        cancelled
    }

    /// Whether the job has ended in one way or another.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(|task| task.is_done())
    }

    /// Hands the result to `callback`: on the thread that ends the job, or here if it has ended.
    ///
    /// # Panics
    /// If the handle was awaited to its end before.
    #[doc(alias = "add_done_callback")]
    pub fn on_done(mut self, callback: impl FnOnce(Result<R, JoinError>) + Send + 'static)
    where
        R: 'static,
    {
        let task = self.take();
        // Who runs the job would else see that the handle is gone, and ask no further.
        let kept = task.clone();
        task.on_done(Box::new(move |result| {
            drop(kept);
            callback(result);
        }));
    }

    /// Lets the job go on without anybody who waits for it.
    pub fn detach(self) {}

    fn take(&mut self) -> Arc<dyn Outcome<R>> {
        self.task.take().expect("the result was taken by the end of an `await`")
    }

    fn back(&self, task: Arc<dyn Outcome<R>>) -> Self {
        Self { task: Some(task), pool: self.pool }
    }
}

/// It resolves once; awaited on a worker of the pool itself it only waits.
impl<R> Future for Handle<R> {
    type Output = Result<R, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.as_ref().expect("awaited after its end");
        let polled = task.poll(context);
        if polled.is_ready() {
            self.task = None;
        }
        polled
    }
}

impl<R> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}
