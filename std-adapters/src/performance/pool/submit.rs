//! How jobs come in.

use std::sync::Arc;

use daur_core::performance::queue::Priority;

use super::handle::Handle;
use super::jobs::{Entry, Work};
use super::task::Task;
use super::worker::here;
use super::{Rejected, ThreadPool, Why};

impl ThreadPool {
    /// Runs `job` on a worker; waits for a place if the queue is full.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the pool is shut down.
    #[inline]
    pub fn submit<F, R>(&self, job: F) -> Result<Handle<R>, Rejected<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.take(job, Priority::Normal, true)
    }

    /// As [`submit`](Self::submit), with a priority.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the pool is shut down.
    pub fn submit_with<F, R>(&self, priority: Priority, job: F) -> Result<Handle<R>, Rejected<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.take(job, priority, true)
    }

    /// Runs `job` on a worker if there is room; never waits.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the queue is full or the pool is shut down.
    #[inline]
    pub fn try_submit<F, R>(&self, job: F) -> Result<Handle<R>, Rejected<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.take(job, Priority::Normal, false)
    }

    /// As [`try_submit`](Self::try_submit), with a priority.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the queue is full or the pool is shut down.
    pub fn try_submit_with<F, R>(&self, priority: Priority, job: F) -> Result<Handle<R>, Rejected<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.take(job, priority, false)
    }

    /// Runs `job` on a worker; waits for a place if the queue is full. Nobody learns how it ends: it costs less than a job with a
    /// handle.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the pool is shut down.
    #[inline]
    pub fn execute<F: FnOnce() + Send + 'static>(&self, job: F) -> Result<(), Rejected<F>> {
        self.put(Box::new(job), |job| Work::Alone(job), Priority::Normal, true)
            .map_err(|(why, job)| Rejected { job: *job, why })
    }

    /// As [`execute`](Self::execute), and never waits.
    ///
    /// # Errors
    /// [`Rejected`] gives the job back if the queue is full or the pool is shut down.
    #[inline]
    pub fn try_execute<F: FnOnce() + Send + 'static>(&self, job: F) -> Result<(), Rejected<F>> {
        self.put(Box::new(job), |job| Work::Alone(job), Priority::Normal, false)
            .map_err(|(why, job)| Rejected { job: *job, why })
    }

    #[inline]
    fn take<F, R>(&self, job: F, priority: Priority, waits: bool) -> Result<Handle<R>, Rejected<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = Arc::new(Task::new(job));
        match self.put(task.clone(), |task| Work::Shared(task), priority, waits) {
            Ok(()) => Ok(Handle { task: Some(task), pool: self.jobs.id }),
            Err((why, again)) => {
                drop(again);
                let job = Arc::into_inner(task).and_then(Task::into_job);
                Err(Rejected { job: job.expect("nobody else has seen it"), why })
            }
        }
    }

    #[inline]
    fn put<J>(&self, job: J, into: fn(J) -> Work, priority: Priority, waits: bool) -> Result<(), (Why, J)> {
        match self.jobs.push(job, into, priority) {
            Ok(()) => Ok(()),
            Err((why, job)) => self.put_slow(why, job, into, priority, waits),
        }
    }

    /// What to do with a job that was not taken at once.
    #[cold]
    fn put_slow<J>(
        &self,
        mut why: Why,
        mut job: J,
        into: fn(J) -> Work,
        priority: Priority,
        waits: bool,
    ) -> Result<(), (Why, J)> {
        if why == Why::Full && waits {
            if let Some((jobs, tally)) = here(self.jobs.id) {
                if jobs.pass() {
                    jobs.run(Entry::new(into(job)), &tally);
                    return Ok(());
                }
                why = Why::ShutDown;
            } else {
                match self.jobs.push_waiting(job, into, priority) {
                    Ok(()) => return Ok(()),
                    Err(refused) => (why, job) = refused,
                }
            }
        }
        self.jobs.incoming().rejected += 1;
        Err((why, job))
    }
}
