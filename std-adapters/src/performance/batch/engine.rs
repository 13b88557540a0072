//! What gathers, writes, tries again, and finds the item that cannot be written.

use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use daur_core::performance::batch::{Cause, Limit, Trigger};
use daur_core::reliability::retry::{self, Class};
use daur_core::time::{Clock, Duration, Instant};
use tokio::sync::{mpsc, oneshot};

use super::actor::Counts;
use crate::clock::TokioClock;
use crate::reliability::retry::retry;

/// After so many items without a pause the time is looked at. Fewer than tokio lets one task receive at once.
pub(super) const LOOK_EVERY: usize = 64;

/// Holds the items of one batch, or of a part of it, in their order; a slice of them that may be sent and cloned.
pub struct Items<T> {
    all: Arc<Vec<T>>,
    part: Range<usize>,
}

impl<T> Items<T> {
    fn new(items: Vec<T>) -> Self {
        let part = 0..items.len();
        Self { all: Arc::new(items), part }
    }

    fn halves(&self) -> (Self, Self) {
        let middle = self.part.start + self.part.len() / 2;
        let half = |part| Self { all: Arc::clone(&self.all), part };
        (half(self.part.start..middle), half(middle..self.part.end))
    }
}

impl<T> Deref for Items<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.all.get(self.part.clone()).unwrap_or_default()
    }
}

impl<T> Clone for Items<T> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all), part: self.part.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Says how a handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault<E> {
    /// With its own error.
    Error(E),
    /// It panicked.
    Panicked,
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked => f.write_str("the handler of a batch panicked"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Fault<E> {}

/// Names the one item that its handler does not take, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<'a, T, E> {
    /// The item.
    pub item: &'a T,
    /// How the handler failed with this item alone, the last time.
    pub fault: &'a Fault<E>,
}

pub(super) enum Message<T> {
    Item(T, usize),
    /// Everything before has been dealt with when this is answered.
    Flush(oneshot::Sender<()>),
}

/// Says what is worth another try.
pub(super) type Classify<E> = Box<dyn Fn(&E) -> Class + Send + Sync>;
/// Hears of what is rejected.
pub(super) type OnRejected<T, E> = Box<dyn FnMut(Rejected<'_, T, E>) + Send>;

/// Messages that are taken in one go.
const AT_ONCE: usize = 128;

pub(super) struct Engine<T, E, H> {
    pub(super) inbox: mpsc::Receiver<Message<T>>,
    /// Told when nothing more shall come.
    pub(super) closing: oneshot::Receiver<()>,
    pub(super) trigger: Trigger,
    pub(super) max_items: usize,
    pub(super) items: Vec<T>,
    pub(super) handler: H,
    /// How long what comes may lie in the queue before it is looked at; zero: not at all.
    pub(super) nap: Duration,
    /// Items in the latest batch.
    pub(super) written: usize,
    pub(super) retry: retry::Config,
    pub(super) classify: Classify<E>,
    pub(super) on_rejected: OnRejected<T, E>,
    pub(super) counts: Arc<Counts>,
    /// Dropped with the engine, which is how its end is told.
    pub(super) _ended: oneshot::Sender<()>,
}

impl<T, E, H, F> Engine<T, E, H>
where
    T: Send + Sync + 'static,
    E: Send + 'static,
    H: FnMut(Items<T>) -> F + Send,
    F: Future<Output = Result<(), E>> + Send,
{
    /// Runs until every sender is gone, or it is told to close; then everything has been dealt with.
    pub(super) async fn run(mut self) {
        let (mut may_close, mut unlooked) = (true, 0_usize);
        let mut taken = Vec::new();
        loop {
            let due = self.trigger.due_at();
            // No more than the batch has room for: the others wait where they are counted.
            let room = self.max_items.saturating_sub(self.items.len()).clamp(1, AT_ONCE);
            // What is there is taken in before the time is looked at: after a slow write, one batch of what has come
            // meanwhile, and not its first item alone.
            let came = tokio::select! {
                biased;
                told = &mut self.closing, if may_close => {
                    may_close = false;
                    if told.is_ok() {
                        self.inbox.close();
                    }
                    continue;
                }
                came = self.inbox.recv_many(&mut taken, room) => came,
                () = until(due), if due.is_some() => {
                    self.write(Cause::Time).await;
                    self.rest(&mut may_close).await;
                    continue;
                }
            };
            if came == 0 {
                self.write(Cause::Flush).await;
                return;
            }
            for message in taken.drain(..) {
                match message {
                    // What fits and completes nothing needs no future.
                    Message::Item(item, bytes) => match self.offer(bytes) {
                        Ok(()) => {
                            self.items.push(item);
                            if let Some(cause) = self.trigger.full() {
                                self.write(cause).await;
                            }
                        }
                        Err(limit) => self.take_after(limit, item, bytes).await,
                    },
                    Message::Flush(done) => {
                        self.write(Cause::Flush).await;
                        _ = done.send(()); // nobody may be waiting any more
                    }
                }
            }
            // While there is always another one, the timer is never asked.
            unlooked += came;
            if unlooked >= LOOK_EVERY {
                unlooked = 0;
                if let Some(cause) = self.trigger.due(TokioClock.now()) {
                    self.write(cause).await;
                }
            }
            self.rest(&mut may_close).await;
        }
    }

    /// Leaves what comes now in the queue for a while: whoever sends it wakes nobody.
    async fn rest(&mut self, may_close: &mut bool) {
        // Who sends one item after the other waits for each of them perhaps, and for nobody else.
        let lone = self.items.is_empty() && self.written <= 1;
        if self.nap.is_zero() || lone || !self.inbox.is_empty() {
            return;
        }
        let end = TokioClock.now() + self.nap;
        let end = self.trigger.due_at().map_or(end, |due| due.min(end));
        tokio::select! {
            biased;
            told = &mut self.closing, if *may_close => {
                *may_close = false;
                if told.is_ok() {
                    self.inbox.close();
                }
            }
            () = until(Some(end)) => {}
        }
    }

    /// Takes in an item that does not fit beside the others: they go ahead.
    async fn take_after(&mut self, limit: Limit, item: T, bytes: usize) {
        let ahead = if limit == Limit::Items { Cause::Items } else { Cause::Bytes };
        self.write(ahead).await;
        // Its sender has looked whether it fits at all; whoever weighs differently each time gets a batch by itself.
        if self.offer(bytes).is_err() {
            self.deliver(vec![item]).await;
            return;
        }
        self.items.push(item);
        if let Some(cause) = self.trigger.full() {
            self.write(cause).await;
        }
    }

    #[inline]
    fn offer(&mut self, bytes: usize) -> Result<(), Limit> {
        // The time is asked for with the first item only.
        let now = if self.trigger.is_empty() { TokioClock.now() } else { Instant::ZERO };
        self.trigger.offer(bytes, now)
    }

    /// Writes what has been gathered, if there is something.
    async fn write(&mut self, cause: Cause) {
        self.trigger.close(cause);
        self.counts.show(self.trigger.snapshot());
        let room = self.items.len();
        self.written = room;
        let items = std::mem::replace(&mut self.items, Vec::with_capacity(room));
        self.deliver(items).await;
    }

    /// Hands the items over, in halves if they fail as one: until each is delivered, or alone and rejected.
    async fn deliver(&mut self, items: Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut parts = vec![Items::new(items)];
        while let Some(part) = parts.pop() {
            match self.attempt(&part).await {
                Ok(()) => self.counts.delivered(part.len()),
                Err(_) if part.len() > 1 => {
                    self.counts.split();
                    let (first, second) = part.halves();
                    parts.push(second);
                    parts.push(first);
                }
                Err(fault) => {
                    self.counts.rejected();
                    rejected(&fault);
                    if let [item] = &part[..] {
                        let on_rejected = &mut self.on_rejected;
                        let tell = || on_rejected(Rejected { item, fault: &fault });
                        _ = catch_unwind(AssertUnwindSafe(tell));
                    }
                }
            }
        }
    }

    /// Tries as often as the retry says.
    async fn attempt(&mut self, part: &Items<T>) -> Result<(), Fault<E>> {
        let Self { handler, classify, counts, retry: config, .. } = self;
        let class = |fault: &Fault<E>| match fault {
            // What makes the classifier panic is not worth another try.
            Fault::Error(error) => catch_unwind(AssertUnwindSafe(|| classify(error))).unwrap_or(Class::Permanent),
            Fault::Panicked => Class::Permanent,
        };
        let mut again = false;
        let call = || {
            if again {
                counts.retried();
            }
            again = true;
            once(handler, part.clone())
        };
        let ended = retry(*config, class, call).await.map_err(|gave_up| gave_up.error);
        if let Err(Fault::Panicked) = ended {
            self.counts.panicked();
        }
        ended
    }
}

/// Calls the handler, whose panic ends nothing but this call.
fn once<T, E, F: Future<Output = Result<(), E>>, H: FnMut(Items<T>) -> F>(
    handler: &mut H,
    items: Items<T>,
) -> impl Future<Output = Result<(), Fault<E>>> + use<T, E, F, H> {
    let call = catch_unwind(AssertUnwindSafe(|| handler(items)));
    async move {
        let mut call = pin!(call.map_err(|_| Fault::Panicked)?);
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
            Ok(poll) => poll.map_err(Fault::Error),
            Err(_) => Poll::Ready(Err(Fault::Panicked)),
        })
        .await
    }
}

async fn until(due: Option<Instant>) {
    let Some(due) = due else { return std::future::pending().await };
    tokio::time::sleep((due - TokioClock.now()).into()).await;
}

#[cfg(feature = "tracing")]
fn rejected<E>(fault: &Fault<E>) {
    let panicked = matches!(fault, Fault::Panicked);
    tracing::error!(panicked, "an item of a batch could not be written and is left out");
}

#[cfg(not(feature = "tracing"))]
fn rejected<E>(_fault: &Fault<E>) {}
