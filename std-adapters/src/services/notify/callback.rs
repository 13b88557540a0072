//! Callbacks, on the thread that notifies: one after the other, also when they notify themselves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::Notification;
use super::state::Inner;

/// Deliveries that callbacks of one thread may have caused and not yet seen made.
const WAITING: usize = 1_024;

/// What is called.
type Call<T> = dyn Fn(&Notification<T>) + Send + Sync;

/// Who is called.
pub(super) struct Callback<T> {
    pub(super) pattern: Box<str>,
    /// Cleared when it has unsubscribed.
    pub(super) active: AtomicBool,
    pub(super) call: Box<Call<T>>,
}

/// The callbacks of a topic, in the order in which they subscribed.
pub(super) type Callbacks<T> = Arc<[Arc<Callback<T>>]>;

/// A delivery that waits, and how many others led to it.
type Job = (u32, Box<dyn FnOnce()>);

struct Turn {
    /// How many led to the one that this thread is at.
    depth: Option<u32>,
    jobs: VecDeque<Job>,
}

thread_local! {
    static TURN: RefCell<Turn> = const { RefCell::new(Turn { depth: None, jobs: VecDeque::new() }) };
}

/// What becomes of a delivery.
enum Place {
    /// It is made now, and then all that it leads to.
    Now,
    /// It is made once the one under way is.
    Later,
    /// It is not made.
    TooMany,
}

/// Calls the callbacks, or has them called by the delivery of this thread that is under way.
pub(super) fn deliver<T: Send + Sync + 'static>(
    inner: &Arc<Inner<T>>,
    callbacks: &Callbacks<T>,
    notification: &Arc<Notification<T>>,
) {
    let place = TURN.try_with(|turn| {
        let mut turn = turn.borrow_mut();
        let Some(depth) = turn.depth else {
            turn.depth = Some(0);
            return Place::Now;
        };
        if depth >= inner.config.depth || turn.jobs.len() >= WAITING {
            return Place::TooMany;
        }
        let (inner, callbacks, notification) = (Arc::clone(inner), Arc::clone(callbacks), Arc::clone(notification));
        turn.jobs.push_back((depth + 1, Box::new(move || call_all(&inner, &callbacks, &notification))));
        Place::Later
    });
    match place {
        Ok(Place::Later) => {}
        Ok(Place::Now) => {
            let _end = End;
            call_all(inner, callbacks, notification);
            while let Some(job) = next() {
                job();
            }
        }
        // The thread ends: nobody is left to call in its place.
        Ok(Place::TooMany) | Err(_) => {
            inner.cut_off.fetch_add(callbacks.len() as u64, Relaxed);
        }
    }
}

/// The next delivery of this thread's turn.
fn next() -> Option<Box<dyn FnOnce()>> {
    TURN.with(|turn| {
        let mut turn = turn.borrow_mut();
        let (depth, job) = turn.jobs.pop_front()?;
        turn.depth = Some(depth);
        Some(job)
    })
}

/// Ends the turn, also of a thread that unwinds because a payload's destructor panicked.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let jobs = TURN.try_with(|turn| {
            let mut turn = turn.borrow_mut();
            turn.depth = None;
            mem::take(&mut turn.jobs)
        });
        drop(jobs);
    }
}

fn call_all<T>(inner: &Inner<T>, callbacks: &Callbacks<T>, notification: &Notification<T>) {
    for callback in callbacks.iter() {
        if !callback.active.load(Acquire) {
            continue;
        }
        inner.called.fetch_add(1, Relaxed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (callback.call)(notification))) {
            inner.panics.fetch_add(1, Relaxed);
            // What was thrown may throw again when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                mem::forget(again);
            }
        }
    }
}

/// Keeps a callback subscribed until it is dropped.
///
/// When the drop returns, no call begins any more; one that another thread is in the midst of comes to its end.
#[must_use = "dropped, it unsubscribes; `detach` stays for good"]
pub struct Listener<T: Send + Sync + 'static> {
    pub(super) inner: Arc<Inner<T>>,
    pub(super) callback: Option<Arc<Callback<T>>>,
}

impl<T: Send + Sync + 'static> Listener<T> {
    /// Stays subscribed for as long as there is a [`Notifier`](super::Notifier).
    pub fn detach(mut self) {
        self.callback = None;
    }
}

impl<T: Send + Sync + 'static> Drop for Listener<T> {
    fn drop(&mut self) {
        if let Some(callback) = self.callback.take() {
            self.inner.dismiss(&callback);
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = self.callback.as_ref().map(|callback| &callback.pattern);
        f.debug_struct("Listener").field("pattern", &pattern).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}
