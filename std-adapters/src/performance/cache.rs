//! The cache for many threads and tasks: each answer is computed once.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use daur_core::performance::cache::{self as machine, Inserted, Lru, Policy, Snapshot};
use daur_core::time::{Clock, Duration, Instant};

use crate::clock::CoarseClock;

mod flight;
mod hash;
mod home;
#[cfg(all(test, daur_loom))]
mod loom;
mod part;
mod shard;
mod shrink;
mod smart;
#[cfg(not(daur_loom))]
mod sync;
#[cfg(daur_loom)]
#[path = "cache/sync/loom.rs"]
mod sync;
#[cfg(all(test, not(daur_loom)))]
mod tests;

pub use hash::Seeded;
pub use smart::{SmartCache, init, smart_cache};

use flight::Flight;
use home::Desk;
use part::Part;
use shard::{Contents, PLACES, Put, Room, Shard, Spare};
use sync::Arc;

/// Says how many entries there may be, and how long they are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Entries at the same time; from 1 to [`MAX_SIZE`].
    pub max_size: usize,
    /// How long after its insertion an entry expires; `None` for never. Not zero.
    pub ttl: Option<Duration>,
    /// How long after its last use an entry expires; `None` for never. Not zero. With both times, the sooner counts.
    pub idle: Option<Duration>,
    /// How long before its expiry an entry is computed anew by the `get_or_insert` verbs: by one caller, while
    /// all others still get it. Less than the `ttl`, which it needs, and than `idle`. `None` to wait until it has expired.
    pub refresh_ahead: Option<Duration>,
}

/// The most entries of one cache.
pub const MAX_SIZE: usize = 1 << 28;

impl Config {
    /// 1,000 entries that never expire.
    pub const DEFAULT: Self = Self { max_size: 1_000, ttl: None, idle: None, refresh_ahead: None };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.max_size == 0 {
            return Err(ConfigError::NoCapacity);
        }
        if self.max_size > MAX_SIZE {
            return Err(ConfigError::MaxSize);
        }
        if let Err(error) = shard::suits(&self.machine()) {
            return Err(ConfigError::Machine(error));
        }
        let Some(ahead) = self.refresh_ahead else { return Ok(()) };
        match (self.ttl, self.idle) {
            (Some(ttl), _) if ttl.as_nanos() <= ahead.as_nanos() => Err(ConfigError::RefreshAhead),
            (_, Some(idle)) if idle.as_nanos() <= ahead.as_nanos() => Err(ConfigError::RefreshAhead),
            (Some(_), _) => Ok(()),
            (None, _) => Err(ConfigError::RefreshAhead),
        }
    }

    const fn machine(&self) -> machine::Config {
        machine::Config { ttl: self.ttl, idle: self.idle }
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
    /// `max_size` is 0.
    NoCapacity,
    /// `max_size` is above [`MAX_SIZE`].
    MaxSize,
    /// `refresh_ahead` is not less than `ttl` and `idle`, or there is no `ttl`.
    RefreshAhead,
    /// What the cache of `daur-core` says.
    Machine(machine::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity => f.write_str("shared cache: `max_size` is 0; at least 1 is needed"),
            Self::MaxSize => write!(f, "shared cache: `max_size` is above {MAX_SIZE}"),
            Self::RefreshAhead => f.write_str(
                "shared cache: `refresh_ahead` needs a `ttl` that is longer, and an `idle` time too if there is one",
            ),
            Self::Machine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Machine(error) => Some(error),
            _ => None,
        }
    }
}

/// Keeps up to `max_size` answers for all threads and tasks, and computes each once for all who ask at the same time.
///
/// The host's half of the seed's `SmartCache`; [`SmartCache`] is that one itself, with text keys and values of any
/// type. On one thread, or with the exact order over more than 256 entries, use [`machine::Cache`] in a
/// [`StdShared`](crate::shared::StdShared). For answers that outlive the process use
/// [`result_cache`](crate::services::result_cache). Under memory pressure it is a
/// [`Shrink`](daur_core::performance::memory::Shrink).
///
/// `K` is looked up by anything it can be borrowed as. `V` is cloned out: make it an [`Arc`] if that
/// costs. `P` is the policy, with links of `u8`: [`Lru`], or
/// [`Sieve`](machine::Sieve), which hits for less and resists scans. `S` makes the hasher, and is to be keyed where strangers choose the keys. `C` tells
/// the time; tests set it with a [`ManualClock`](crate::clock::ManualClock).
///
/// # Rules
/// 1. There are never more than `max_size` entries, at no moment and whoever looks.
/// 2. Nothing is evicted while there are fewer. Then an entry leaves that the policy chooses: among all up to a
///    `max_size` of 256, above it among those that share the new one's lock, a hundred or two. A lock has 256 places, and
///    evicts too when they are taken: before the whole is full if the hasher spreads the keys badly, and with a good one
///    an entry or two in one of 600 caches of 65,536.
/// 3. An entry is found until, and no longer at, its ttl after its insertion or last replacement. One that has
///    expired is not counted by [`len`](Self::len), and leaves before any under the same lock that has not.
/// 4. Callers of the `get_or_insert` verbs who ask for the same key at the same time, threads and tasks alike, share
///    one computation and get clones of its answer.
/// 5. A computation that fails, panics or is dropped is its own caller's matter alone. The one who has waited
///    longest computes next.
/// 6. An insertion, a removal or [`clear`](Self::clear) during a computation wins over it: who waits gets the answer,
///    but it is not kept, and who asks later does not join.
/// 7. A computation may use the cache, for other keys too. Inside the computation of a key, on its thread, the same
///    key is computed without sharing: waiting would be for ever.
/// 8. Values and keys are dropped outside the locks, so a `Drop` may use the cache. `Eq` and `Clone` run under
///    a lock and must not. A panic in any of them locks nobody out.
/// 9. With `refresh_ahead`, one caller computes an entry anew before it expires, and gets the former value if that
///    fails; all others get the former value at once.
///
/// # Cost
/// RAM: at most 8 KiB for each lock, and 8 bytes beside the key and value of each entry that is there. There is one
/// lock up to a `max_size` of 256, above it one for every 192 entries, or for every 64 while there are fewer than
/// four for each processor. So a small cache takes 8 KiB, and one of 65,536 `u64 -> u64` 68 bytes an entry.
///
/// Every verb on a key is O(1). An insertion into a full cache in which something has expired walks over the 256 places
/// of its lock first. [`len`](Self::len) takes every lock in turn where entries may expire; `sweep` as its budget
/// says; `retain`, `for_each`, `resize_soft` and `clear` see every entry.
///
/// A hit costs a hash, a look-up and a lock that hits share; the clock is read only where entries may expire. Its use is
/// noted beside the lock, in the order of all uses, and every 28th takes the lock alone and applies them; with
/// [`Sieve`](machine::Sieve), which hits for a quarter less, only the first use of an entry is noted. With an `idle` time
/// every hit takes the lock alone. Where many threads hit, what costs is the cache line with the lock, which each of them
/// writes. A computation allocates once, a caller that waits once more, and both are freed with it.
///
/// # Sharing
/// `&self` everywhere; hits never wait for each other, nor do keys of different shards. For threads to share it keys and
/// values are `Send` and `Sync`, since two may read one at the same time. No lock is held while anything is computed or
/// waited for. A dropped future leaves nothing behind but what rule 5 says.
///
/// A thread that waits is blocked: do not call the blocking verbs in a task for what another task of the same thread
/// computes. Two computations that wait for each other's keys wait for ever, as two locks would.
///
/// # Example
/// ```
/// use daur_std::core::time::Duration;
/// use daur_std::performance::cache::{Config, SharedCache};
///
/// let ttl = Some(Duration::from_secs(60));
/// let pages: SharedCache<String, String> = SharedCache::try_new(Config { max_size: 100, ttl, ..Config::DEFAULT })?;
/// let page = pages.get_or_insert_with("/", || "<h1>Home</h1>".to_owned());
/// assert_eq!(pages.get("/"), Some(page));
/// assert_eq!(pages.try_get_or_insert_with("/x", || Err("not found")), Err("not found"));
/// assert_eq!(pages.get("/x"), None);
/// assert_eq!(pages.snapshot().hits, 1);
/// # Ok::<(), daur_std::performance::cache::ConfigError>(())
/// ```
#[doc(alias = "get_smart_cache")]
pub struct SharedCache<K, V, P: Policy = Lru<u8>, S = Seeded, C = CoarseClock> {
    shards: Box<[Part<K, V, P>]>,
    room: Box<Line<Room>>,
    config: Config,
    hasher: S,
    clock: C,
    /// Where the next sweep goes on, and the next search for something to evict.
    hand: AtomicUsize,
    /// Whether any entry may expire: without one the clock is not read.
    timed: AtomicBool,
    weigh: Option<fn(&K, &V) -> usize>,
}

/// What a look under a shared lock has come to.
enum Look<V> {
    Hit(V),
    /// There is no entry of the key.
    Nothing,
    /// Only who has the lock alone can tell.
    Unclear,
}

/// On cache lines of its own, in pairs as processors fetch them.
#[repr(align(128))]
struct Line<T>(T);

impl<K: Hash + Eq, V> SharedCache<K, V> {
    /// A cache by the coarse clock, for keys from anywhere.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, CoarseClock)
    }
}

impl<K: Hash + Eq, V, C: Clock> SharedCache<K, V, Lru<u8>, Seeded, C> {
    /// A cache by `clock`.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        Self::with_hasher(config, clock, Seeded::default())
    }
}

impl<K: Hash + Eq, V, P: Policy, S: BuildHasher, C: Clock> SharedCache<K, V, P, S, C> {
    /// A cache by `clock` that hashes by `hasher`, with any policy.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_hasher(config: Config, clock: C, hasher: S) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::unchecked(config, clock, hasher))
    }

    fn unchecked(config: Config, clock: C, hasher: S) -> Self {
        Self {
            shards: (0..shards(config.max_size)).map(|_| Part::new(config.machine())).collect(),
            room: Box::new(Line(Room::new(config.max_size))),
            config,
            hasher,
            clock,
            hand: AtomicUsize::new(0),
            timed: AtomicBool::new(config.ttl.is_some() || config.idle.is_some()),
            weigh: None,
        }
    }

    /// Estimates what an entry owns outside of itself, in bytes, by `weigh`: for what
    /// [`shrink`](daur_core::performance::memory::Shrink::shrink) says it freed.
    #[must_use]
    pub fn weighing(mut self, weigh: fn(&K, &V) -> usize) -> Self {
        self.weigh = Some(weigh);
        self
    }

    /// The value of `key`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        match self.look(hash, key, Duration::ZERO) {
            Look::Hit(value) => Some(value),
            Look::Nothing => {
                self.part(hash).0.miss();
                None
            }
            Look::Unclear => self.get_alone(hash, key),
        }
    }

    /// As `get`, with the lock alone.
    fn get_alone<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        // What has expired is handed out of the lock, and dropped here.
        let found = self.with(hash, |shard, hash, now| shard.get(hash, key, now, self.room()).cloned());
        found.ok()
    }

    /// Looks for the value of `key` under the shared lock, if it will be good for `ahead` yet: a use of it.
    #[inline]
    fn look<Q>(&self, hash: u64, key: &Q, ahead: Duration) -> Look<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        if self.config.idle.is_some() {
            return Look::Unclear; // each use renews the entry
        }
        let (part, hash) = self.part(hash);
        let found = part.use_of(|shard| {
            let (place, value) = shard.locate(hash, key, self.time().map(|now| now + ahead))?;
            Ok((place, value.clone()))
        });
        match found {
            Ok(value) => Look::Hit(value),
            Err(Some(false)) => Look::Nothing,
            Err(Some(true) | None) => Look::Unclear,
        }
    }

    /// The value of `key`, without a trace in order or counts.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let (part, hash) = self.part(self.hash(key));
        part.read(|shard| shard.locate(hash, key, self.time()).ok().map(|(_, value)| value.clone()))
    }

    /// Whether `key` would be found, without a trace in order or counts.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (part, hash) = self.part(self.hash(key));
        part.read(|shard| shard.contains(hash, key, self.now()))
    }

    /// Keeps `value` under `key` for the config's ttl.
    pub fn insert(&self, key: K, value: V) -> Inserted<K, V> {
        self.store(key, value, None)
    }

    /// Keeps `value` under `key` for `ttl`; a zero one has expired already.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) -> Inserted<K, V> {
        self.timed.store(true, Ordering::Relaxed);
        self.store(key, value, Some(ttl))
    }

    /// Removes the entry of `key` and returns its value if it had not expired.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // Out here, so that it is dropped without the lock even if `Eq` panics; so it is below.
        let mut detached = None;
        let (was_there, gone) = self.with(self.hash(key), |shard, hash, now| {
            detached = shard.detach(hash, key);
            shard.remove(hash, key, now, self.room())
        });
        gone.filter(|_| was_there).map(|(_, value)| value)
    }

    /// Removes every entry that `keep` does not want; `keep` runs under a lock.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        for shard in &self.shards {
            let gone = self.with_shard(shard, |shard, now| shard.retain(now, self.room(), &mut keep));
            drop(gone);
        }
    }

    /// Calls `f` with every entry that has not expired, a lock at a time: not at one moment, and not as a use.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            self.with_shard(shard, |shard, now| shard.for_each(now, &mut f));
        }
    }

    /// Forgets all entries; they count as removed.
    pub fn clear(&self) {
        for shard in &self.shards {
            let gone: Contents<K, V> = self.with_shard(shard, |shard, _| shard.clear(self.room()));
            drop(gone);
        }
    }

    /// The value of `key`; if there is none, `compute` makes it, once for all who ask meanwhile. They are blocked.
    #[inline]
    pub fn get_or_insert_with<Q>(&self, key: &Q, compute: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        match self.try_get_or_insert_with(key, || Ok::<V, Infallible>(compute())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value of `key`; if there is none, `compute` makes it, once for all who ask meanwhile. They are blocked.
    ///
    /// # Errors
    /// Those of this caller's own `compute`. They are not kept, and the others do not see them.
    #[inline]
    pub fn try_get_or_insert_with<Q, E>(&self, key: &Q, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        flight::run(&Desk { cache: self, hash: self.hash(key), key }, compute)
    }

    /// The value of `key`; if there is none, `compute` makes it, once for all who ask meanwhile. On any runtime.
    pub async fn get_or_insert_async<Q, F>(&self, key: &Q, compute: impl FnOnce() -> F) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        F: Future<Output = V>,
    {
        let compute = || {
            let future = compute();
            async { Ok::<V, Infallible>(future.await) }
        };
        match self.try_get_or_insert_async(key, compute).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value of `key`; if there is none, `compute` makes it, once for all who ask meanwhile. On any runtime.
    ///
    /// # Errors
    /// Those of this caller's own `compute`. They are not kept, and the others do not see them.
    pub async fn try_get_or_insert_async<Q, E, F>(&self, key: &Q, compute: impl FnOnce() -> F) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        F: Future<Output = Result<V, E>>,
    {
        flight::run_async(&Desk { cache: self, hash: self.hash(key), key }, compute).await
    }

    /// Entries now, without those that have expired: these are removed.
    pub fn len(&self) -> usize {
        if self.timed.load(Ordering::Relaxed) {
            self.sweep(usize::MAX);
        }
        self.room().used()
    }

    /// Whether there is no entry that has not expired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that may be at once: `max_size`, or less after [`resize_soft`](Self::resize_soft).
    pub fn capacity(&self) -> usize {
        self.room().limit()
    }

    /// Removes what has expired among about `budget` entries, and returns how many there were.
    ///
    /// Each call goes on where the last one stopped, one lock's worth of entries at a time.
    pub fn sweep(&self, budget: usize) -> usize {
        let shards = self.shards.len();
        let steps = budget.div_ceil(PLACES).min(shards);
        let from = self.hand.fetch_add(steps, Ordering::Relaxed);
        let mut gone = Vec::new();
        let mut swept = 0;
        for step in 0..steps {
            let shard = &self.shards[from.wrapping_add(step) % shards];
            swept += self.with_shard(shard, |shard, now| shard.sweep(now, self.room(), &mut gone));
            gone.clear();
        }
        swept
    }

    /// Lets at most `capacity` entries be at once, up to `max_size`, and returns how many it evicted for that.
    ///
    /// Their memory is freed. For memory pressure: shrink, and grow back when it is over. A cache shrunk to nothing
    /// refuses every insertion.
    pub fn resize_soft(&self, capacity: usize) -> usize {
        self.shrink_to(capacity).0
    }

    /// As `resize_soft`, and how many bytes that freed: an estimate.
    fn shrink_to(&self, capacity: usize) -> (usize, u64) {
        let room = self.room();
        // What has expired leaves first.
        let before = self.len();
        room.set_limit(capacity.min(self.config.max_size));
        // All shards at the same rate.
        let kept = |len: usize| (len as u128 * room.limit() as u128).div_ceil(before.max(1) as u128);
        let (mut evicted, mut bytes) = self.evict(|len| len.saturating_sub(usize::try_from(kept(len)).unwrap_or(len)));
        // What rounding has left, or was inserted meanwhile, one by one.
        while room.excess() > 0 {
            let (more, of) = self.evict(|_| 1);
            if more == 0 {
                break;
            }
            (evicted, bytes) = (evicted + more, bytes + of);
        }
        (evicted, bytes)
    }

    /// Evicts as many of each shard as `most` makes of its length, as long as there are too many.
    fn evict(&self, most: impl Fn(usize) -> usize) -> (usize, u64) {
        let (mut evicted, mut bytes) = (0, 0);
        for shard in &self.shards {
            let mut gone = Vec::new();
            self.with_shard(shard, |shard, now| {
                shard.sweep(now, self.room(), &mut gone);
                let swept = gone.len();
                let most = most(shard.len());
                while gone.len() - swept < most && self.room().excess() > 0 {
                    let Some(entry) = shard.pop() else { break };
                    self.room().give_back(1);
                    gone.push(entry);
                }
                evicted += gone.len() - swept;
                if !gone.is_empty() {
                    shard.trim(now);
                }
            });
            for (key, value) in gone {
                let owned = self.weigh.map_or(0, |weigh| weigh(&key, &value));
                bytes += Shard::<K, V, P>::entry_bytes() + owned as u64;
            }
        }
        (evicted, bytes)
    }

    /// What the cache has done: the sums over all shards, which are read one after the other.
    pub fn snapshot(&self) -> Snapshot {
        let shards = self.shards.iter().map(|part| self.with_shard(part, |shard, _| part.count(shard.snapshot())));
        let capacity = u32::try_from(self.capacity()).unwrap_or(u32::MAX);
        Snapshot { capacity, max_weight: capacity.into(), ..shards.fold(Snapshot::default(), Snapshot::plus) }
    }

    /// Computations that are under way.
    pub fn computing(&self) -> usize {
        self.shards.iter().map(|shard| self.with_shard(shard, |shard, _| shard.flights())).sum()
    }

    fn store(&self, mut key: K, mut value: V, ttl: Option<Duration>) -> Inserted<K, V> {
        let hash = self.hash(&key);
        let mut spare = None;
        loop {
            let (mut gone, mut detached) = (Vec::new(), None);
            // Taken out of there once nothing of the caller's can panic any more: else it is dropped out here.
            let mut entry = Some((key, value));
            let put = self.with(hash, |shard, hash, now| {
                detached = entry.as_ref().and_then(|(key, _)| shard.detach(hash, key));
                self.put(shard, hash, &mut entry, ttl, now, &mut spare, &mut gone)
            });
            match put {
                Put::Added(_) | Put::Nothing => return Inserted::Added,
                Put::Replaced(_, former) => return Inserted::Replaced(former),
                Put::Evicted(key, value) => return Inserted::Evicted(key, value),
                Put::NoRoom(again, with) => (key, value) = (again, with),
            }
            spare = self.make_room();
            if spare.is_none() {
                self.with(hash, |shard, _, _| shard.refuse());
                return Inserted::Refused(key, value);
            }
        }
    }

    /// Keeps the answer of a flight that is still listed, and lists it no longer.
    fn land(&self, hash: u64, flight: &Arc<Flight<V>>, value: V) {
        let mut spare = None;
        let mut value = Some(value);
        loop {
            let (mut gone, mut entry) = (Vec::new(), None);
            let landed = self.with(hash, |shard, hash, now| {
                let key = shard.unlist(hash, flight)?;
                entry = value.take().map(|value| (key, value));
                match self.put(shard, hash, &mut entry, None, now, &mut spare, &mut gone) {
                    Put::NoRoom(key, again) => {
                        // Listed until there is room, so that a removal meanwhile is not undone.
                        shard.list(hash, key, flight);
                        value = Some(again);
                        Some(None)
                    }
                    put => Some(Some(put)),
                }
            });
            let Some(None) = landed else { return };
            spare = self.make_room();
            if spare.is_none() {
                let _key = self.with(hash, |shard, hash, _| {
                    shard.refuse();
                    shard.unlist(hash, flight)
                });
                return;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what `Shard::put` takes")]
    fn put(
        &self,
        shard: &mut Shard<K, V, P>,
        hash: u32,
        entry: &mut Option<(K, V)>,
        ttl: Option<Duration>,
        now: Instant,
        spare: &mut Option<Spare<'_>>,
        gone: &mut Vec<(K, V)>,
    ) -> Put<K, V> {
        if self.room().is_full() || shard.is_full() {
            // What has expired leaves first.
            shard.sweep(now, self.room(), gone);
        }
        shard.put(hash, entry, ttl, now, self.room(), spare)
    }

    /// Room for one entry: of what has expired, or else of one that is evicted, under the next lock that has any.
    fn make_room(&self) -> Option<Spare<'_>> {
        let from = self.hand.fetch_add(1, Ordering::Relaxed);
        (0..self.shards.len()).find_map(|step| {
            let shard = &self.shards[from.wrapping_add(step) % self.shards.len()];
            let mut gone = Vec::new();
            self.with_shard(shard, |shard, now| {
                shard.sweep(now, self.room(), &mut gone);
                self.room().take().or_else(|| {
                    gone.push(shard.pop()?);
                    Some(self.room().left_by_one())
                })
            })
        })
    }

    /// Runs `f` on the shard of a hash alone, with the half of the hash that its table uses.
    #[inline]
    fn with<R>(&self, hash: u64, f: impl FnOnce(&mut Shard<K, V, P>, u32, Instant) -> R) -> R {
        let (part, hash) = self.part(hash);
        self.with_shard(part, |shard, now| f(shard, hash, now))
    }

    #[inline]
    fn with_shard<R>(&self, part: &Part<K, V, P>, f: impl FnOnce(&mut Shard<K, V, P>, Instant) -> R) -> R {
        part.alone(|| self.now(), f)
    }

    /// Where the keys of a hash are, and the half of it that the table there uses.
    #[inline]
    fn part(&self, hash: u64) -> (&Part<K, V, P>, u32) {
        let (upper, lower) = ((hash >> 32) as usize, hash as u32);
        // Scaled to the number of shards.
        (&self.shards[(upper * self.shards.len()) >> 32], lower)
    }

    #[inline]
    fn now(&self) -> Instant {
        self.time().unwrap_or(Instant::ZERO)
    }

    /// The time, if any entry may expire. To be asked under a lock: an entry with a time has come in under it.
    #[inline]
    fn time(&self) -> Option<Instant> {
        self.timed.load(Ordering::Relaxed).then(|| self.read_clock())
    }

    /// Out of the way of those who need it not.
    #[inline(never)]
    fn read_clock(&self) -> Instant {
        self.clock.now()
    }

    #[inline]
    const fn room(&self) -> &Room {
        &self.room.0
    }

    /// The upper half chooses the shard, the lower one is for its table.
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

/// One lock up to 256 entries, for one order of them all; above, at most 192 for each on average, so that hardly one meets
/// its own limit of 256 before the whole is full, and fewer where more threads would meet.
fn shards(max_size: usize) -> usize {
    if max_size <= PLACES {
        return 1;
    }
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let spread = (4 * threads.next_power_of_two()).min(max_size / 64);
    max_size.div_ceil(192).max(spread)
}

impl<K, V, P: Policy, S, C> fmt::Debug for SharedCache<K, V, P, S, C> {
    /// The sizes: keys and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, config, .. } = self;
        f.debug_struct("SharedCache").field("used", &room.0.used()).field("config", config).finish_non_exhaustive()
    }
}
