//! One at a time, and nobody waits for himself.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Lets one thread through at a time. A lock alone would have a shrinker that polls wait for ever.
#[derive(Default)]
pub(super) struct Turns {
    holder: Mutex<Option<ThreadId>>,
    free: Condvar,
}

/// Ends when it is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for its turn; `None` if this thread has it already.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let me = thread::current().id();
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if *holder == Some(me) {
            return None;
        }
        while holder.is_some() {
            holder = self.free.wait(holder).unwrap_or_else(PoisonError::into_inner);
        }
        *holder = Some(me);
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.free.notify_one();
    }
}
