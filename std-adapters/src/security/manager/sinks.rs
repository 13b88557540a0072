//! Where the events of all decisions go.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::time::{Instant, UnixTime};

use super::BoxError;

/// An event, and when it was.
pub type Stamped = (Event, Instant, Option<UnixTime>);

/// Takes events. What blocks in there blocks who decides: put a [`Queue`] before a slow one.
pub trait Sink: Send + Sync + 'static {
    /// Keeps events, in their order.
    ///
    /// # Errors
    /// The sink's; then nothing that the events grant is granted.
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError>;
}

impl<T: Sink + ?Sized> Sink for Arc<T> {
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        (**self).record(events)
    }
}

/// Keeps the last events in memory; a clone is the same.
#[derive(Clone)]
pub struct Recent {
    events: Arc<Mutex<VecDeque<Stamped>>>,
    capacity: usize,
}

impl Recent {
    /// For so many events; at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { events: Arc::default(), capacity: capacity.max(1) }
    }

    /// The events, the newest last.
    #[must_use]
    pub fn events(&self) -> Vec<Stamped> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Sink for Recent {
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        let mut kept = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if kept.len() >= self.capacity {
                kept.pop_front();
            }
            kept.push_back(*event);
        }
        Ok(())
    }
}

/// Leaves out that access was granted and that an input was let in as it came: a record or two for each request.
#[derive(Clone, Copy, Debug)]
pub struct WithoutGrants<S>(pub S);

impl<S: Sink> Sink for WithoutGrants<S> {
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        let is_grant = |(event, ..): &Stamped| event.outcome == Outcome::Success && event.kind == Kind::Access;
        if !events.iter().any(is_grant) {
            return self.0.record(events);
        }
        let others: Vec<_> = events.iter().filter(|event| !is_grant(event)).copied().collect();
        if others.is_empty() { Ok(()) } else { self.0.record(&others) }
    }
}

/// Hands events to a thread, so that nobody waits for a disk.
///
/// # Rules
/// 1. What finds no room, or what the sink refuses, is counted, and told in its place by an event `lost`.
/// 2. While the sink refuses, whatever an event would grant is refused too; refusals go on.
/// 3. When the queue and its clones are gone, [`Writer::join`] returns: all that had found room was handed on.
///
/// # Cost
/// A thread, and some 250 bytes for each place. An event that waits here is lost with the process: who must not lose
/// one records to the sink itself.
#[derive(Clone)]
pub struct Queue {
    events: SyncSender<Stamped>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    lost: AtomicU64,
    failing: AtomicU64,
}

/// Ends the thread of a [`Queue`].
#[must_use = "joined, it waits for the last events"]
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until all events are handed on. Every clone of the queue must be gone, or this waits for it.
    pub fn join(self) {
        let _ = self.0.join();
    }
}

impl Queue {
    /// Starts a thread that hands on to `sink`, with room for `capacity` events.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give.
    pub fn start(sink: impl Sink, capacity: usize) -> std::io::Result<(Self, Writer)> {
        let (events, waiting) = sync_channel(capacity.max(1));
        let counts = Arc::new(Counts::default());
        let of_thread = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("audit-queue".into()).spawn(move || {
            hand_on(&sink, &waiting, &of_thread);
        })?;
        Ok((Self { events, counts }, Writer(thread)))
    }

    /// Events that were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Sink for Queue {
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        let mut full = false;
        for event in events {
            if self.events.try_send(*event).is_err() {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                full = true;
            }
        }
        if full {
            return Err("the audit's queue is full".into());
        }
        if self.counts.failing.load(Ordering::Relaxed) > 0 { Err("the audit cannot be written".into()) } else { Ok(()) }
    }
}

/// Events that are handed on together.
const GROUP: usize = 256;

fn hand_on(sink: &impl Sink, waiting: &Receiver<Stamped>, counts: &Counts) {
    let mut told = 0;
    let mut group = Vec::with_capacity(GROUP);
    while let Ok(first) = waiting.recv() {
        group.clear();
        let lost = counts.lost.load(Ordering::Relaxed);
        if lost > told {
            let detail = format!("{} events could not be kept", lost - told);
            group.push((Event::new(Kind::Lost, Outcome::Failure, "", "", &detail), first.1, first.2));
        }
        group.push(first);
        group.extend(waiting.try_iter().take(GROUP - 2));
        match sink.record(&group) {
            Ok(()) => {
                told = told.max(lost);
                counts.failing.store(0, Ordering::Relaxed);
            }
            Err(_error) => {
                #[cfg(feature = "tracing")]
                tracing::error!(error = %_error, "the audit cannot be written");
                let own = u64::from(lost > told);
                counts.lost.fetch_add(group.len() as u64 - own, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("lost", &self.lost()).finish_non_exhaustive()
    }
}
