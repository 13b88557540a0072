//! Results of commands and models: in memory, behind that in the file, and computed once for all who ask.
//!
//! # Rules
//! 1. A look-up asks the memory, then the file, and says which of them answered. What the file answers comes to the
//!    memory, and stays there no longer than it would in the file.
//! 2. Callers who ask for the same at the same time share one look-up and one computation, whichever of them began it.
//!    One that fails is its own caller's alone, and the next one computes.
//! 3. A result of more than `value_bytes` is in the file only.
//! 4. The file is read on the [pool](crate::pool): where that is full, a look-up is `overloaded`. A file that is down is
//!    a miss.
//! 5. What a client should not be shown again ([`Computed::Pass`]) is neither kept nor shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::performance::cache::Inserted;
use daur_core::performance::memory::{Resize, Share, Shrink};
use daur_core::time::{Duration, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::performance::cache::{self, SharedCache};
use daur_std::services::result_cache::{self, Computed, ResultCache};
use serde::Serialize;

use crate::pool::Pool;
use crate::problem::Problem;

/// Says what is kept where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Results in memory; 0 for none. Default 1,024.
    pub entries: usize,
    /// The longest one, in bytes. Default 64 KiB.
    pub value_bytes: usize,
    /// Limits of the file.
    pub file: result_cache::Config,
}

impl Config {
    /// 1,024 results of up to 64 KiB in memory, and the file's own defaults.
    pub const DEFAULT: Self = Self { entries: 1_024, value_bytes: 64 << 10, file: result_cache::Config::DEFAULT };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.entries > 1 << 20 {
            return Err(format!("`entries` is {}; it may be {} at most", self.entries, 1 << 20));
        }
        if self.entries > 0 && self.value_bytes == 0 {
            return Err("`value_bytes` is 0; for no results in memory, set `entries` to 0".into());
        }
        self.file.validate().map_err(|error| format!("`file_bytes`: {error}"))
    }
}

/// A result, as it is kept.
pub type Bytes = Arc<[u8]>;

type Memory = SharedCache<Vec<u8>, Bytes, daur_core::performance::cache::Lru<u8>, std::hash::RandomState, StdClock>;

/// Where a result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From memory.
    Memory,
    /// From the file.
    File,
    /// From another caller, who was looking it up or computing it.
    Shared,
    /// From this caller's own computation.
    Computed,
}

/// A result and where it came from.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The result.
    pub value: Bytes,
    /// Where it came from.
    pub source: Source,
}

/// Keeps results.
pub struct Results {
    /// Where nothing is kept in memory, those who ask at the same time still meet here.
    memory: Arc<Memory>,
    file: Arc<ResultCache>,
    pool: Pool,
    config: Config,
    hits: AtomicU64,
    file_hits: AtomicU64,
    shared: AtomicU64,
    computed: AtomicU64,
}

/// Shows what look-ups came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Snapshot {
    /// Answered by memory or file.
    pub hits: u64,
    /// Computed.
    pub misses: u64,
    /// Answered by a caller who was looking up or computing the same.
    pub shared: u64,
    /// Answered without a computation of its own, in thousandths; `None` before the first.
    pub hit_permille: Option<u64>,
    /// The memory.
    pub memory: MemorySnapshot,
    /// The file.
    pub file: FileSnapshot,
}

/// Shows the results in memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemorySnapshot {
    /// Look-ups that it answered.
    pub hits: u64,
    /// Of all look-ups, in thousandths.
    pub hit_permille: Option<u64>,
    /// Results in it.
    pub entries: usize,
    /// Results that may be in it now.
    pub capacity: usize,
    /// Bytes of them and their keys.
    pub bytes: u64,
    /// Results that left to make room, or because memory was short.
    pub evicted: u64,
}

/// Shows the file.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FileSnapshot {
    /// Look-ups that it answered.
    pub hits: u64,
    /// Of those that came to it, in thousandths.
    pub hit_permille: Option<u64>,
    /// Its own counters.
    #[serde(flatten)]
    pub counters: result_cache::Snapshot,
}

/// How a flight ended without something for all who wait.
enum Stop<E> {
    /// This is kept elsewhere, or for this caller alone.
    Done(Bytes, Source),
    Failed(E),
}

impl Results {
    /// Opens the file at `path`, which is read on `pool`.
    ///
    /// # Errors
    /// An invalid config; a file that cannot be opened.
    pub fn open(
        path: impl AsRef<std::path::Path>,
        config: Config,
        pool: Pool,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        config.validate()?;
        let limits = cache::Config { max_size: config.entries.max(1), ..cache::Config::DEFAULT };
        Ok(Self {
            // A clock that is exact: what is kept for a millisecond is not kept for four.
            memory: Arc::new(SharedCache::with_clock(limits, StdClock)?),
            file: Arc::new(ResultCache::open(path, config.file)?),
            pool,
            config,
            hits: AtomicU64::new(0),
            file_hits: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            computed: AtomicU64::new(0),
        })
    }

    /// The result of `key`, or what `compute` gives.
    ///
    /// # Errors
    /// What `compute` fails with; `overloaded` if the pool is full.
    pub async fn get_or_compute<E, F>(
        &self,
        key: &[u8],
        ttl: Duration,
        compute: impl FnOnce() -> F,
    ) -> Result<Answer, E>
    where
        E: From<Problem>,
        F: Future<Output = Result<Computed, E>>,
    {
        if let Some(value) = self.memory.get(key) {
            return Ok(self.told(value, Source::Memory));
        }
        let mut led = false;
        let look = async || {
            led = true;
            self.look(key, ttl, compute).await
        };
        match self.memory.try_get_or_insert_async(key, look).await {
            Ok(value) if led => {
                // It was for those who waited, and for nobody after them.
                self.memory.remove(key);
                Ok(self.told(value, Source::Computed))
            }
            Ok(value) => Ok(self.told(value, Source::Shared)),
            Err(Stop::Done(value, source)) => Ok(self.told(value, source)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Looks in the file, then computes. What goes to the memory is put there with its own time to live, which the
    /// next in line finds.
    async fn look<E, F>(&self, key: &[u8], ttl: Duration, compute: impl FnOnce() -> F) -> Result<Bytes, Stop<E>>
    where
        E: From<Problem>,
        F: Future<Output = Result<Computed, E>>,
    {
        let found = self.in_file(key).await.map_err(|problem| Stop::Failed(problem.into()))?;
        if let Some((value, left)) = found {
            let value = Bytes::from(value);
            self.remember(key, &value, left);
            return Err(Stop::Done(value, Source::File));
        }
        let value = match compute().await.map_err(Stop::Failed)? {
            Computed::Pass(value) => return Err(Stop::Done(value.into(), Source::Computed)),
            Computed::Keep(value) => Bytes::from(value),
        };
        if let Some(now) = SystemWallClock.unix_now() {
            // If it was skipped, that has been counted.
            let _ = self.file.set_async(key, &value, ttl, now).await;
        }
        if self.remember(key, &value, ttl) { Err(Stop::Done(value, Source::Computed)) } else { Ok(value) }
    }

    async fn in_file(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Duration)>, Problem> {
        let Some(now) = SystemWallClock.unix_now() else { return Ok(None) };
        let (file, key) = (Arc::clone(&self.file), key.to_vec());
        self.pool.run(move || file.get_with_ttl(&key, now)).await
    }

    /// Keeps a result in memory, if it is for there; says whether it is in it now.
    fn remember(&self, key: &[u8], value: &Bytes, ttl: Duration) -> bool {
        let Config { entries, value_bytes, .. } = self.config;
        if entries == 0 || value.len() > value_bytes || ttl < LEAST {
            return false;
        }
        !matches!(self.memory.insert_with_ttl(key.to_vec(), Arc::clone(value), ttl), Inserted::Refused(..))
    }

    /// Keeps a result in the place of whatever is kept under its key.
    pub fn put(&self, key: &[u8], value: &Bytes, ttl: Duration) {
        if let Some(now) = SystemWallClock.unix_now() {
            self.file.set_later(key, value, ttl, now);
        }
        if !self.remember(key, value, ttl) {
            self.memory.remove(key);
        }
    }

    fn told(&self, value: Bytes, source: Source) -> Answer {
        let count = match source {
            Source::Memory => &self.hits,
            Source::File => &self.file_hits,
            Source::Shared => &self.shared,
            Source::Computed => &self.computed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        Answer { value, source }
    }

    /// What gives back memory when that is short.
    pub fn shrinker(&self) -> impl Shrink + Send + Sync + use<> {
        let (memory, entries) = (Arc::clone(&self.memory), self.config.entries.max(1));
        Resize(move |keep: Share| {
            let before = bytes(&memory);
            memory.resize_soft(keep.of(entries));
            before.saturating_sub(bytes(&memory))
        })
    }

    /// What look-ups came to.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (in_memory, in_file) = (load(&self.hits), load(&self.file_hits));
        let (shared, misses) = (load(&self.shared), load(&self.computed));
        let of = |part: u64, whole: u64| (part * 1_000).checked_div(whole);
        let all = in_memory + in_file + shared + misses;
        Snapshot {
            hits: in_memory + in_file,
            misses,
            shared,
            hit_permille: of(in_memory + in_file + shared, all),
            memory: MemorySnapshot {
                hits: in_memory,
                hit_permille: of(in_memory, all),
                entries: self.memory.len(),
                capacity: if self.config.entries == 0 { 0 } else { self.memory.capacity() },
                bytes: bytes(&self.memory),
                evicted: self.memory.snapshot().evicted,
            },
            file: FileSnapshot {
                hits: in_file,
                hit_permille: of(in_file, in_file + misses),
                counters: self.file.snapshot(),
            },
        }
    }
}

/// Bytes of all keys and values.
fn bytes(memory: &Memory) -> u64 {
    let mut sum = 0;
    memory.for_each(|key, value| sum += (key.len() + value.len()) as u64);
    sum
}

/// What is good for less is not worth a place in memory.
const LEAST: Duration = Duration::from_millis(1);
