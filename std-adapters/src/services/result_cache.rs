//! The result cache: answers kept in an SQLite file, across restarts.

mod compute;
mod config;
mod flight;
mod global;
mod read;
mod stats;
mod store;
mod writer;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use daur_core::time::{Duration, UnixTime};

use self::flight::Flights;
use self::read::{Found, Reader};
use self::stats::{Stats, count};
use self::store::{Asked, Row, Store, millis};
use self::writer::{Ack, Work, Writer};
use crate::error::Error;
use crate::sqlite::{self, Fault};

pub use self::config::Config;
pub use self::global::{init, result_cache};
pub use daur_core::services::result_cache::{Key, KeyBuilder, Snapshot, Ttl};

/// Bytes that a queued entry costs beside its key and value.
const ENTRY_OVERHEAD: u64 = 128;
/// Longest key.
const MAX_KEY: usize = 4_096;

/// Whether an entry was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// It is in the file, and survives the end of this process.
    Yes,
    /// It was too large, expired from the start, or the store could not take it. Counted.
    Skipped,
}

/// What a computation gives to the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed {
    /// A value to keep.
    Keep(Vec<u8>),
    /// A value for this caller alone: a failure, say, that the next caller should not be shown.
    Pass(Vec<u8>),
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the file.
    Cache,
    /// From another caller who was computing it.
    Shared,
    /// From this caller's own computation.
    Computed,
}

/// An answer and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The bytes.
    pub value: Vec<u8>,
    /// Where they came from.
    pub source: Source,
}

/// Keeps results of expensive calls in an SQLite file (the seed's `ResultCache`).
///
/// For answers that are worth keeping across restarts and larger than memory should hold: outputs
/// of commands, answers of models. For small hot values use the cache of
/// `daur_core::performance`, which is a thousand times faster and forgets everything at exit.
///
/// # Rules
/// 1. A fault never fails a request: a look-up that cannot be answered is a miss, an entry that
///    cannot be written is skipped; both are counted. When the fault is over, it goes on by itself.
/// 2. An acknowledged entry survives the process, `SIGKILL` included. (A power cut may take the last
///    seconds: the log is synced at its checkpoints only.)
/// 3. An entry is fresh while `created <= now < created + ttl` in wall time; [`Config::ttl`] may shorten the time.
/// 4. Every row has a checksum: a flipped bit is a miss, never wrong bytes.
/// 5. A damaged file is renamed to `NAME.quarantine-*` and a new one takes its place; the newest
///    three are kept. A deleted file is replaced by a new one.
/// 6. The file stays below `max_bytes`. Above its high water rows go: the oldest first, but those asked for since the hand
///    last passed them are spared once ([`Hand`](daur_core::services::result_cache::Hand)).
/// 7. Of concurrent callers of [`get_or_compute`](Self::get_or_compute) with the same key one
///    computes; if it fails, panics or is cancelled, the next one does.
/// 8. A database of another program is never touched: [`open`](Self::open) refuses it.
/// 9. A lock that another process holds costs a caller the busy timeout once: until somebody gets it again, nobody waits for it.
/// 10. Somebody who reads for long does not make the log grow without end: beyond 8 MiB nothing is written until it can be emptied.
///
/// # Cost
/// One thread that writes; a look-up is one indexed read on the caller's thread. Beside the file:
/// [`Config::page_cache_bytes`] for each reader, 2 MiB for the writer at most, and 64 KiB of marks.
///
/// # Sharing
/// `&self` everywhere; put it into an `Arc`. Dropping it writes what is queued. The asynchronous
/// methods are cancel-safe.
///
/// # Example
/// ```
/// use daur_std::core::time::{Duration, UnixTime};
/// use daur_std::services::result_cache::{self, Config, ResultCache, Stored};
///
/// # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-result-cache");
/// # let _ = std::fs::remove_dir_all(&folder);
/// # std::fs::create_dir_all(&folder)?;
/// let cache = ResultCache::open(folder.join("results.db"), Config::DEFAULT)?;
/// let key = result_cache::key(["uname", "-a"]);
/// let now = UnixTime::from_secs(1_700_000_000);
///
/// assert_eq!(cache.set(&key, b"Linux", Duration::from_secs(60), now), Stored::Yes);
/// assert_eq!(cache.get(&key, UnixTime::from_secs(1_700_000_059)).as_deref(), Some(&b"Linux"[..]));
/// assert_eq!(cache.get(&key, UnixTime::from_secs(1_700_000_060)), None);
/// assert_eq!(cache.snapshot().hits, 1);
/// # drop(cache);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// SQLite: "Write-Ahead Logging", "Result and Error Codes".
pub struct ResultCache {
    inner: Arc<Inner>,
    queue: Sender<Work>,
    writer: Option<JoinHandle<()>>,
    flights: Flights<Mutex<Option<Vec<u8>>>>,
    #[cfg(feature = "tokio")]
    async_flights: Flights<tokio::sync::Mutex<Option<Vec<u8>>>>,
}

/// What callers and the writer share.
struct Inner {
    path: PathBuf,
    config: Config,
    /// `None` until first used, and after the writer has opened the file again.
    readers: Vec<Mutex<Option<Reader>>>,
    next_reader: AtomicUsize,
    /// The last reader to wait for a lock has waited in vain: until one gets it, nobody waits.
    locked: AtomicBool,
    /// Counts how often the file has been opened; a reader's complaint names the one it read.
    generation: AtomicU64,
    /// One more than the last generation that a reader has complained of: one complaint is enough.
    suspected: AtomicU64,
    /// Rows that have been asked for.
    marks: Box<Asked>,
    stats: Stats,
}

/// What an entry costs in the queue.
const fn cost(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_OVERHEAD
}

/// The key of `parts` in their order: [`Key::of`].
///
/// # Example
/// ```
/// use daur_std::services::result_cache::key;
///
/// assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
/// ```
pub fn key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Key {
    Key::of(parts)
}

impl ResultCache {
    /// Opens the cache in the file `path`, or creates it, and starts its writer.
    ///
    /// A damaged file is put into quarantine and replaced.
    ///
    /// # Errors
    /// An invalid config, a database of another program, a path where nothing can be created, or
    /// no thread for the writer. After this, nothing fails any more. A lock that is held or a full disk is no error: the cache
    /// is [down](Snapshot::up) until that has passed.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        config.validate()?;
        // As SQLite does: its log lies beside the file, not beside a link to it.
        let path = path.as_ref();
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let stats = Stats::default();
        let store = match Store::open(&path, &config, true) {
            Err((Fault::Damaged, _)) => {
                sqlite::quarantine(&path)
                    .map_err(|error| Error::io(format!("moving the damaged {} aside", path.display()), error))?;
                count(&stats.quarantined);
                Store::open(&path, &config, true)
            }
            opened => opened,
        };
        let store = match store {
            // Somebody holds the lock or the disk is full: that passes, and then the writer opens it.
            Err((Fault::Busy | Fault::Full, _)) => {
                count(&stats.faults);
                None
            }
            Err((_, error)) => return Err(Error::store("opening the result cache", error)),
            Ok(store) => Some(store),
        };
        let inner = Arc::new(Inner {
            path,
            readers: (0..config.readers).map(|_| Mutex::new(None)).collect(),
            config,
            next_reader: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            suspected: AtomicU64::new(0),
            marks: Box::default(),
            stats,
        });
        let (queue, work) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&inner), work, store);
        let writer = thread::Builder::new()
            .name("result-cache".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("starting the result cache's writer", error))?;
        Ok(Self {
            inner,
            queue,
            writer: Some(writer),
            flights: Flights::default(),
            #[cfg(feature = "tokio")]
            async_flights: Flights::default(),
        })
    }

    /// The entry of `key`, if there is one and it is fresh.
    ///
    /// Reads the file on this thread: some ten microseconds, at worst the busy timeout.
    #[must_use]
    #[doc(alias = "get_cached")]
    pub fn get(&self, key: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        self.get_with_ttl(key, now).map(|(value, _)| value)
    }

    /// As [`get`](Self::get), with the time for which the entry is still good: for a copy that is kept nearer by.
    ///
    /// # Example
    /// ```
    /// use daur_std::core::time::{Duration, UnixTime};
    /// use daur_std::services::result_cache::{Config, ResultCache};
    ///
    /// # let dir = std::env::temp_dir().join(format!("daur-ttl-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let cache = ResultCache::open(dir.join("cache.db"), Config::DEFAULT)?;
    /// cache.set(b"key", b"value", Duration::from_secs(30), UnixTime::from_secs(100));
    /// let left = Duration::from_secs(10);
    /// assert_eq!(cache.get_with_ttl(b"key", UnixTime::from_secs(120)), Some((b"value".to_vec(), left)));
    /// assert_eq!(cache.get_with_ttl(b"key", UnixTime::from_secs(130)), None);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn get_with_ttl(&self, key: &[u8], now: UnixTime) -> Option<(Vec<u8>, Duration)> {
        let stats = &self.inner.stats;
        let found = self.inner.look_up(key, now).unwrap_or_else(|(generation, error)| {
            count(&stats.faults);
            match Fault::of(&error) {
                Fault::Busy | Fault::Full => {}
                fault => {
                    stats.corrupt.fetch_add(u64::from(fault == Fault::Damaged), Relaxed);
                    if self.inner.suspected.swap(generation + 1, Relaxed) != generation + 1 {
                        // If the writer is gone, every look-up is a miss: nothing is lost.
                        let _ = self.queue.send(Work::Suspect { generation, fault });
                    }
                }
            }
            Found::Nothing
        });
        match found {
            Found::Fresh(value, expires) => {
                count(&stats.hits);
                return Some((value, Duration::from_millis(expires.saturating_sub(millis(now)).unsigned_abs())));
            }
            Found::Stale => {
                count(&stats.expired);
            }
            Found::Damaged => {
                count(&stats.corrupt);
                // If there is no room for it, the next look-up finds it damaged again.
                self.queue(cost(key, &[]), || Work::Forget { key: key.to_vec() });
            }
            Found::Nothing => {}
        }
        count(&stats.misses);
        None
    }

    /// Keeps `value` under `key` for `ttl`, and waits until it is in the file.
    #[doc(alias = "cache_result")]
    pub fn set(&self, key: &[u8], value: &[u8], ttl: Duration, now: UnixTime) -> Stored {
        let (done, written) = mpsc::channel();
        self.enqueue(
            key,
            value,
            ttl,
            now,
            Some(Box::new(move |stored| {
                let _ = done.send(stored);
            })),
        );
        // A queue refused or a writer gone drops the sender.
        written.recv().unwrap_or(Stored::Skipped)
    }

    /// Keeps `value` under `key` for `ttl`, some time soon: written with others in one transaction,
    /// which costs a fraction.
    pub fn set_later(&self, key: &[u8], value: &[u8], ttl: Duration, now: UnixTime) {
        self.enqueue(key, value, ttl, now, None);
    }

    /// As [`set`](Self::set), without holding up the thread. If the future is dropped, the entry is
    /// written all the same.
    #[cfg(feature = "tokio")]
    pub async fn set_async(&self, key: &[u8], value: &[u8], ttl: Duration, now: UnixTime) -> Stored {
        let (done, written) = tokio::sync::oneshot::channel();
        self.enqueue(
            key,
            value,
            ttl,
            now,
            Some(Box::new(move |stored| {
                let _ = done.send(stored);
            })),
        );
        written.await.unwrap_or(Stored::Skipped)
    }

    /// Deletes every entry and waits for it.
    pub fn clear(&self) -> Stored {
        self.ask(|ack| Work::Clear { ack })
    }

    /// Waits until everything queued before is written or skipped.
    pub fn flush(&self) {
        let _ = self.ask(|ack| Work::Flush { ack });
    }

    /// What the cache has done and holds.
    #[must_use]
    #[doc(alias = "get_stats")]
    pub fn snapshot(&self) -> Snapshot {
        let Inner { stats, config, .. } = &*self.inner;
        stats.snapshot(config.max_bytes)
    }

    /// Queues an entry, or counts it as skipped.
    fn enqueue(&self, key: &[u8], value: &[u8], ttl: Duration, now: UnixTime, ack: Option<Ack>) {
        let Inner { config, stats, .. } = &*self.inner;
        let life = config.ttl.life(key, ttl, now).map(|life| (millis(life.created), millis(life.expires)));
        // Beyond the year 292 million, the file cannot tell moments apart.
        let life = life.filter(|(created, expires)| created < expires);
        let fits = key.len() <= MAX_KEY && value.len() <= config.max_value_bytes;
        let Some((created, expires)) = life.filter(|_| fits) else { return count(&stats.skipped) };
        let row = || Row { key: key.to_vec(), value: value.to_vec(), created, expires };
        if !self.queue(cost(key, value), || Work::Set { row: row(), ack }) {
            count(&stats.skipped);
        }
    }

    /// Queues work of this size, if there is room for it and somebody to do it.
    fn queue(&self, size: u64, work: impl FnOnce() -> Work) -> bool {
        let Inner { config, stats, .. } = &*self.inner;
        let queued = stats.queued_bytes.fetch_add(size, Relaxed) + size;
        let taken = queued <= config.max_queued_bytes && self.queue.send(work()).is_ok();
        if !taken {
            stats.queued_bytes.fetch_sub(size, Relaxed);
        }
        taken
    }

    fn ask(&self, work: impl FnOnce(Ack) -> Work) -> Stored {
        let (done, answered) = mpsc::channel();
        let _ = self.queue.send(work(Box::new(move |stored| {
            let _ = done.send(stored);
        })));
        answered.recv().unwrap_or(Stored::Skipped)
    }
}

impl Drop for ResultCache {
    fn drop(&mut self) {
        let _ = self.queue.send(Work::Stop);
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultCache").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
