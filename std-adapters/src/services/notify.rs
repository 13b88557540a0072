//! Notifications by topic: callbacks, streams, and those of late.
//!
//! What a topic is, and which a pattern stands for, is [`daur_core::services::notify`]'s to say. Where its machine has one ring for all, this
//! keeps one for each topic, so that a busy one pushes out nothing of the others.

mod callback;
mod channel;
mod state;
#[cfg(feature = "tokio")]
mod stream;
mod subscription;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use daur_core::time::{UnixTime, WallClock};
use serde::Serialize;

pub use self::callback::Listener;
pub use self::subscription::{Lagged, RecvError, Subscription, TryRecvError};
pub use daur_core::services::notify::{Sent, SubscribeError, TopicError};

use self::callback::Callback;
use self::channel::Chunk;
use self::state::Inner;
use crate::clock::CoarseWallClock;
use crate::error::Error;

/// Longest topic and longest pattern, in bytes.
pub const MAX_TOPIC: usize = 255;

/// How much is kept, for how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Notifications that may wait for a stream; a slower one lags behind.
    pub capacity: usize,
    /// The last notifications of each topic that are kept for who asks later; 0 keeps none.
    pub history: usize,
    /// Topics at a time. For a new one beyond, that which was notified least recently and has no stream of its own is forgotten with its history.
    pub topics: usize,
    /// Streams and callbacks at a time.
    pub subscribers: usize,
    /// How long a chain of notifications may be of which each is sent by a callback of the one before it.
    pub depth: u32,
}

impl Config {
    /// 256 wait, the last 100 of each of 1,024 topics are kept, 1,024 subscribers, chains of 16.
    pub const DEFAULT: Self = Self { capacity: 256, history: 100, topics: 1_024, subscribers: 1_024, depth: 16 };

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.capacity == 0 || self.capacity > 1 << 20 {
            return Err(Error::Config { field: "capacity", allowed: "from 1 to 1048576" });
        }
        if self.history > 1 << 20 {
            return Err(Error::Config { field: "history", allowed: "at most 1048576" });
        }
        if self.topics == 0 || self.topics > 1 << 20 {
            return Err(Error::Config { field: "topics", allowed: "from 1 to 1048576" });
        }
        if self.subscribers == 0 || self.subscribers > 1 << 20 {
            return Err(Error::Config { field: "subscribers", allowed: "from 1 to 1048576" });
        }
        if self.depth > 1_024 {
            return Err(Error::Config { field: "depth", allowed: "at most 1024" });
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One thing that somebody was to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification<T> {
    /// How many were sent before it, on all topics.
    pub number: u64,
    /// When it was sent, as exact as the system's timer; `None` on a host that does not know the time.
    pub at: Option<UnixTime>,
    /// What it is about.
    #[serde(serialize_with = "as_text")]
    pub topic: Arc<str>,
    /// What is said.
    pub payload: T,
}

/// A [`Notification`] where it lies.
#[derive(Debug, PartialEq, Eq)]
pub struct NotificationRef<'a, T> {
    /// How many were sent before it, on all topics.
    pub number: u64,
    /// When it was sent.
    pub at: Option<UnixTime>,
    /// What it is about.
    pub topic: &'a Arc<str>,
    /// What is said.
    pub payload: &'a T,
}

impl<T> Clone for NotificationRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for NotificationRef<'_, T> {}

impl<T: Clone> NotificationRef<'_, T> {
    /// A copy of it.
    #[must_use]
    pub fn to_owned(self) -> Notification<T> {
        let Self { number, at, topic, payload } = self;
        Notification { number, at, topic: Arc::clone(topic), payload: payload.clone() }
    }
}

impl<'a, T> From<&'a Notification<T>> for NotificationRef<'a, T> {
    fn from(notification: &'a Notification<T>) -> Self {
        let Notification { number, at, topic, payload } = notification;
        Self { number: *number, at: *at, topic, payload }
    }
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Says why a notification was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotifyError {
    /// Its topic is none.
    Topic(TopicError),
    /// There are as many topics as places, and each has a stream.
    Full,
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => error.fmt(f),
            Self::Full => f.write_str("there are as many topics as places, and each has a stream"),
        }
    }
}

impl std::error::Error for NotifyError {}

/// Gives back what was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<T> {
    /// What was to be said.
    pub payload: T,
    /// Why it was not.
    pub error: NotifyError,
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> std::error::Error for Rejected<T> {}

/// The figures of a [`Notifier`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Notifications sent.
    pub sent: u64,
    /// Those of them that nobody had subscribed to.
    pub unheard: u64,
    /// Notifications that were not sent, and subscriptions that were refused.
    pub refused: u64,
    /// Notifications that streams have read, each as often as one has.
    pub delivered: u64,
    /// Those that made room before a stream had read them.
    pub lagged: u64,
    /// Those that wait for a stream.
    pub waiting: u64,
    /// Those that waited for a stream when it was dropped.
    pub abandoned: u64,
    /// Calls of callbacks.
    pub called: u64,
    /// Calls that panicked.
    pub panics: u64,
    /// Calls that were not made, since callbacks had called each other too often.
    pub cut_off: u64,
    /// Streams and callbacks now.
    pub subscribers: usize,
    /// Topics now.
    pub topics: usize,
    /// Topics that were forgotten for others.
    pub topics_forgotten: u64,
}

/// Sends notifications by topic to callbacks and streams, and keeps the last of each topic (the seed's `NotificationManager`).
///
/// For what several parts of a program want to hear of. For what one of them is to do, the [pool](crate::performance::pool); for what people
/// do, [analytics](crate::services::analytics); for what must not be lost, an audit trail.
///
/// A topic has levels between dots, `device.node-1.lost`. A pattern is a topic, or one with wildcards: `*` is any one level, and `>` at
/// the end any one or more.
///
/// # Rules
/// 1. A subscriber gets each notification of its pattern that is sent after it subscribed, once. All streams read them in the order of their
///    numbers; a callback gets those of one thread in their order.
/// 2. A stream that is slow stays subscribed: what made room for others before it was read is told exactly, ahead of the oldest that
///    is still there. With a capacity of 4 and ten notifications: lagged by 6, then 6, 7, 8, 9. Nobody else waits for it.
/// 3. The last [`Config::history`] of each topic are kept, whoever has read them, and though nobody subscribed.
/// 4. A callback is called on the thread that notifies, without a lock. One that panics is counted; the others are called all the same.
/// 5. A callback may notify, subscribe and unsubscribe. What it sends is delivered to callbacks once the one under way has been; a chain
///    of more than [`Config::depth`], or 1,024 that wait on a thread, is cut, and each call that was not made is counted. Streams and history get it anyway.
/// 6. Dropping a [`Subscription`] or a [`Listener`] unsubscribes at once.
/// 7. What is refused is given back and counted: a topic that is none, a subscriber beyond the places.
/// 8. When the last `Notifier` is dropped, streams come to their end once they have read what there is.
///
/// # Cost
/// Sending takes one lock, whatever the number of streams; reading takes none but once in up to 64 notifications. A notification for a pattern
/// with wildcards, or for callbacks, is allocated once. Beside its payload each that is kept takes some 32 bytes, and a topic some 300.
///
/// # Errors
/// [`Rejected`], [`SubscribeError`].
///
/// # Sharing
/// `Clone`, `Send` and `Sync`; clones are the same notifier.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use daur_std::services::notify::{Config, Notifier};
///
/// let notifier: Notifier<&str> = Notifier::new(Config::DEFAULT)?;
/// notifier.notify("user.login", "alice")?;
///
/// let calls = Arc::new(AtomicU32::new(0));
/// let counter = Arc::clone(&calls);
/// let listener = notifier.subscribe("user.*", move |notification| {
///     assert_eq!(notification.payload, "bob");
///     counter.fetch_add(1, Ordering::Relaxed);
/// })?;
/// let mut stream = notifier.stream("user.login")?;
/// notifier.notify("user.login", "bob")?;
/// assert_eq!(calls.load(Ordering::Relaxed), 1);
/// assert_eq!(*stream.try_recv()?.payload, "bob");
///
/// drop(listener);
/// notifier.notify("user.logout", "carol")?;
/// assert_eq!(calls.load(Ordering::Relaxed), 1);
/// let said: Vec<_> = notifier.notifications("user.>", 10).into_iter().map(|one| one.payload).collect();
/// assert_eq!(said, ["alice", "bob", "carol"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "NotificationManager")]
pub struct Notifier<T: Send + Sync + 'static> {
    handle: Arc<Handle<T>>,
}

/// Ends the streams when the last notifier goes.
struct Handle<T: Send + Sync + 'static>(Arc<Inner<T>>);

impl<T: Send + Sync + 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T: Send + Sync + 'static> Clone for Notifier<T> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<T: Send + Sync + 'static> Notifier<T> {
    /// A notifier of which nobody has heard anything.
    ///
    /// # Errors
    /// [`Error::Config`], with the field and what is allowed.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { handle: Arc::new(Handle(Arc::new(Inner::new(config)))) })
    }

    fn inner(&self) -> &Arc<Inner<T>> {
        &self.handle.0
    }

    /// Sends `payload` to all who subscribed to `topic`, and into its history.
    ///
    /// # Errors
    /// [`Rejected`] with the payload: the topic is none, or one too many.
    #[inline]
    pub fn notify(&self, topic: &str, payload: T) -> Result<Sent, Rejected<T>> {
        self.notify_at(topic, payload, CoarseWallClock.unix_now())
    }

    /// [`notify`](Self::notify), of what has happened at another time.
    ///
    /// # Errors
    /// [`Rejected`] with the payload: the topic is none, or one too many.
    pub fn notify_at(&self, topic: &str, payload: T, at: Option<UnixTime>) -> Result<Sent, Rejected<T>> {
        self.inner().notify(topic, payload, at)
    }

    /// Calls `callback` with each notification on the topics of `pattern`, until what it gives is dropped.
    ///
    /// # Errors
    /// [`SubscribeError`]: the pattern is none, or there is no place. Counted.
    pub fn subscribe(
        &self,
        pattern: &str,
        callback: impl Fn(&Notification<T>) + Send + Sync + 'static,
    ) -> Result<Listener<T>, SubscribeError> {
        let callback = Callback { pattern: pattern.into(), active: AtomicBool::new(true), call: Box::new(callback) };
        let callback = self.inner().admit(callback)?;
        Ok(Listener { inner: Arc::clone(self.inner()), callback: Some(callback) })
    }

    /// A stream of the notifications on the topics of `pattern`, from now on.
    ///
    /// # Errors
    /// [`SubscribeError`]: the pattern is none, or there is no place. Counted.
    pub fn stream(&self, pattern: &str) -> Result<Subscription<T>, SubscribeError> {
        let (head, seat) = self.inner().enter(pattern)?;
        Ok(Subscription::new(Arc::clone(self.inner()), pattern, head, seat))
    }

    /// The names of all topics, in their order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.inner().topics()
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner().snapshot()
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner().config
    }
}

impl<T: Clone + Send + Sync + 'static> Notifier<T> {
    /// The last `limit` notifications on the topics of `pattern`, the oldest of them first. A text that is no pattern has none.
    #[doc(alias = "get_notifications")]
    #[must_use]
    pub fn notifications(&self, pattern: &str, limit: usize) -> Vec<Notification<T>> {
        let each = limit.min(self.inner().config.history);
        let topics = self.inner().history(pattern, each);
        // Copied without the lock: how long that takes is the payloads' affair.
        let latest = |chunks: &Vec<Chunk<T>>| {
            let newest_first = chunks.iter().rev().flat_map(|chunk| chunk.iter().rev());
            newest_first.take(each).map(NotificationRef::to_owned).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = topics.iter().flat_map(latest).collect();
        all.sort_unstable_by_key(|notification| notification.number);
        all.drain(..all.len().saturating_sub(limit));
        all
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Notifier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("inner", self.inner()).finish()
    }
}

static GLOBAL: OnceLock<Notifier<Arc<str>>> = OnceLock::new();

/// The one notifier of this process (the seed's `get_notification_manager`), of texts, made with the defaults at its first use unless [`init`] was before.
///
/// # Panics
/// Never: the defaults are valid.
///
/// # Example
/// ```
/// use daur_std::services::notify::notification_manager;
///
/// notification_manager().notify("user_login", r#"{"user_id":"123"}"#.into())?;
/// assert_eq!(notification_manager().notifications("user_login", 10).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "get_notification_manager")]
pub fn notification_manager() -> &'static Notifier<Arc<str>> {
    GLOBAL.get_or_init(|| Notifier::new(Config::DEFAULT).expect("the defaults are valid"))
}

/// Makes `notifier` the one that [`notification_manager`] gives.
///
/// # Errors
/// Gives `notifier` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(notifier: Notifier<Arc<str>>) -> Result<(), Notifier<Arc<str>>> {
    GLOBAL.set(notifier)
}
