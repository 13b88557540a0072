//! Watching on a thread.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use super::MemoryOptimizer;

/// Watches on a thread of its own until it is stopped or dropped.
#[must_use = "dropped at once, it watches nothing"]
#[derive(Debug)]
pub struct Watcher {
    /// Dropped, it wakes the thread, which ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryOptimizer {
    /// Polls on a thread of its own, whenever that is due.
    ///
    /// # Errors
    /// That of the operating system, if there is no thread to be had.
    pub fn watch(&self) -> io::Result<Watcher> {
        let (stop, stopped) = channel::<()>();
        let optimizer = self.clone();
        let thread = thread::Builder::new().name("daur-memory".into()).spawn(move || {
            while stopped.recv_timeout(optimizer.pause().into()) == Err(RecvTimeoutError::Timeout) {
                optimizer.poll();
            }
        })?;
        Ok(Watcher { stop: Some(stop), thread: Some(thread) })
    }
}

impl Watcher {
    /// Ends watching; a poll under way is waited for.
    pub fn stop(self) {}
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(watching) = self.thread.take() else { return };
        // A shrinker that drops its own watcher would wait for itself.
        if watching.thread().id() != thread::current().id() {
            // A poll catches what panics.
            let _ = watching.join();
        }
    }
}
