//! How many threads there are.

use std::sync::Arc;

use super::sync::{Builder, JoinHandle, is_finished, lock};
use super::worker::work;
use super::{MAX_WORKERS, ThreadPool, WORKERS};
use crate::error::Error;

impl ThreadPool {
    /// Lets the pool have `workers` threads. Those that are too many end after the job that they run.
    ///
    /// After a shutdown it does nothing.
    ///
    /// # Errors
    /// [`Error::Config`] if `workers` is out of range, and [`Error::Io`] if the operating system refuses a thread: then there are as
    /// many as there could be.
    pub fn resize(&self, workers: usize) -> Result<(), Error> {
        if workers == 0 || workers > MAX_WORKERS {
            return Err(Error::Config { field: "workers", allowed: WORKERS });
        }
        let mut threads = lock(&self.threads);
        threads.handles.retain(|thread| !is_finished(thread));
        if self.is_shut_down() {
            return Ok(());
        }
        if workers < threads.workers {
            self.jobs.outgoing().surplus += threads.workers - workers;
            threads.workers = workers;
            self.jobs.wake_all();
            return Ok(());
        }
        // Who was to end and has not yet may stay.
        let mut outgoing = self.jobs.outgoing();
        let stay = outgoing.surplus.min(workers - threads.workers);
        outgoing.surplus -= stay;
        drop(outgoing);
        threads.workers += stay;
        while threads.workers < workers {
            let thread = self.spawn()?;
            threads.handles.push(thread);
            threads.workers += 1;
        }
        Ok(())
    }

    fn spawn(&self) -> Result<JoinHandle<()>, Error> {
        let seat = {
            let mut incoming = self.jobs.incoming();
            incoming.alive += 1;
            let seat = incoming.seats.iter().position(|taken| !taken).unwrap_or(incoming.seats.len());
            if seat == incoming.seats.len() {
                incoming.seats.push(true);
            } else {
                incoming.seats[seat] = true;
            }
            seat
        };
        let tally = {
            let mut tallies = lock(&self.jobs.tallies);
            if tallies.len() <= seat {
                tallies.resize_with(seat + 1, Arc::default);
            }
            tallies[seat].clone()
        };
        let name = format!("{}-{seat}", self.config.name);
        let mut builder = Builder::new().name(name.clone());
        if let Some(stack) = self.config.stack {
            builder = builder.stack_size(stack);
        }
        let jobs = self.jobs.clone();
        builder.spawn(move || work(&jobs, &tally, seat)).map_err(|error| {
            self.jobs.leave(seat);
            Error::io(format!("starting the thread {name}"), error)
        })
    }
}
