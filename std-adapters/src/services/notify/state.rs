//! What all handles of one notifier share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use daur_core::services::notify::{Sent, SubscribeError, TopicError, check_pattern, check_topic, is_topic, matches};
use daur_core::time::UnixTime;
use foldhash::fast::RandomState;

use super::callback::{Callback, Callbacks, deliver};
use super::channel::{Account, Channel, Chunk, Seat, Stored};
use super::{Config, MAX_TOPIC, Notification, NotifyError, Rejected, Snapshot, TryRecvError};

/// One topic: its history, who reads it, and who else hears of it.
struct Topic<T> {
    channel: Channel<T>,
    /// The patterns with wildcards that stand for it too.
    routes: Vec<Arc<str>>,
    /// `None`: nobody, which is most often.
    callbacks: Option<Callbacks<T>>,
    /// The number of the last notification.
    used: u64,
}

pub(super) struct State<T> {
    /// The next notification's number.
    next: u64,
    topics: HashMap<Arc<str>, Topic<T>, RandomState>,
    /// What the readers of a pattern with wildcards read.
    patterns: HashMap<Arc<str>, Channel<T>, RandomState>,
    callbacks: Vec<Arc<Callback<T>>>,
    subscribers: usize,
    pub(super) closed: bool,
    unheard: u64,
    forgotten: u64,
    /// Of readers that have left.
    left: Account,
}

pub(super) struct Inner<T> {
    pub(super) config: Config,
    state: Mutex<State<T>>,
    /// As in the state.
    closed: AtomicBool,
    pub(super) called: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) cut_off: AtomicU64,
    refused: AtomicU64,
}

impl<T> State<T> {
    /// What the readers of this pattern read.
    pub(super) fn channel(&self, pattern: &str) -> Option<&Channel<T>> {
        self.patterns.get(pattern).or_else(|| self.topics.get(pattern).map(|topic| &topic.channel))
    }

    pub(super) fn channel_mut(&mut self, pattern: &str) -> Option<&mut Channel<T>> {
        match self.patterns.get_mut(pattern) {
            Some(channel) => Some(channel),
            None => self.topics.get_mut(pattern).map(|topic| &mut topic.channel),
        }
    }

    /// Makes a topic. One that nobody reads is forgotten for it if there are too many: that which was notified least recently, given out
    /// to be dropped without the lock.
    fn make(&mut self, name: &str, config: &Config) -> Result<Option<Topic<T>>, NotifyError> {
        check(name, check_topic).map_err(NotifyError::Topic)?;
        let mut forgotten = None;
        if self.topics.len() >= config.topics {
            let unread = self.topics.values().filter(|topic| topic.channel.seats.is_empty());
            let oldest = unread.min_by_key(|topic| topic.used).ok_or(NotifyError::Full)?;
            let oldest = Arc::clone(&oldest.channel.name);
            forgotten = self.topics.remove(&oldest);
            self.forgotten += 1;
        }
        let name: Arc<str> = Arc::from(name);
        let routes = self.patterns.keys().filter(|pattern| matches(pattern, &name)).cloned().collect();
        let callbacks = callbacks_of(&self.callbacks, &name);
        let channel = Channel::new(Arc::clone(&name));
        let topic = Topic { channel, routes, callbacks, used: self.next };
        self.topics.insert(name, topic);
        Ok(forgotten)
    }

    /// Gives each topic of `pattern` its callbacks anew. What they had before is given out, to be dropped without the lock.
    fn refresh(&mut self, pattern: &str) -> Vec<Callbacks<T>> {
        let concerned = self.topics.values_mut().filter(|topic| matches(pattern, &topic.channel.name));
        let renew = |topic: &mut Topic<T>| {
            let anew = callbacks_of(&self.callbacks, &topic.channel.name);
            std::mem::replace(&mut topic.callbacks, anew)
        };
        concerned.filter_map(renew).collect()
    }
}

fn callbacks_of<T>(all: &[Arc<Callback<T>>], topic: &str) -> Option<Callbacks<T>> {
    let callbacks: Callbacks<T> = all.iter().filter(|callback| matches(&callback.pattern, topic)).cloned().collect();
    (!callbacks.is_empty()).then_some(callbacks)
}

fn check(text: &str, by: fn(&str) -> Result<(), TopicError>) -> Result<(), TopicError> {
    if text.len() > MAX_TOPIC {
        return Err(TopicError::TooLong { len: text.len(), max: MAX_TOPIC });
    }
    by(text)
}

impl<T: Send + Sync + 'static> Inner<T> {
    pub(super) fn new(config: Config) -> Self {
        let state = State {
            next: 0,
            topics: HashMap::default(),
            patterns: HashMap::default(),
            callbacks: Vec::new(),
            subscribers: 0,
            closed: false,
            unheard: 0,
            forgotten: 0,
            left: Account::default(),
        };
        Self {
            config,
            state: Mutex::new(state),
            closed: AtomicBool::new(false),
            called: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// No code of others runs under this lock: whatever panics elsewhere leaves it whole.
    pub(super) fn held(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many a topic keeps.
    fn kept(&self, channel: &Channel<T>) -> usize {
        let for_readers = if channel.seats.is_empty() { 0 } else { self.config.capacity };
        self.config.history.max(for_readers)
    }

    #[inline]
    pub(super) fn notify(self: &Arc<Self>, topic: &str, payload: T, at: Option<UnixTime>) -> Result<Sent, Rejected<T>> {
        let mut state = self.held();
        let number = state.next;
        match state.topics.get_mut(topic) {
            // What happens most often: nobody is to be called or woken, and nothing is to be made.
            Some(entry) if entry.routes.is_empty() && entry.callbacks.is_none() && !entry.channel.is_awaited() => {
                entry.used = number;
                let subscribers = entry.channel.seats.len();
                let keep = self.kept(&entry.channel);
                let mut gone = None;
                let mut unkept = None;
                if keep > 0 {
                    gone = entry.channel.push(Stored::Own { number, at, payload }, keep);
                } else {
                    unkept = Some(payload);
                }
                state.next = number + 1;
                state.unheard += u64::from(subscribers == 0);
                drop(state);
                drop((gone, unkept));
                Ok(Sent { number, subscribers: u32::try_from(subscribers).unwrap_or(u32::MAX) })
            }
            _ => self.notify_all(state, topic, payload, at),
        }
    }

    /// Sends to whoever there is.
    #[cold]
    fn notify_all(
        self: &Arc<Self>,
        mut guard: MutexGuard<'_, State<T>>,
        topic: &str,
        payload: T,
        at: Option<UnixTime>,
    ) -> Result<Sent, Rejected<T>> {
        // What is to be dropped and called once the lock is not held.
        let (mut gone, mut waiters) = (Vec::new(), Vec::new());
        let mut forgotten = None;
        let state = &mut *guard;
        let number = state.next;
        let entry = match state.topics.get_mut(topic) {
            Some(entry) => entry,
            None => {
                let made = state.make(topic, &self.config).map(|oldest| forgotten = oldest);
                match (made, state.topics.get_mut(topic)) {
                    (Ok(()), Some(entry)) => entry,
                    (made, _) => {
                        drop(guard);
                        self.refused.fetch_add(1, Relaxed);
                        return Err(Rejected { payload, error: made.err().unwrap_or(NotifyError::Full) });
                    }
                }
            }
        };
        state.next = number + 1;
        entry.used = number;
        let shared = Arc::new(Notification { number, at, topic: Arc::clone(&entry.channel.name), payload });
        let mut subscribers = entry.channel.seats.len();
        for route in &entry.routes {
            if let Some(channel) = state.patterns.get_mut(route) {
                subscribers += channel.seats.len();
                gone.extend(channel.push(Stored::Shared(Arc::clone(&shared)), self.config.capacity));
                channel.take_waiters(&mut waiters);
            }
        }
        let callbacks = entry.callbacks.clone();
        subscribers += callbacks.as_ref().map_or(0, |callbacks| callbacks.len());
        let keep = self.kept(&entry.channel);
        if keep > 0 {
            gone.extend(entry.channel.push(Stored::Shared(Arc::clone(&shared)), keep));
        }
        entry.channel.take_waiters(&mut waiters);
        state.unheard += u64::from(subscribers == 0);
        drop(guard);
        wake(waiters);
        drop((gone, forgotten));
        if let Some(callbacks) = callbacks {
            deliver(self, &callbacks, &shared);
        }
        Ok(Sent { number, subscribers: u32::try_from(subscribers).unwrap_or(u32::MAX) })
    }

    /// Seats a reader of `pattern`.
    pub(super) fn enter(&self, pattern: &str) -> Result<(Arc<AtomicU64>, Arc<Seat>), SubscribeError> {
        let mut guard = self.held();
        let state = &mut *guard;
        let mut forgotten = None;
        let result = self.place_for(state, pattern).and_then(|()| {
            if is_topic(pattern) {
                if !state.topics.contains_key(pattern) {
                    forgotten = state.make(pattern, &self.config).map_err(|_| SubscribeError::Full)?;
                }
            } else if !state.patterns.contains_key(pattern) {
                let name: Arc<str> = Arc::from(pattern);
                for topic in state.topics.values_mut().filter(|topic| matches(&name, &topic.channel.name)) {
                    topic.routes.push(Arc::clone(&name));
                }
                state.patterns.insert(Arc::clone(&name), Channel::new(name));
            }
            state.channel_mut(pattern).map(Channel::sit).ok_or(SubscribeError::Full)
        });
        state.subscribers += usize::from(result.is_ok());
        drop(guard);
        drop(forgotten);
        self.refused.fetch_add(result.is_err().into(), Relaxed);
        result
    }

    /// Whether one more may subscribe, and to this.
    fn place_for(&self, state: &State<T>, pattern: &str) -> Result<(), SubscribeError> {
        check(pattern, check_pattern).map_err(SubscribeError::Pattern)?;
        if state.subscribers >= self.config.subscribers { Err(SubscribeError::Full) } else { Ok(()) }
    }

    /// Takes a reader's seat away.
    pub(super) fn leave(&self, pattern: &str, seat: &Arc<Seat>) {
        let mut gone = None;
        let mut nobody = None;
        let mut guard = self.held();
        let state = &mut *guard;
        let capacity = self.config.capacity as u64;
        let mut waker = None;
        if let Some(channel) = state.channel_mut(pattern) {
            waker = channel.stand_up(seat);
            let account = seat.account(channel.head(), capacity);
            let is_empty = channel.seats.is_empty();
            state.left.delivered += account.delivered;
            state.left.lagged += account.lagged;
            state.left.waiting += account.waiting;
            state.subscribers -= 1;
            if is_empty && !is_topic(pattern) {
                nobody = state.patterns.remove(pattern);
                for topic in state.topics.values_mut() {
                    topic.routes.retain(|route| **route != *pattern);
                }
            } else if is_empty && let Some(channel) = state.channel_mut(pattern) {
                gone = channel.trim(self.config.history);
            }
        }
        drop(guard);
        drop((gone, nobody, waker));
    }

    /// Adds one who is called.
    pub(super) fn admit(&self, callback: Callback<T>) -> Result<Arc<Callback<T>>, SubscribeError> {
        let callback = Arc::new(callback);
        let mut guard = self.held();
        let result = self.place_for(&guard, &callback.pattern);
        let mut before = Vec::new();
        if result.is_ok() {
            guard.subscribers += 1;
            guard.callbacks.push(Arc::clone(&callback));
            before = guard.refresh(&callback.pattern);
        }
        drop(guard);
        drop(before);
        self.refused.fetch_add(result.is_err().into(), Relaxed);
        result.map(|()| callback)
    }

    /// Removes one who is called. No call begins after this.
    pub(super) fn dismiss(&self, callback: &Arc<Callback<T>>) {
        callback.active.store(false, Release);
        let mut guard = self.held();
        let mut mine = None;
        let mut before = Vec::new();
        if let Some(place) = guard.callbacks.iter().position(|other| Arc::ptr_eq(other, callback)) {
            mine = Some(guard.callbacks.remove(place));
            guard.subscribers -= 1;
            before = guard.refresh(&callback.pattern);
        }
        drop(guard);
        drop((before, mine));
    }

    /// Nobody notifies any more: readers read what there is, and come to the end. Callbacks are let go.
    pub(super) fn close(&self) {
        let mut waiters = Vec::new();
        let mut guard = self.held();
        let state = &mut *guard;
        state.closed = true;
        self.closed.store(true, Release);
        for channel in state.patterns.values_mut().chain(state.topics.values_mut().map(|topic| &mut topic.channel)) {
            channel.take_waiters(&mut waiters);
        }
        let callbacks = std::mem::take(&mut state.callbacks);
        state.subscribers -= callbacks.len();
        let lists: Vec<_> = state.topics.values_mut().filter_map(|topic| topic.callbacks.take()).collect();
        drop(guard);
        wake(waiters);
        drop((callbacks, lists));
    }

    #[cold]
    pub(super) fn empty_or_closed(&self, head: &AtomicU64, next: u64) -> TryRecvError {
        // Closed first: what was sent before that is seen by then.
        if self.closed.load(Acquire) && head.load(Acquire) == next { TryRecvError::Closed } else { TryRecvError::Empty }
    }

    /// The chunks of the topics of `pattern`, and of which of each how many of the last count.
    pub(super) fn history(&self, pattern: &str, limit: usize) -> Vec<Vec<Chunk<T>>> {
        if check(pattern, check_pattern).is_err() {
            return Vec::new();
        }
        let state = self.held();
        let chunks = |topic: &Topic<T>| topic.channel.last(limit).collect();
        if is_topic(pattern) {
            return state.topics.get(pattern).map(chunks).into_iter().collect();
        }
        state.topics.values().filter(|topic| matches(pattern, &topic.channel.name)).map(chunks).collect()
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.held().topics.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.held();
        let mut sum = Account { waiting: 0, ..state.left };
        let capacity = self.config.capacity as u64;
        for channel in state.patterns.values().chain(state.topics.values().map(|topic| &topic.channel)) {
            for seat in &channel.seats {
                let account = seat.account(channel.head(), capacity);
                sum.delivered += account.delivered;
                sum.lagged += account.lagged;
                sum.waiting += account.waiting;
            }
        }
        Snapshot {
            sent: state.next,
            unheard: state.unheard,
            refused: self.refused.load(Relaxed),
            delivered: sum.delivered,
            lagged: sum.lagged,
            waiting: sum.waiting,
            abandoned: state.left.waiting,
            called: self.called.load(Relaxed),
            panics: self.panics.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            subscribers: state.subscribers,
            topics: state.topics.len(),
            topics_forgotten: state.forgotten,
        }
    }
}

/// Wakes them all. The lock is not held: a waker is code of others.
#[inline]
fn wake(waiters: Vec<(usize, Waker)>) {
    for (_, waker) in waiters {
        waker.wake();
    }
}

impl<T> fmt::Debug for Inner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}
