//! Subscriptions that are read.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll};

use super::NotificationRef;
use super::channel::{Chunk, Seat};
use super::state::Inner;

/// Says that so many notifications made room for others before they were read. The next one is the oldest that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} notifications made room before they were read", self.0)
    }
}

impl std::error::Error for Lagged {}

/// Says why there is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// None waits.
    Empty,
    /// So many made room before they were read.
    Lagged(u64),
    /// None waits, and there is no [`Notifier`](super::Notifier) any more.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no notification waits"),
            Self::Lagged(lagged) => Lagged(*lagged).fmt(f),
            Self::Closed => f.write_str("nobody notifies any more"),
        }
    }
}

impl std::error::Error for TryRecvError {}

/// Says why no notification comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// So many made room before they were read.
    Lagged(u64),
    /// There is no [`Notifier`](super::Notifier) any more, and all is read.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(lagged) => Lagged(*lagged).fmt(f),
            Self::Closed => f.write_str("nobody notifies any more"),
        }
    }
}

impl std::error::Error for RecvError {}

/// Reads the notifications of one pattern, from when it was made until it is dropped.
///
/// A stream of `Result<Notification<T>, Lagged>` that ends when there is no [`Notifier`](super::Notifier) any more (feature `tokio`).
///
/// # Sharing
/// `Send`, for one reader. [`recv`](Subscription::recv) is cancel-safe: a future that is dropped has taken nothing.
pub struct Subscription<T: Send + Sync + 'static> {
    inner: Arc<Inner<T>>,
    pattern: Box<str>,
    head: Arc<AtomicU64>,
    seat: Arc<Seat>,
    /// As in the config.
    capacity: u64,
    /// As in the seat.
    next: u64,
    /// The chunk that was read last. It outlives the channel's own, by one.
    chunk: Option<Chunk<T>>,
    /// The place behind it.
    end: u64,
}

impl<T: Send + Sync + 'static> Subscription<T> {
    pub(super) fn new(inner: Arc<Inner<T>>, pattern: &str, head: Arc<AtomicU64>, seat: Arc<Seat>) -> Self {
        let (next, capacity) = (seat.next.load(Relaxed), inner.config.capacity as u64);
        Self { inner, pattern: pattern.into(), head, seat, capacity, next, chunk: None, end: 0 }
    }

    /// What it was made for.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Notifications that wait; what it lags behind by is not among them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let behind = self.head.load(Acquire).saturating_sub(self.next);
        usize::try_from(behind).unwrap_or(usize::MAX).min(self.inner.config.capacity)
    }

    /// Reads the next notification where it lies, without a lock and without a copy.
    ///
    /// # Errors
    /// [`TryRecvError`]: none waits, some are lost, or there will be none.
    #[inline]
    pub fn try_recv(&mut self) -> Result<NotificationRef<'_, T>, TryRecvError> {
        loop {
            let behind = self.head.load(Acquire).saturating_sub(self.next);
            if behind == 0 {
                return Err(self.inner.empty_or_closed(&self.head, self.next));
            }
            if behind > self.capacity {
                return Err(TryRecvError::Lagged(self.fall_behind(behind - self.capacity)));
            }
            if self.next < self.end || self.turn_over() {
                break;
            }
            // What is not there any more is more than `capacity` behind by now.
        }
        let place = self.next;
        self.next += 1;
        self.seat.next.store(self.next, Relaxed);
        self.chunk.as_ref().and_then(|chunk| chunk.get(place)).ok_or(TryRecvError::Empty)
    }

    #[cold]
    fn fall_behind(&mut self, lagged: u64) -> u64 {
        self.next += lagged;
        // Whoever adds the figures up sees both of these or none.
        let _state = self.inner.held();
        self.seat.next.store(self.next, Relaxed);
        self.seat.lagged.store(self.seat.lagged.load(Relaxed) + lagged, Relaxed);
        lagged
    }

    /// Goes on to the chunk of the next one; whether it is still there.
    #[cold]
    fn turn_over(&mut self) -> bool {
        let chunk = self.inner.held().channel(&self.pattern).and_then(|channel| channel.chunk_of(self.next));
        let found = chunk.is_some();
        self.end = chunk.as_ref().map_or(0, Chunk::end);
        // The one before it may be the last of its kind: it goes here, without the lock.
        self.chunk = chunk;
        found
    }

    /// Asks whether there is something to read, and to be woken when there is.
    #[inline]
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.head.load(Acquire) == self.next && self.must_wait(context) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Asks for the next notification, and to be woken when it comes.
    ///
    /// # Errors
    /// [`RecvError`]: some are lost, or there will be none.
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<NotificationRef<'_, T>, RecvError>> {
        self.poll_ready(context).map(|()| self.read())
    }

    /// Waits for the next notification, and lends it where it lies; a stream gives copies.
    ///
    /// # Errors
    /// [`RecvError`]: some are lost, or there will be none.
    #[inline]
    pub async fn recv(&mut self) -> Result<NotificationRef<'_, T>, RecvError> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.read()
    }

    /// What there is to read, or nothing for ever.
    #[inline]
    fn read(&mut self) -> Result<NotificationRef<'_, T>, RecvError> {
        self.try_recv().map_err(|error| match error {
            TryRecvError::Lagged(lagged) => RecvError::Lagged(lagged),
            // Whoever needs not wait has one, or will have none.
            TryRecvError::Empty | TryRecvError::Closed => RecvError::Closed,
        })
    }

    /// Leaves a waker, unless one came in the meantime or none will.
    #[cold]
    fn must_wait(&self, context: &Context<'_>) -> bool {
        // Cloning a waker, and dropping one, is code of others.
        let waker = context.waker().clone();
        let mut state = self.inner.held();
        if state.closed || self.head.load(Acquire) != self.next {
            drop(state);
            return false;
        }
        let before = state.channel_mut(&self.pattern).and_then(|channel| channel.wait(&self.seat, waker));
        drop(state);
        drop(before);
        true
    }
}

impl<T: Send + Sync + 'static> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.inner.leave(&self.pattern, &self.seat);
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("pattern", &self.pattern).field("next", &self.next).finish_non_exhaustive()
    }
}
