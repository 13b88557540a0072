//! Who sends, who is told, and how it begins and ends.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use daur_core::performance::batch::{
    Config as BatchConfig, ConfigError as BatchError, Snapshot as BatchSnapshot, Trigger,
};
use daur_core::reliability::retry::{self, Class};
use daur_core::time::Duration;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::engine::{Classify, Engine, Items, Message, OnRejected, Rejected};

/// Says how items are gathered and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// When a batch is complete. Without `max_items` there is no limit to their number.
    pub batch: BatchConfig,
    /// Items that wait to be gathered at most; at least 1.
    pub queue: usize,
    /// How often a batch that failed is tried again.
    pub retry: retry::Config,
}

impl Config {
    /// Batches of 100 that wait for a second at most, 1,024 items before them, [`retry::Config::DEFAULT`].
    pub const DEFAULT: Self = Self {
        batch: BatchConfig { max_items: Some(100), ..BatchConfig::DEFAULT },
        queue: 1_024,
        retry: retry::Config::DEFAULT,
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if let Err(error) = self.batch.validate(u32::MAX as usize) {
            return Err(ConfigError::Batch(error));
        }
        if let Err(error) = self.retry.validate() {
            return Err(ConfigError::Retry(error));
        }
        if self.queue == 0 || self.queue > u32::MAX as usize / 16 {
            return Err(ConfigError::Queue);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// One of the batch.
    Batch(BatchError),
    /// One of the retry.
    Retry(retry::ConfigError),
    /// `queue` is 0, or more than 268 million.
    Queue,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Retry(error) => error.fmt(f),
            Self::Queue => f.write_str("batch: `queue` is not within 1 to 268,435,455"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Gives back an item that is not taken.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused<T> {
    /// As many items wait as may.
    Full(T),
    /// The item alone is larger than a batch may be.
    TooLarge(T),
    /// Nobody takes items any more.
    Closed(T),
}

impl<T> Refused<T> {
    /// The item.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::TooLarge(item) | Self::Closed(item) => item,
        }
    }

    const fn text(&self) -> &'static str {
        match self {
            Self::Full(_) => "as many items wait for a batch as may",
            Self::TooLarge(_) => "the item alone is larger than a batch may be",
            Self::Closed(_) => "nobody gathers items any more",
        }
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<T> std::error::Error for Refused<T> {}

/// Shows a [`Batching`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Items that were taken.
    pub accepted: u64,
    /// Items that have been written.
    pub delivered: u64,
    /// Items that could not be written, each alone.
    pub rejected: u64,
    /// Items that wait, or are being written.
    pub waiting: u64,
    /// Writes that were tried again.
    pub retried: u64,
    /// Batches and parts of batches that failed and were halved.
    pub split: u64,
    /// Writes that ended in a panic.
    pub panicked: u64,
    /// The batches so far, by what made them complete.
    pub batches: BatchSnapshot,
}

/// Says what became of all items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Written.
    pub delivered: u64,
    /// Could not be written, each alone.
    pub rejected: u64,
    /// Not dealt with: 0, unless the runtime was shut down before.
    pub lost: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    accepted: AtomicU64,
    delivered: AtomicU64,
    rejected: AtomicU64,
    retried: AtomicU64,
    split: AtomicU64,
    panicked: AtomicU64,
    batches: Mutex<BatchSnapshot>,
}

impl Counts {
    pub(super) fn delivered(&self, items: usize) {
        self.delivered.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn split(&self) {
        self.split.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, batches: BatchSnapshot) {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) = batches;
    }

    fn snapshot(&self) -> Snapshot {
        // What is dealt with is read before what was taken, lest there be more of it.
        let delivered = self.delivered.load(Ordering::Acquire);
        let rejected = self.rejected.load(Ordering::Acquire);
        // A sender that blocks counts its item after it is in the queue.
        let accepted = self.accepted.load(Ordering::Acquire).max(delivered + rejected);
        Snapshot {
            accepted,
            delivered,
            rejected,
            waiting: accepted - (delivered + rejected),
            retried: self.retried.load(Ordering::Relaxed),
            split: self.split.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
            batches: *self.batches.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

type Weigh<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;

/// Sends items to where they are gathered; a clone sends to the same place.
pub struct Sender<T> {
    outbox: mpsc::Sender<Message<T>>,
    weigh: Weigh<T>,
    max_bytes: usize,
    counts: Arc<Counts>,
}

impl<T> Sender<T> {
    /// Sends an item as soon as there is room.
    ///
    /// Cancel-safe: dropped while it waits, it drops the item, which was not taken then.
    ///
    /// # Errors
    /// [`Refused`] with the item.
    #[doc(alias = "add_item")]
    pub async fn send(&self, item: T) -> Result<(), Refused<T>> {
        let Some(bytes) = self.weighed(&item) else { return Err(Refused::TooLarge(item)) };
        // As tokio's own channels do: who always finds room gives way to others now and then.
        tokio::task::coop::consume_budget().await;
        let place = match self.outbox.try_reserve() {
            // To wait in line costs three times as much as to see that there is none.
            Err(mpsc::error::TrySendError::Full(())) => self.outbox.reserve().await.ok(),
            Err(mpsc::error::TrySendError::Closed(())) => None,
            Ok(place) => Some(place),
        };
        let Some(place) = place else { return Err(Refused::Closed(item)) };
        self.counts.accepted.fetch_add(1, Ordering::Release);
        place.send(Message::Item(item, bytes));
        Ok(())
    }

    /// Sends an item if there is room.
    ///
    /// # Errors
    /// [`Refused`] with the item.
    pub fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        let Some(bytes) = self.weighed(&item) else { return Err(Refused::TooLarge(item)) };
        match self.outbox.try_reserve() {
            Ok(place) => {
                self.counts.accepted.fetch_add(1, Ordering::Release);
                place.send(Message::Item(item, bytes));
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(())) => Err(Refused::Full(item)),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Refused::Closed(item)),
        }
    }

    /// Sends an item as soon as there is room, and holds up this thread until then.
    ///
    /// # Errors
    /// [`Refused`] with the item.
    ///
    /// # Panics
    /// On a thread of tokio's, which must not be held up.
    pub fn send_blocking(&self, item: T) -> Result<(), Refused<T>> {
        let Some(bytes) = self.weighed(&item) else { return Err(Refused::TooLarge(item)) };
        match self.outbox.blocking_send(Message::Item(item, bytes)) {
            // Not before: what waits for room and comes back must not pass for lost meanwhile.
            Ok(()) => {
                self.counts.accepted.fetch_add(1, Ordering::Release);
                Ok(())
            }
            Err(mpsc::error::SendError(Message::Item(item, _))) => Err(Refused::Closed(item)),
            Err(mpsc::error::SendError(Message::Flush(_))) => unreachable!("an item was sent"),
        }
    }

    /// Has everything written that was sent before, and waits until it has been dealt with.
    ///
    /// # Errors
    /// [`Refused::Closed`] if nobody takes items any more.
    pub async fn flush(&self) -> Result<(), Refused<()>> {
        let (done, is_done) = oneshot::channel();
        self.outbox.send(Message::Flush(done)).await.map_err(|_| Refused::Closed(()))?;
        is_done.await.map_err(|_| Refused::Closed(()))
    }

    /// Copies out what is worth showing.
    pub fn snapshot(&self) -> Snapshot {
        self.counts.snapshot()
    }

    fn weighed(&self, item: &T) -> Option<usize> {
        Some((self.weigh)(item)).filter(|&bytes| bytes <= self.max_bytes)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            outbox: self.outbox.clone(),
            weigh: Arc::clone(&self.weigh),
            max_bytes: self.max_bytes,
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Gathers what many send, and has it written in batches by one handler (`BatchProcessor`; on tokio).
///
/// For analytics, audit, metrics: what is cheap to lose time on, and dear to write one by one. This is the end that
/// closes it; [`Sender`] is the other.
///
/// # Rules
/// 1. One batch is written at a time; the next ones gather meanwhile, and then senders wait. The order stays, but for what is
///    rejected.
/// 2. A batch that fails is tried again as `retry` and the classifier say. If that does not help it is halved, and each
///    half is tried in the same way, until what fails is one item alone. That one is rejected: counted, and handed to
///    [`on_rejected`](Builder::on_rejected). Nothing else is lost.
/// 3. A handler that panics has failed for good with these items: they are halved at once.
/// 4. [`close`](Self::close) takes no more items, has everything written, and says what became of it. So does dropping the
///    last [`Sender`], without a word. Dropping this does nothing.
/// 5. A handler may be given an item more than once, since nobody knows what a failed write has done: it should be
///    a transaction, or know what it has.
/// 6. `max_wait` counts from when a batch's first item is gathered, also if more come without a pause. What has come during a
///    slow write goes together.
///
/// # Cost
/// A task or a thread; `queue` places; one allocation a batch, and two more to hand it over.
///
/// # Errors
/// [`Refused`], with the item. For a sink that may be away for long take
/// [`Attempts::Forever`](daur_core::reliability::retry::Attempts::Forever) and a classifier that knows what is permanent, so that senders wait instead.
///
/// # Sharing
/// Senders are cloned. Cancel-safe: `send`, `flush` and `close` may be dropped at any time.
///
/// # Example
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use daur_std::performance::batch::{self, Config, Items};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let written = Arc::new(Mutex::new(Vec::new()));
/// let store = Arc::clone(&written);
/// let (sender, batching) = batch::spawn(Config::DEFAULT, move |items: Items<u32>| {
///     let store = Arc::clone(&store);
///     async move {
///         store.lock().unwrap().push(items.to_vec());
///         Ok::<(), std::io::Error>(())
///     }
/// })?;
/// for item in 0..250 {
///     sender.send(item).await?;
/// }
/// let report = batching.close().await;
/// assert_eq!((report.delivered, report.rejected, report.lost), (250, 0, 0));
/// assert_eq!(written.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[doc(alias = "BatchProcessor")]
#[must_use = "`close` says what became of the items"]
pub struct Batching {
    closing: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    counts: Arc<Counts>,
}

impl Batching {
    /// Takes no more items, has everything written that has been taken, and says what became of it.
    ///
    /// Dropped while it waits, it closes all the same.
    pub async fn close(self) -> Report {
        _ = self.closing.send(()); // it may have ended already
        _ = self.ended.await; // always an error: it ends by being dropped
        report(&self.counts)
    }

    /// As [`close`](Self::close), and holds up this thread meanwhile.
    ///
    /// # Panics
    /// On a thread of tokio's, which must not be held up.
    pub fn close_blocking(self) -> Report {
        _ = self.closing.send(());
        _ = self.ended.blocking_recv();
        report(&self.counts)
    }

    /// Copies out what is worth showing.
    pub fn snapshot(&self) -> Snapshot {
        self.counts.snapshot()
    }
}

fn report(counts: &Counts) -> Report {
    let Snapshot { delivered, rejected, waiting, .. } = counts.snapshot();
    Report { delivered, rejected, lost: waiting }
}

impl fmt::Debug for Batching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching").finish_non_exhaustive()
    }
}

/// Starts a task that gathers items and has `handler` write them; see [`Batching`]. Every error is tried again.
///
/// # Errors
/// [`ConfigError`] if `config` is invalid.
///
/// # Panics
/// Outside of a tokio runtime with time.
pub fn spawn<T, E, H, F>(config: Config, handler: H) -> Result<(Sender<T>, Batching), ConfigError>
where
    T: Send + Sync + 'static,
    E: Send + 'static,
    H: FnMut(Items<T>) -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    Ok(Builder::new(config)?.spawn(handler))
}

/// Starts a [`Batching`] with more to say: what items weigh, which errors are permanent, who hears of rejected ones.
///
/// # Example
/// ```
/// use daur_std::core::performance::batch::Config as Batch;
/// use daur_std::core::reliability::retry::Class;
/// use daur_std::performance::batch::{Builder, Config};
///
/// // Lines of a kilobyte at most in one write; on a thread, since writing blocks.
/// let batch = Batch { max_items: Some(100), max_bytes: Some(1_024), ..Batch::DEFAULT };
/// let (sender, batching) = Builder::new(Config { batch, ..Config::DEFAULT })?
///     .sized(|line: &String| line.len())
///     .classify(|error: &&str| if *error == "busy" { Class::Transient } else { Class::Permanent })
///     .on_rejected(|rejected| assert_eq!(rejected.item, "bad"))
///     .spawn_thread("lines", |lines| if lines.iter().any(|line| line == "bad") { Err("not a line") } else { Ok(()) })?;
///
/// for line in ["one", "bad", "two"] {
///     sender.send_blocking(line.to_owned())?;
/// }
/// let report = batching.close_blocking();
/// assert_eq!((report.delivered, report.rejected), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Builder<T, E> {
    config: Config,
    nap: Duration,
    weigh: Weigh<T>,
    classify: Classify<E>,
    on_rejected: OnRejected<T, E>,
}

impl<T: Send + Sync + 'static, E: Send + 'static> Builder<T, E> {
    /// Items have no bytes, every error is tried again, and rejected ones are only counted.
    ///
    /// # Errors
    /// [`ConfigError`] if `config` is invalid.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            nap: Duration::ZERO,
            weigh: Arc::new(|_| 0),
            classify: Box::new(|_| Class::Transient),
            on_rejected: Box::new(|_| ()),
        })
    }

    /// Says how many bytes an item has.
    #[must_use]
    pub fn sized(mut self, weigh: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Arc::new(weigh);
        self
    }

    /// Looks at what has come no more often than once in `nap`, for many senders who are in no hurry: to wake a writer costs
    /// each of them more than to send. A batch may be written that much later than it is full, and a flush may last that
    /// much longer; `queue` must hold what comes meanwhile. `max_wait` counts from the look. After a batch of one item it looks at
    /// once. Not at all by default.
    #[must_use]
    pub const fn napping(mut self, nap: Duration) -> Self {
        self.nap = nap;
        self
    }

    /// Says which errors are worth another try. A batch with one that is not is halved at once, and so is one that makes this
    /// panic.
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&E) -> Class + Send + Sync + 'static) -> Self {
        self.classify = Box::new(classify);
        self
    }

    /// Hears of each item that is rejected, in the task that writes: do not hold it up.
    #[must_use]
    pub fn on_rejected(mut self, hear: impl FnMut(Rejected<'_, T, E>) + Send + 'static) -> Self {
        self.on_rejected = Box::new(hear);
        self
    }

    /// Starts a task on the present runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub fn spawn<H, F>(self, handler: H) -> (Sender<T>, Batching)
    where
        H: FnMut(Items<T>) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (sender, batching, engine) = self.build(handler);
        tokio::spawn(engine.run());
        (sender, batching)
    }

    /// Starts a thread, for a handler that blocks. It needs no runtime, and senders may be of any.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub fn spawn_thread<H>(self, name: &str, mut handler: H) -> io::Result<(Sender<T>, Batching)>
    where
        H: FnMut(&[T]) -> Result<(), E> + Send + 'static,
    {
        let (sender, batching, engine) = self.build(move |items: Items<T>| std::future::ready(handler(&items)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(engine.run()))?;
        Ok((sender, batching))
    }

    fn build<H>(self, handler: H) -> (Sender<T>, Batching, Engine<T, E, H>) {
        let Self { config, nap, weigh, classify, on_rejected } = self;
        let (outbox, inbox) = mpsc::channel(config.queue);
        let (close, closing) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let counts = Arc::new(Counts::default());
        let max_bytes = config.batch.max_bytes.map_or(usize::MAX, |max_bytes| max_bytes as usize);
        let engine = Engine {
            inbox,
            closing,
            trigger: Trigger::try_new(config.batch).unwrap_or_else(|_| Trigger::new(BatchConfig::DEFAULT)),
            max_items: config.batch.max_items.map_or(usize::MAX, |max_items| max_items as usize),
            items: Vec::new(),
            handler,
            nap,
            written: 0,
            retry: config.retry,
            classify,
            on_rejected,
            counts: Arc::clone(&counts),
            _ended: end,
        };
        let sender = Sender { outbox, weigh, max_bytes, counts: Arc::clone(&counts) };
        (sender, Batching { closing: close, ended, counts }, engine)
    }
}

impl<T, E> fmt::Debug for Builder<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
