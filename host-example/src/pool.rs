//! Work that waits for the disk, on threads of its own.
//!
//! # Rules
//! 1. So many jobs run at a time and so many wait; one more is `overloaded`, and is not done.
//! 2. A client that goes away leaves its job: what has begun is done to its end.
//! 3. What nobody waits for in this moment, checks of a whole chain and tidying up, lets all else go first.
//!
//! Password hashes are not here: they have two turns of their own, or a few logins would stop everything else.

use std::sync::Arc;

use daur_core::performance::queue::Priority;
use daur_core::time::Duration;
use daur_std::performance::pool::{self, Shutdown, ThreadPool};
use serde::Serialize;

use crate::monitor::micros;
use crate::problem::{Code, Problem};

/// Says how much is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads. Default 4.
    pub workers: usize,
    /// Jobs that wait for one. Default 256.
    pub queue: usize,
}

impl Config {
    /// 4 threads, 256 jobs that wait.
    pub const DEFAULT: Self = Self { workers: 4, queue: 256 };

    const fn machine(self) -> pool::Config {
        pool::Config { workers: self.workers, queue: self.queue, timed_one_in: 1, ..pool::Config::DEFAULT }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.workers > 256 {
            return Err(format!("`workers` is {}; it may be 256 at most", self.workers));
        }
        if self.queue > 65_536 {
            return Err(format!("`queue` is {}; it may be 65536 at most", self.queue));
        }
        self.machine().validate().map_err(|error| error.to_string())
    }
}

/// Does what blocks; clones share the threads.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<ThreadPool>,
    config: Config,
}

/// Shows what is done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Snapshot {
    /// Threads.
    pub workers: usize,
    /// Jobs that may wait.
    pub room: usize,
    /// Jobs that run now.
    pub running: u64,
    /// Jobs that wait now.
    pub queued: u64,
    /// Jobs that were done.
    pub done: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs that found no room.
    pub refused: u64,
    /// Half of the jobs waited at most so long.
    pub wait_p50_us: Option<u64>,
    /// 95 of 100 did.
    pub wait_p95_us: Option<u64>,
    /// 99 of 100 did.
    pub wait_p99_us: Option<u64>,
    /// The longest wait.
    pub wait_max_us: Option<u64>,
}

impl Pool {
    /// A pool with all its threads.
    ///
    /// # Errors
    /// An invalid config, or no threads to be had.
    pub fn new(config: Config) -> Result<Self, daur_std::error::Error> {
        Ok(Self { threads: Arc::new(ThreadPool::try_new(config.machine())?), config })
    }

    /// Does `job`, and waits for what it gives.
    ///
    /// # Errors
    /// `overloaded` if nobody can take it, `internal` if it panics.
    pub async fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Result<R, Problem> {
        self.run_with(Priority::Normal, job).await
    }

    /// As [`run`](Self::run), after everything else that waits.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub async fn run_late<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Result<R, Problem> {
        self.run_with(Priority::Low, job).await
    }

    async fn run_with<R: Send + 'static>(
        &self,
        priority: Priority,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Problem> {
        let handle = self.threads.try_submit_with(priority, job).map_err(|_| busy())?;
        handle.await.map_err(|error| Problem::internal("blocking work failed", &error))
    }

    /// Takes no more jobs, does those that wait, and ends its threads, if they are ready in time.
    pub async fn close(&self, patience: Duration) {
        let threads = Arc::clone(&self.threads);
        let closing = tokio::task::spawn_blocking(move || threads.shutdown(Shutdown::Drain, patience));
        if let Ok(report) = closing.await
            && report.dropped + report.still_running > 0
        {
            tracing::warn!(dropped = report.dropped, still_running = report.still_running, "work was not done in time");
        }
    }

    /// What was done, and how long it waited.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shown = self.threads.snapshot();
        Snapshot {
            workers: shown.workers,
            room: self.config.queue,
            running: shown.running,
            queued: shown.queued,
            done: shown.done,
            panicked: shown.panicked,
            refused: shown.rejected,
            wait_p50_us: shown.waited.p50.map(micros),
            wait_p95_us: shown.waited.p95.map(micros),
            wait_p99_us: shown.waited.p99.map(micros),
            wait_max_us: shown.waited.max.map(micros),
        }
    }
}

fn busy() -> Problem {
    Problem::new(Code::Overloaded, "Too much waits for the disk at the moment.").retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn rule_1_what_finds_no_room_is_overloaded_and_not_done() {
        let pool = Pool::new(Config { workers: 1, queue: 1 }).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let first = pool.clone();
        let first = tokio::spawn(async move {
            first
                .run(move || {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    1
                })
                .await
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        let second = pool.clone();
        let second = tokio::spawn(async move { second.run(|| 2).await });
        while pool.snapshot().queued == 0 {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(|| unreachable!("there is no room for it")).await.map(|()| 3);
        assert_eq!(refused.unwrap_err().code(), Code::Overloaded);
        go.send(()).unwrap();
        assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (1, 2));
        let shown = pool.snapshot();
        assert_eq!((shown.done, shown.refused, shown.queued), (2, 1, 0));
        assert!(shown.wait_p99_us.is_some());
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_error_of_the_server() {
        let pool = Pool::new(Config::DEFAULT).unwrap();
        assert_eq!(pool.run(|| "no number".parse::<u32>().unwrap()).await.unwrap_err().code(), Code::Internal);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[test]
    fn a_pool_that_does_nothing_is_refused() {
        let wrong = |workers, queue| Config { workers, queue }.validate().unwrap_err();
        assert_eq!(Config::DEFAULT.validate(), Ok(()));
        assert!(wrong(0, 1).contains("workers") && wrong(1, 0).contains("queue"));
        assert!(wrong(257, 1).contains("`workers`") && wrong(1, 1 << 20).contains("`queue`"));
    }
}
