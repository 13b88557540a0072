//! The result cache: answers kept in an SQLite file, across restarts.

mod flight;
mod store;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use daur_core::time::{Duration, UnixTime, WallClock};
use rusqlite::Connection;

use self::flight::Flights;
use self::store::{Found, Row};
use self::writer::{Ack, Work, Writer};
use crate::error::Error;
use crate::sqlite::{self, Fault};

/// Bytes that a queued entry costs beside its key and value.
const ENTRY_OVERHEAD: u64 = 128;
/// Longest key.
const MAX_KEY: usize = 4_096;

/// How large the cache may grow and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest size of the database file; the oldest rows go first. Its log adds up to about 4 MiB.
    pub max_bytes: u64,
    /// Largest value; a larger one is not kept.
    pub max_value_bytes: usize,
    /// Bytes that may wait for the writer; what comes beyond is not kept.
    pub max_queued_bytes: u64,
    /// Longest wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// Connections that read side by side.
    pub readers: usize,
}

impl Config {
    /// 64 MiB, values up to 1 MiB, 8 MiB queued, a quarter of a second, two readers.
    pub const DEFAULT: Self = Self {
        max_bytes: 64 << 20,
        max_value_bytes: 1 << 20,
        max_queued_bytes: 8 << 20,
        busy_timeout: Duration::from_millis(250),
        readers: 2,
    };

    /// Checks the fields, also against each other.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.max_bytes < 256 << 10 || self.max_bytes > 1 << 40 {
            return Err(Error::Config { field: "max_bytes", allowed: "from 256 KiB to 1 TiB" });
        }
        if self.max_value_bytes == 0 || self.max_value_bytes as u64 > self.max_bytes / 4 {
            return Err(Error::Config {
                field: "max_value_bytes",
                allowed: "at least 1 and at most a quarter of max_bytes",
            });
        }
        if self.max_queued_bytes < self.max_value_bytes as u64 + MAX_KEY as u64 + ENTRY_OVERHEAD {
            return Err(Error::Config { field: "max_queued_bytes", allowed: "at least max_value_bytes + 4224" });
        }
        if self.busy_timeout.as_secs() > 60 {
            return Err(Error::Config { field: "busy_timeout", allowed: "at most 60s" });
        }
        if self.readers == 0 || self.readers > 64 {
            return Err(Error::Config { field: "readers", allowed: "from 1 to 64" });
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

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
///    cannot be written is skipped; both are counted.
/// 2. An acknowledged entry survives the process, `SIGKILL` included. (A power cut may take the last
///    seconds: the log is synced at its checkpoints only.)
/// 3. An entry is fresh while `created <= now < created + ttl` in wall time.
/// 4. Every row has a checksum: a flipped bit is a miss, never wrong bytes.
/// 5. A damaged file is renamed to `NAME.quarantine-*` and a new one takes its place; the newest
///    three are kept. A deleted file is replaced by a new one.
/// 6. The file stays below `max_bytes`: the rows written longest ago go first.
/// 7. Of concurrent callers of [`get_or_compute`](Self::get_or_compute) with the same key one
///    computes; if it fails, panics or is cancelled, the next one does.
/// 8. A database of another program is never touched: [`open`](Self::open) refuses it.
///
/// # Cost
/// One thread that writes; a look-up is one indexed read on the caller's thread. Beside the file:
/// 8 MiB of page cache for each reader and 2 MiB for the writer at most.
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
    readers: Vec<Mutex<Option<Connection>>>,
    next_reader: AtomicUsize,
    /// Counts how often the file has been opened; a reader's complaint names the one it read.
    generation: AtomicU64,
    queued_bytes: AtomicU64,
    stats: Stats,
}

#[derive(Default)]
struct Stats {
    hits: AtomicU64,
    misses: AtomicU64,
    expired: AtomicU64,
    shared: AtomicU64,
    stored: AtomicU64,
    evicted: AtomicU64,
    corrupt: AtomicU64,
    skipped: AtomicU64,
    faults: AtomicU64,
    quarantined: AtomicU64,
    reopened: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    up: AtomicBool,
}

/// What the cache has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Look-ups answered.
    pub hits: u64,
    /// Look-ups not answered, for any reason.
    pub misses: u64,
    /// Misses whose entry was too old.
    pub expired: u64,
    /// Answers shared by a caller who was computing the same.
    pub shared: u64,
    /// Entries written.
    pub stored: u64,
    /// Entries deleted to make room.
    pub evicted: u64,
    /// Entries whose checksum was wrong, and reads that found the file damaged.
    pub corrupt: u64,
    /// Entries not written.
    pub skipped: u64,
    /// Refusals of SQLite or the file system.
    pub faults: u64,
    /// Files put into quarantine.
    pub quarantined: u64,
    /// Times that the file was opened again.
    pub reopened: u64,
    /// Entries in the file.
    pub rows: u64,
    /// Bytes in use in the file.
    pub bytes: u64,
    /// Largest size of the file.
    pub max_bytes: u64,
    /// Bytes that wait for the writer.
    pub queued_bytes: u64,
    /// Whether the file is open at present.
    pub up: bool,
}

impl Row {
    fn size(&self) -> u64 {
        (self.key.len() + self.value.len()) as u64 + ENTRY_OVERHEAD
    }
}

/// Joins `parts` into one key, such that different parts never give the same key.
///
/// # Example
/// ```
/// use daur_std::services::result_cache::key;
///
/// assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
/// ```
pub fn key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<u8> {
    let mut key = Vec::new();
    for part in parts {
        let part = part.as_ref();
        key.extend_from_slice(&(part.len() as u64).to_le_bytes());
        key.extend_from_slice(part);
    }
    key
}

fn millis(at: UnixTime) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

impl ResultCache {
    /// Opens the cache in the file `path`, or creates it, and starts its writer.
    ///
    /// A damaged file is put into quarantine and replaced.
    ///
    /// # Errors
    /// An invalid config, a database of another program, a path where nothing can be created, or
    /// no thread for the writer. After this, nothing fails any more.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let path = path.as_ref().to_path_buf();
        let stats = Stats::default();
        let store = match store::open(&path, &config) {
            Err((Fault::Damaged, _)) => {
                sqlite::quarantine(&path)
                    .map_err(|error| Error::io(format!("moving the damaged {} aside", path.display()), error))?;
                stats.quarantined.fetch_add(1, Relaxed);
                store::open(&path, &config)
            }
            opened => opened,
        };
        let store = store.map_err(|(_, error)| Error::store("opening the result cache", error))?;
        let readers = (0..config.readers).map(|_| Mutex::new(None)).collect();
        let inner = Arc::new(Inner {
            path,
            config,
            readers,
            next_reader: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
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
        let found = self.inner.look_up(key, millis(now)).unwrap_or_else(|(generation, error)| {
            stats.faults.fetch_add(1, Relaxed);
            match Fault::of(&error) {
                Fault::Busy | Fault::Full => {}
                fault => {
                    stats.corrupt.fetch_add(u64::from(fault == Fault::Damaged), Relaxed);
                    // If the writer is gone, every look-up is a miss: nothing is lost.
                    let _ = self.queue.send(Work::Suspect { generation, fault });
                }
            }
            Found::Nothing
        });
        match found {
            Found::Fresh(value, expires) => {
                stats.hits.fetch_add(1, Relaxed);
                return Some((value, Duration::from_millis(expires.saturating_sub(millis(now)).unsigned_abs())));
            }
            Found::Stale => {
                stats.expired.fetch_add(1, Relaxed);
            }
            Found::Damaged => {
                stats.corrupt.fetch_add(1, Relaxed);
                let _ = self.queue.send(Work::Forget { key: key.to_vec() });
            }
            Found::Nothing => {}
        }
        stats.misses.fetch_add(1, Relaxed);
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

    /// The entry of `key`, or what `compute` gives, which is kept for `ttl`.
    ///
    /// Callers who ask for the same key meanwhile wait and share the value, if it is one to keep.
    /// Asking for the same key from inside `compute` never returns.
    ///
    /// # Errors
    /// What `compute` fails with; it is not kept, and the next caller computes.
    pub fn get_or_compute<E>(
        &self,
        key: &[u8],
        ttl: Duration,
        wall: &impl WallClock,
        compute: impl FnOnce() -> Result<Computed, E>,
    ) -> Result<Answer, E> {
        if let Some(value) = wall.unix_now().and_then(|now| self.get(key, now)) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let ticket = self.flights.join(key);
        // A leader that panicked has left nothing: the next one computes.
        let mut slot = ticket.lock().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(value) = slot.as_deref().and_then(Option::as_ref) {
            self.inner.stats.shared.fetch_add(1, Relaxed);
            return Ok(Answer { value: value.clone(), source: Source::Shared });
        }
        if let Some(value) = self.look_again(key, wall) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let value = match compute()? {
            Computed::Pass(value) => value,
            Computed::Keep(value) => {
                if let Some(now) = wall.unix_now() {
                    // If it was skipped, that has been counted.
                    let _ = self.set(key, &value, ttl, now);
                }
                if let Some(slot) = slot.as_deref_mut() {
                    *slot = Some(value.clone());
                }
                ticket.close();
                value
            }
        };
        Ok(Answer { value, source: Source::Computed })
    }

    /// As [`get_or_compute`](Self::get_or_compute), for futures. If the computing caller is
    /// cancelled, the next one computes.
    ///
    /// # Errors
    /// What the future fails with; it is not kept, and the next caller computes.
    #[cfg(feature = "tokio")]
    pub async fn get_or_compute_async<E, F>(
        &self,
        key: &[u8],
        ttl: Duration,
        wall: &impl WallClock,
        compute: impl FnOnce() -> F,
    ) -> Result<Answer, E>
    where
        F: Future<Output = Result<Computed, E>>,
    {
        if let Some(value) = wall.unix_now().and_then(|now| self.get(key, now)) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let ticket = self.async_flights.join(key);
        let mut slot = match ticket.lock() {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        if let Some(value) = slot.as_deref().and_then(Option::as_ref) {
            self.inner.stats.shared.fetch_add(1, Relaxed);
            return Ok(Answer { value: value.clone(), source: Source::Shared });
        }
        if let Some(value) = self.look_again(key, wall) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let value = match compute().await? {
            Computed::Pass(value) => value,
            Computed::Keep(value) => {
                if let Some(now) = wall.unix_now() {
                    // If it was skipped, that has been counted.
                    let _ = self.set_async(key, &value, ttl, now).await;
                }
                if let Some(slot) = slot.as_deref_mut() {
                    *slot = Some(value.clone());
                }
                ticket.close();
                value
            }
        };
        Ok(Answer { value, source: Source::Computed })
    }

    /// Looks once more, as the one who is about to compute: between the first look and joining,
    /// another may have stored the value and left. The miss has been counted.
    fn look_again(&self, key: &[u8], wall: &impl WallClock) -> Option<Vec<u8>> {
        let now = wall.unix_now()?;
        match self.inner.look_up(key, millis(now)) {
            Ok(Found::Fresh(value, _)) => {
                self.inner.stats.hits.fetch_add(1, Relaxed);
                Some(value)
            }
            _ => None,
        }
    }

    /// What the cache has done and holds.
    #[must_use]
    #[doc(alias = "get_stats")]
    pub fn snapshot(&self) -> Snapshot {
        let stats = &self.inner.stats;
        Snapshot {
            hits: stats.hits.load(Relaxed),
            misses: stats.misses.load(Relaxed),
            expired: stats.expired.load(Relaxed),
            shared: stats.shared.load(Relaxed),
            stored: stats.stored.load(Relaxed),
            evicted: stats.evicted.load(Relaxed),
            corrupt: stats.corrupt.load(Relaxed),
            skipped: stats.skipped.load(Relaxed),
            faults: stats.faults.load(Relaxed),
            quarantined: stats.quarantined.load(Relaxed),
            reopened: stats.reopened.load(Relaxed),
            rows: stats.rows.load(Relaxed),
            bytes: stats.bytes.load(Relaxed),
            max_bytes: self.inner.config.max_bytes,
            queued_bytes: self.inner.queued_bytes.load(Relaxed),
            up: stats.up.load(Relaxed),
        }
    }

    /// Queues an entry, or counts it as skipped.
    fn enqueue(&self, key: &[u8], value: &[u8], ttl: Duration, now: UnixTime, ack: Option<Ack>) {
        let config = &self.inner.config;
        let created = millis(now);
        let expires = created.saturating_add_unsigned(ttl.as_millis());
        let skip = || self.inner.stats.skipped.fetch_add(1, Relaxed);
        if key.len() > MAX_KEY || value.len() > config.max_value_bytes || expires == created {
            skip();
            return;
        }
        let size = (key.len() + value.len()) as u64 + ENTRY_OVERHEAD;
        let queued = self.inner.queued_bytes.fetch_add(size, Relaxed) + size;
        let row = || Row { key: key.to_vec(), value: value.to_vec(), created, expires };
        if queued > config.max_queued_bytes || self.queue.send(Work::Set { row: row(), ack }).is_err() {
            self.inner.queued_bytes.fetch_sub(size, Relaxed);
            skip();
        }
    }

    fn ask(&self, work: impl FnOnce(Ack) -> Work) -> Stored {
        let (done, answered) = mpsc::channel();
        let _ = self.queue.send(work(Box::new(move |stored| {
            let _ = done.send(stored);
        })));
        answered.recv().unwrap_or(Stored::Skipped)
    }
}

impl Inner {
    /// Reads `key`; a complaint comes with the generation of the file that was read.
    fn look_up(&self, key: &[u8], now: i64) -> Result<Found, (u64, rusqlite::Error)> {
        let mut reader = self.reader();
        if !self.stats.up.load(Relaxed) {
            return Ok(Found::Nothing);
        }
        // Does not change while a reader is held.
        let generation = self.generation.load(Relaxed);
        let connection = match reader.take() {
            Some(connection) => connection,
            None => store::open_reader(&self.path, &self.config).map_err(|error| (generation, error))?,
        };
        let found = store::look_up(&connection, key, now).map_err(|error| (generation, error))?;
        // After an error the connection is dropped: the next look-up opens the file anew.
        *reader = Some(connection);
        Ok(found)
    }

    /// A reader that is free, or else the next in turn.
    fn reader(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        let turn = self.next_reader.fetch_add(1, Relaxed);
        let in_turn = |i: usize| &self.readers[(turn + i) % self.readers.len()];
        for i in 0..self.readers.len() {
            match in_turn(i).try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(reader)) => return reader.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        in_turn(0).lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_checked_field_by_field() {
        assert!(Config::DEFAULT.validate().is_ok());
        let cases = [
            (Config { max_bytes: 1_000, ..Config::DEFAULT }, "max_bytes"),
            (Config { max_value_bytes: 0, ..Config::DEFAULT }, "max_value_bytes"),
            (Config { max_bytes: 1 << 20, ..Config::DEFAULT }, "max_value_bytes"),
            (Config { max_queued_bytes: 9, ..Config::DEFAULT }, "max_queued_bytes"),
            (Config { busy_timeout: Duration::MAX, ..Config::DEFAULT }, "busy_timeout"),
            (Config { readers: 0, ..Config::DEFAULT }, "readers"),
        ];
        for (config, wrong) in cases {
            match config.validate() {
                Err(Error::Config { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }

    #[test]
    fn different_parts_never_give_the_same_key() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_ne!(key(["a", ""]), key(["a"]));
        assert_eq!(key(["a", "b"]), key([b"a", b"b"]));
    }
}
