//! What is sent to one topic, or to the topics of one pattern: chunks that are written once and read without a lock.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use daur_core::time::UnixTime;

use super::{Notification, NotificationRef};

/// Places in the largest chunk.
const CHUNK: usize = 64;

/// A notification in its place: in one alone, whose topic is the channel's, or in several.
#[derive(Debug)]
pub(super) enum Stored<T> {
    Own { number: u64, at: Option<UnixTime>, payload: T },
    Shared(Arc<Notification<T>>),
}

/// Some places in a row. Each is written before the channel's head passes it, and never after.
#[derive(Debug)]
pub(super) struct Chunk<T> {
    /// The topic, or the pattern, in which nothing is stored as its own.
    name: Arc<str>,
    /// The place of the first one in its channel.
    first: u64,
    places: Arc<[OnceLock<Stored<T>>]>,
}

impl<T> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), first: self.first, places: Arc::clone(&self.places) }
    }
}

impl<T> Chunk<T> {
    fn new(name: &Arc<str>, first: u64, len: usize) -> Self {
        Self { name: Arc::clone(name), first, places: (0..len).map(|_| OnceLock::new()).collect() }
    }

    /// What was written at this place of the channel; `None` of another chunk's.
    #[inline]
    pub(super) fn get(&self, place: u64) -> Option<NotificationRef<'_, T>> {
        let index = usize::try_from(place.wrapping_sub(self.first)).ok()?;
        self.places.get(index)?.get().map(|stored| self.shown(stored))
    }

    #[inline]
    fn shown<'a>(&'a self, stored: &'a Stored<T>) -> NotificationRef<'a, T> {
        match stored {
            Stored::Own { number, at, payload } => {
                NotificationRef { number: *number, at: *at, topic: &self.name, payload }
            }
            Stored::Shared(notification) => notification.as_ref().into(),
        }
    }

    /// All that was written, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = NotificationRef<'_, T>> {
        self.places.iter().filter_map(OnceLock::get).map(|stored| self.shown(stored))
    }

    /// The place behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }
}

/// How far a reader has come, for the figures. The reader alone writes it.
#[derive(Debug)]
pub(super) struct Seat {
    /// The place from which on it reads.
    began: u64,
    /// The place that it reads next.
    pub(super) next: AtomicU64,
    /// What it was told that it lags behind by.
    pub(super) lagged: AtomicU64,
}

/// What has become of what was sent to a reader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) delivered: u64,
    pub(super) lagged: u64,
    pub(super) waiting: u64,
}

impl Seat {
    pub(super) fn account(&self, head: u64, capacity: u64) -> Account {
        let (next, lagged) = (self.next.load(Relaxed), self.lagged.load(Relaxed));
        let behind = head.saturating_sub(next);
        let waiting = behind.min(capacity);
        let delivered = next.saturating_sub(self.began).saturating_sub(lagged);
        Account { delivered, lagged: lagged + (behind - waiting), waiting }
    }
}

#[derive(Debug)]
pub(super) struct Channel<T> {
    /// The topic, or the pattern.
    pub(super) name: Arc<str>,
    /// The next place, once what stands before it is written.
    head: Arc<AtomicU64>,
    chunks: VecDeque<Chunk<T>>,
    pub(super) seats: Vec<Arc<Seat>>,
    /// Who waits for the next one, by the address of its seat.
    waiters: Vec<(usize, Waker)>,
}

impl<T> Channel<T> {
    pub(super) fn new(name: Arc<str>) -> Self {
        let head = Arc::new(AtomicU64::new(0));
        Self { name, head, chunks: VecDeque::new(), seats: Vec::new(), waiters: Vec::new() }
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Relaxed)
    }

    /// Seats a reader of what comes from now on.
    pub(super) fn sit(&mut self) -> (Arc<AtomicU64>, Arc<Seat>) {
        let began = self.head();
        let seat = Arc::new(Seat { began, next: AtomicU64::new(began), lagged: AtomicU64::new(0) });
        self.seats.push(Arc::clone(&seat));
        (Arc::clone(&self.head), seat)
    }

    pub(super) fn stand_up(&mut self, seat: &Arc<Seat>) -> Option<Waker> {
        self.seats.retain(|other| !Arc::ptr_eq(other, seat));
        let waiter = self.waiters.iter().position(|(of, _)| *of == Arc::as_ptr(seat).addr());
        waiter.map(|place| self.waiters.swap_remove(place).1)
    }

    /// Writes one, keeps at least the last `keep`, and gives out what is not kept: to be dropped without the lock.
    #[inline]
    pub(super) fn push(&mut self, stored: Stored<T>, keep: usize) -> Option<VecDeque<Chunk<T>>> {
        let head = self.head();
        let mut gone = None;
        if self.chunks.back().is_none_or(|last| last.end() <= head) {
            gone = self.grow(head, keep);
        }
        // One writer at a time, and this place is behind all that are written.
        if let Some(last) = self.chunks.back()
            && let Some(place) = last.places.get((head - last.first) as usize)
        {
            let _ = place.set(stored);
        }
        self.head.store(head + 1, Release);
        gone
    }

    #[cold]
    fn grow(&mut self, head: u64, keep: usize) -> Option<VecDeque<Chunk<T>>> {
        let len = self.chunks.back().map_or(4, |last| last.places.len() * 2);
        self.chunks.push_back(Chunk::new(&self.name, head, len.min(CHUNK).min(keep.max(4))));
        self.trim(keep)
    }

    /// Lets go the chunks of which nothing is among the last `keep`.
    pub(super) fn trim(&mut self, keep: usize) -> Option<VecDeque<Chunk<T>>> {
        let oldest = self.head().saturating_sub(keep as u64);
        let gone = self.chunks.iter().take_while(|chunk| chunk.end() <= oldest).count();
        (gone > 0).then(|| self.chunks.drain(..gone).collect())
    }

    /// The chunk of a place, if it is kept.
    pub(super) fn chunk_of(&self, place: u64) -> Option<Chunk<T>> {
        let chunk = self.chunks.iter().rev().find(|chunk| chunk.first <= place)?;
        (place < chunk.end()).then(|| chunk.clone())
    }

    /// The chunks that hold the last `n`.
    pub(super) fn last(&self, n: usize) -> impl Iterator<Item = Chunk<T>> {
        let oldest = self.head().saturating_sub(n as u64);
        self.chunks.iter().filter(move |chunk| chunk.end() > oldest).cloned()
    }

    /// Wakes the reader of this seat with the next one. Gives out the waker that it had before.
    pub(super) fn wait(&mut self, seat: &Arc<Seat>, waker: Waker) -> Option<Waker> {
        let address = Arc::as_ptr(seat).addr();
        match self.waiters.iter_mut().find(|(of, _)| *of == address) {
            Some((_, before)) => Some(std::mem::replace(before, waker)),
            None => {
                self.waiters.push((address, waker));
                None
            }
        }
    }

    #[inline]
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Those who wait, to be woken without the lock.
    #[inline]
    pub(super) fn take_waiters(&mut self, into: &mut Vec<(usize, Waker)>) {
        if self.is_awaited() {
            into.append(&mut self.waiters);
        }
    }
}
