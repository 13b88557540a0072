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
use daur_core::performance::memory::Shrink;
use daur_core::time::{Duration, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::performance::cache::{self, SharedCache};
use daur_std::services::result_cache::{self, Computed, ResultCache, Stored};
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

/// A result in memory. Its bytes are counted as long as it is there.
struct Held {
    value: Bytes,
    size: u64,
    sum: Arc<AtomicU64>,
}

impl Held {
    fn new(key: &[u8], value: &Bytes, sum: &Arc<AtomicU64>) -> Arc<Self> {
        let size = (key.len() + value.len()) as u64;
        sum.fetch_add(size, Ordering::Relaxed);
        Arc::new(Self { value: Arc::clone(value), size, sum: Arc::clone(sum) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.size, Ordering::Relaxed);
    }
}

type Memory = SharedCache<Vec<u8>, Arc<Held>, daur_core::performance::cache::Lru<u8>, cache::Seeded, StdClock>;

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
    /// Bytes of all keys and values in it.
    bytes: Arc<AtomicU64>,
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
    /// Look-ups that it answered, of those that came to it, in thousandths.
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
            memory: Arc::new(SharedCache::with_clock(limits, StdClock)?.weighing(|_, held| held.size as usize)),
            bytes: Arc::default(),
            file: Arc::new(ResultCache::open(path, config.file)?),
            pool,
            config,
            hits: AtomicU64::new(0),
            file_hits: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            computed: AtomicU64::new(0),
        })
    }

    /// The result of `key`, if it is in memory.
    pub fn in_memory(&self, key: &[u8]) -> Option<Answer> {
        let value = Arc::clone(&self.memory.get(key)?.value);
        Some(self.told(value, Source::Memory))
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
        if let Some(answer) = self.in_memory(key) {
            return Ok(answer);
        }
        let mut led = false;
        let look = async || {
            led = true;
            self.look(key, ttl, compute).await.map(|value| Held::new(key, &value, &self.bytes))
        };
        match self.memory.try_get_or_insert_async(key, look).await {
            Ok(held) if led => {
                // It was for those who waited, and for nobody after them.
                self.memory.remove(key);
                Ok(self.told(Arc::clone(&held.value), Source::Computed))
            }
            Ok(held) => Ok(self.told(Arc::clone(&held.value), Source::Shared)),
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
        !matches!(
            self.memory.insert_with_ttl(key.to_vec(), Held::new(key, value, &self.bytes), ttl),
            Inserted::Refused(..)
        )
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

    /// Forgets all results, in memory and in the file; says how many there were.
    ///
    /// # Errors
    /// `overloaded` if the pool is full; `internal` if the file could not be emptied: then the memory is empty all the same.
    pub async fn clear(&self) -> Result<u64, Problem> {
        let (file, in_memory) = (Arc::clone(&self.file), self.memory.len() as u64);
        self.memory.clear();
        let (stored, in_file) = self
            .pool
            .run(move || {
                let before = file.snapshot().rows;
                (file.clear(), before)
            })
            .await?;
        // What was in the file is kept in memory too, as far as that has room.
        match stored {
            Stored::Yes => Ok(in_memory.max(in_file)),
            _ => Err(Problem::internal("the results' file could not be emptied", &"it is down, or full")),
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
        Arc::clone(&self.memory)
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
                bytes: self.bytes.load(Ordering::Relaxed),
                evicted: self.memory.snapshot().evicted,
            },
            file: FileSnapshot { hit_permille: of(in_file, in_file + misses), counters: self.file.snapshot() },
        }
    }
}

/// What is good for less is not worth a place in memory.
const LEAST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool;
    use crate::problem::Code;
    use daur_core::performance::memory::Share;
    use std::cell::Cell;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicU32;

    const TTL: Duration = Duration::from_secs(60);

    struct Kept {
        results: Results,
        path: PathBuf,
    }

    impl Kept {
        fn new(config: Config) -> Self {
            Self::with_pool(config, pool::Config::DEFAULT)
        }

        fn with_pool(config: Config, pool: pool::Config) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("results-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp").join(name);
            std::fs::create_dir_all(&path).unwrap();
            let pool = Pool::new(pool).unwrap();
            Self { results: Results::open(path.join("cache.db"), config, pool).unwrap(), path }
        }

        /// As after a restart: what was in memory is gone.
        fn forget(&self) {
            self.results.memory.clear();
        }

        async fn ask(&self, key: &[u8], ttl: Duration, value: Computed) -> (Vec<u8>, Source) {
            let compute = async || Ok::<_, Problem>(value);
            let answer = self.results.get_or_compute(key, ttl, compute).await.unwrap();
            (answer.value.to_vec(), answer.source)
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    fn keep(text: &str) -> Computed {
        Computed::Keep(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn rule_1_memory_is_asked_first_and_the_file_next() {
        let kept = Kept::new(Config::DEFAULT);
        assert_eq!(kept.ask(b"a", TTL, keep("one")).await, (b"one".to_vec(), Source::Computed));
        assert_eq!(kept.ask(b"a", TTL, keep("two")).await, (b"one".to_vec(), Source::Memory));
        kept.forget();
        assert_eq!(kept.ask(b"a", TTL, keep("two")).await, (b"one".to_vec(), Source::File));
        assert_eq!(kept.ask(b"a", TTL, keep("two")).await, (b"one".to_vec(), Source::Memory));
        let shown = kept.results.snapshot();
        assert_eq!((shown.hits, shown.misses, shown.memory.hits, shown.file.counters.hits), (3, 1, 2, 1));
        assert_eq!((shown.hit_permille, shown.memory.hit_permille), (Some(750), Some(500)));
        assert_eq!(shown.file.hit_permille, Some(500));
    }

    #[tokio::test]
    async fn rule_1_the_memory_keeps_it_no_longer_than_the_file() {
        let kept = Kept::new(Config::DEFAULT);
        // Of its minute, it has spent all but some seconds in the file.
        let then = SystemWallClock.unix_now().unwrap().as_millis() - 55_000;
        let _ = kept.results.file.set(b"a", b"one", TTL, daur_core::time::UnixTime::from_millis(then));
        assert_eq!(kept.ask(b"a", TTL, keep("two")).await, (b"one".to_vec(), Source::File));
        let began = std::time::Instant::now();
        while kept.results.memory.contains(&b"a"[..]) {
            assert!(began.elapsed().as_secs() < 30, "it has stayed");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(kept.ask(b"a", TTL, keep("two")).await, (b"two".to_vec(), Source::Computed));
    }

    #[tokio::test]
    async fn rule_2_all_who_ask_at_the_same_time_share_one_computation() {
        for entries in [0, 1, 1_024] {
            let kept = Kept::new(Config { entries, ..Config::DEFAULT });
            let computed = Cell::new(0);
            let (open, gate) = tokio::sync::watch::channel(false);
            let ask = async || {
                let mut gate = gate.clone();
                let compute = async || {
                    computed.set(computed.get() + 1);
                    gate.wait_for(|open| *open).await.unwrap();
                    Ok::<_, Problem>(keep("one"))
                };
                kept.results.get_or_compute(b"a", TTL, compute).await.unwrap()
            };
            let opens = async {
                while computed.get() == 0 {
                    tokio::task::yield_now().await;
                }
                open.send(true).unwrap();
            };
            let (first, second, third, ()) = tokio::join!(ask(), ask(), ask(), opens);
            let sources = [first.source, second.source, third.source];
            assert_eq!(sources, [Source::Computed, Source::Shared, Source::Shared], "{entries} entries");
            assert_eq!((computed.get(), &*third.value), (1, &b"one"[..]));
        }
    }

    #[tokio::test]
    async fn rule_2_a_failure_is_its_own_callers_alone() {
        let kept = Kept::new(Config::DEFAULT);
        let failed = kept.results.get_or_compute(b"a", TTL, async || Err(Problem::new(Code::Timeout, "no"))).await;
        assert_eq!(failed.unwrap_err().code(), Code::Timeout);
        assert_eq!(kept.ask(b"a", TTL, keep("one")).await.1, Source::Computed);
    }

    #[tokio::test]
    async fn rule_3_what_is_long_is_in_the_file_only() {
        let kept = Kept::new(Config { value_bytes: 4, ..Config::DEFAULT });
        for (source, entries) in [(Source::Computed, 0), (Source::File, 0)] {
            assert_eq!(kept.ask(b"a", TTL, keep("12345")).await.1, source);
            assert_eq!(kept.results.snapshot().memory.entries, entries);
        }
        kept.ask(b"b", TTL, keep("1234")).await;
        assert_eq!(kept.results.snapshot().memory.entries, 1);
        // A longer one in its place is not answered by the shorter one.
        kept.results.put(b"b", &b"12345678"[..].into(), TTL);
        kept.results.file.flush();
        assert_eq!(kept.ask(b"b", TTL, keep("no")).await, (b"12345678".to_vec(), Source::File));
    }

    #[tokio::test]
    async fn rule_4_where_the_pool_is_full_a_look_up_is_overloaded_but_not_one_that_memory_answers() {
        let kept = Kept::with_pool(Config::DEFAULT, pool::Config { workers: 1, queue: 1 });
        kept.ask(b"a", TTL, keep("one")).await;
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let pool = kept.results.pool.clone();
        let (first, second) = (pool.clone(), pool.clone());
        let first = tokio::spawn(async move { first.run(move || gate.recv().is_err()).await });
        while (pool.snapshot().running, pool.snapshot().queued) != (1, 0) {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn(async move { second.run(|| true).await });
        while pool.snapshot().queued == 0 {
            tokio::task::yield_now().await;
        }
        let refused = kept.results.get_or_compute(b"b", TTL, async || Ok::<_, Problem>(keep("two"))).await;
        assert_eq!(refused.unwrap_err().code(), Code::Overloaded);
        assert_eq!(kept.ask(b"a", TTL, keep("no")).await.1, Source::Memory);
        drop(open);
        assert!(first.await.unwrap().unwrap() && second.await.unwrap().unwrap());
        assert_eq!(kept.ask(b"b", TTL, keep("two")).await.1, Source::Computed);
    }

    #[tokio::test]
    async fn rule_5_what_is_for_one_alone_is_not_kept() {
        let kept = Kept::new(Config::DEFAULT);
        let pass = || Computed::Pass(b"no".to_vec());
        assert_eq!(kept.ask(b"a", TTL, pass()).await, (b"no".to_vec(), Source::Computed));
        assert_eq!(kept.ask(b"a", TTL, pass()).await.1, Source::Computed);
        assert_eq!(kept.results.snapshot().memory.entries, 0);
    }

    #[tokio::test]
    async fn who_is_asked_to_gives_memory_back_and_takes_it_again() {
        let kept = Kept::new(Config { entries: 100, ..Config::DEFAULT });
        for n in 0..100_u8 {
            kept.results.put(&[n], &vec![n; 1_000].into(), TTL);
        }
        let shrinker = kept.results.shrinker();
        // And the places in the table.
        let freed = shrinker.shrink(Share::permille(250));
        assert!((75 * 1_001..75 * 1_200).contains(&freed), "{freed}");
        let shown = kept.results.snapshot().memory;
        assert_eq!((shown.entries, shown.capacity, shown.evicted, shown.bytes), (25, 25, 75, 25 * 1_001));
        shrinker.restore(Share::ALL);
        assert_eq!(kept.results.snapshot().memory.capacity, 100);
        // The file has them still.
        kept.results.file.flush();
        assert_eq!(kept.ask(&[0], TTL, keep("no")).await.0, vec![0; 1_000]);
    }
}
