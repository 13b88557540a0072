//! Answers that are kept for the next time they are asked for.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use crate::time::{Duration, Instant};

mod expiry;
mod hash;
mod policy;
mod ring;
mod snapshot;
mod table;

pub use hash::{Fast, FastHasher};
pub use policy::{Index, Lru, Policy};
pub use snapshot::Snapshot;

use expiry::{Expiry, Soonest};
use policy::sealed::{Index as _, Policy as Sealed};
use ring::Ring;
use snapshot::Counts;
use table::Table;

/// Says how long entries are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How long after its insertion an entry expires; `None` for never. Not zero.
    pub ttl: Option<Duration>,
}

impl Config {
    /// Entries never expire. A `static` cache with it is all zeros, and so takes no flash.
    pub const DEFAULT: Self = Self { ttl: None };

    /// Says whether the values can work together.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value that cannot.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self.ttl {
            Some(ttl) if ttl.is_zero() => Err(ConfigError::TtlIsZero),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// Entries would expire before they could be found.
    TtlIsZero,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TtlIsZero => f.write_str("the cache's ttl is zero; leave it out for entries that never expire"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Says what an insertion put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Inserted<K, V> {
    /// Nothing: there was room.
    Added,
    /// The key's former value, which had not expired.
    Replaced(V),
    /// The entry that was used longest ago, expired or not.
    Evicted(K, V),
    /// The new entry itself: the cache is shrunk to nothing.
    Refused(K, V),
}

/// Keeps up to `N` entries, drops the one that was used longest ago, and each when its time is over.
///
/// The seed's `SmartCache`. Use it where an answer costs more than keeping it: a sensor's calibration,
/// a verified token, a command's output. For a value that is always wanted, keep the value.
///
/// `K` is looked up by anything it can be borrowed as, as in std's maps. `P` is the policy, and with
/// it the width of the links: [`Lru<u8>`](Lru) for `N` up to 256, [`Lru<u16>`](Lru), the default, up to
/// 65,536. `S` makes the hasher: [`Fast`] by default, a keyed one where strangers choose the keys.
///
/// # Rules
/// 1. An entry is found until, and no longer at, its ttl after its insertion or last replacement.
/// 2. An expired entry is never handed out as an answer, and is removed when it is looked up.
/// 3. It counts in [`len`](Self::len) until it is looked up, evicted or swept; before
///    [`poll_at`](Self::poll_at) there is none.
/// 4. Nothing is evicted while there is room; then exactly the entry that was used longest ago is.
///    Inserting, replacing, [`get`](Self::get) and [`get_mut`](Self::get_mut) are uses;
///    [`peek`](Self::peek) and [`contains`](Self::contains) are not.
/// 5. What an insertion puts aside is handed back.
/// 6. Every entry that came in is accounted for: `inserted == len + evicted + expired + removed`.
/// 7. A clock that steps back keeps entries longer; it never brings a removed one back.
///
/// # Cost
/// Every verb is O(1) but for [`clear`](Self::clear), [`resize_soft`](Self::resize_soft) and the budget
/// of [`sweep`](Self::sweep), as long as the hasher spreads the keys; colliding keys are compared one
/// by one. No insertion rehashes the table. A key is hashed once, and an evicted one once more.
///
/// RAM: 22 bytes an entry of `u32 -> u32` with `Lru<u8>` and 120 for the machine on a 32-bit target (1,528
/// for `N` = 64); 34 an entry of `u64 -> u64` with `Lru<u16>`. Flash of the former with `get` and
/// `insert_with_ttl`: 1.8 KiB on thumbv7em. A `static` with [`Config::DEFAULT`] lies in `.bss`; one with a
/// ttl lies in `.data`, and takes its size in flash too: there, rather insert with a ttl.
///
/// # Errors
/// Only [`try_new`](Self::try_new) has one. `N` outside of 4 to the range of `P`'s links does not
/// compile; a smaller cache is made of four entries and [`resize_soft`](Self::resize_soft).
///
/// # Sharing
/// Behind [`Shared`](crate::shared::Shared), clone the value out. No verb can be left half done.
///
/// # Example
/// ```
/// use daur_core::performance::cache::{self, Cache, Inserted};
/// use daur_core::time::{Duration, Instant};
///
/// const TTL: cache::Config = cache::Config { ttl: Some(Duration::from_secs(60)) };
/// let mut cache: Cache<&str, u32, 4> = Cache::new(TTL);
///
/// let now = Instant::from_secs(1);
/// for (n, name) in (0..).zip(["a", "b", "c", "d"]) {
///     assert_eq!(cache.insert(name, n, now), Inserted::Added);
/// }
/// assert_eq!(cache.get("a", now), Some(&0));
/// assert_eq!(cache.insert("e", 4, now), Inserted::Evicted("b", 1)); // "a" was used after it
///
/// assert_eq!(cache.get("a", Instant::from_nanos(60_999_999_999)), Some(&0));
/// assert_eq!(cache.get("a", Instant::from_secs(61)), None);
/// assert_eq!(cache.snapshot().expired, 1);
/// ```
///
/// # References
/// Groups of tags: Kulukundis, "Designing a Fast, Efficient, Cache-friendly Hash Table" (CppCon
/// 2017). Counters instead of tombstones: Facebook's F14 (2019).
pub struct Cache<K, V, const N: usize, P: Policy = Lru, S = Fast> {
    table: Table<<P as Sealed>::Index, N>,
    ring: Ring<<P as Sealed>::Index, N>,
    entries: [Option<Entry<K, V>>; N],
    config: Config,
    hasher: S,
    counts: Counts,
    /// No entry expires before.
    soonest: Soonest,
    /// The same for the entries that came in or were passed in this round of the sweep.
    soonest_of_round: Soonest,
    /// How many of the `N` places `resize_soft` has taken away: zero in a fresh `static`.
    withheld: u32,
    /// Where the next sweep goes on.
    hand: u32,
}

struct Entry<K, V> {
    key: K,
    value: V,
    expiry: Expiry,
}

impl<K, V, const N: usize, P: Policy> Cache<K, V, N, P> {
    /// An empty cache.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static`, a compile error.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "invalid cache config");
        Self::with_hasher(config, Fast::new())
    }

    /// An empty cache with a config that was read at run time.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self::with_hasher(config, Fast::new())),
            Err(error) => Err(error),
        }
    }
}

impl<K, V, const N: usize, P: Policy, S> Cache<K, V, N, P, S> {
    const N_FITS: () = assert!(
        4 <= N && N <= <P as Sealed>::Index::RANGE,
        "a cache has at least 4 entries, and at most 256 with Lru<u8> or 65,536 with Lru<u16>"
    );

    /// An empty cache that hashes keys in its own way. A ttl of zero counts as one nanosecond.
    #[must_use]
    pub const fn with_hasher(mut config: Config, hasher: S) -> Self {
        const { Self::N_FITS }
        if config.validate().is_err() {
            config.ttl = Some(Duration::from_nanos(1));
        }
        Self {
            table: Table::new(),
            ring: Ring::new(),
            entries: [const { None }; N],
            config,
            hasher,
            counts: Counts::ZERO,
            soonest: Soonest::NEVER,
            soonest_of_round: Soonest::NEVER,
            withheld: 0,
            hand: 0,
        }
    }

    /// Entries now, with those that have expired unseen: exact before [`poll_at`](Self::poll_at).
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no entry, expired or not.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that may be at once: `N`, or less after [`resize_soft`](Self::resize_soft).
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N - self.withheld as usize
    }

    /// The moment before which no entry expires; `None` if none ever does. It may be too early, since
    /// entries leave before their time: then a [`sweep`](Self::sweep) finds the right one.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        self.soonest.moment()
    }

    /// The entries that have not expired, the last used first. Not a use of any.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&K, &V)> {
        let mut index = self.ring.newest();
        (0..self.len()).filter_map(move |_| {
            let entry = self.entry(index)?;
            index = self.ring.older(index);
            (!entry.expiry.is_over(now)).then_some((&entry.key, &entry.value))
        })
    }

    /// Forgets all entries; they count as removed.
    pub fn clear(&mut self) {
        self.counts.removed += self.len() as u64;
        self.table.clear();
        self.ring = Ring::new();
        (self.soonest, self.soonest_of_round, self.hand) = (Soonest::NEVER, Soonest::NEVER, 0);
        self.entries.iter_mut().for_each(|entry| *entry = None);
    }

    /// What the cache has done.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        self.counts.snapshot(self.len(), self.capacity())
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<&Entry<K, V>> {
        self.entries.get(index)?.as_ref()
    }
}

impl<K: Hash + Eq, V, const N: usize, P: Policy, S: BuildHasher> Cache<K, V, N, P, S> {
    /// Keeps `value` under `key` for the config's ttl.
    #[inline]
    pub fn insert(&mut self, key: K, value: V, now: Instant) -> Inserted<K, V> {
        let expiry = self.config.ttl.map_or(Expiry::NEVER, |ttl| Expiry::at(now + ttl));
        self.insert_until(key, value, expiry, now)
    }

    /// Keeps `value` under `key` for `ttl`; a zero one has expired already.
    #[inline]
    pub fn insert_with_ttl(&mut self, key: K, value: V, ttl: Duration, now: Instant) -> Inserted<K, V> {
        self.insert_until(key, value, Expiry::at(now + ttl), now)
    }

    /// The value of `key`, which becomes the last used.
    #[inline]
    pub fn get<Q>(&mut self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let index = self.look_up(key, now)?;
        // Before the links are written: afterwards the compiler would have to check the entry once more.
        let entry = self.entries.get(index)?.as_ref()?;
        self.ring.touch(index);
        self.counts.hits += 1;
        Some(&entry.value)
    }

    /// The value of `key`, to change in place; it becomes the last used, and expires when it would have.
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q, now: Instant) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let index = self.look_up(key, now)?;
        let entry = self.entries.get_mut(index)?.as_mut()?;
        self.ring.touch(index);
        self.counts.hits += 1;
        Some(&mut entry.value)
    }

    /// The value of `key`, without a trace in order or counts.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let index = self.find(self.hash(key), key)?;
        self.entry(index).filter(|entry| !entry.expiry.is_over(now)).map(|entry| &entry.value)
    }

    /// Whether `key` would be found, without a trace in order or counts.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek(key, now).is_some()
    }

    /// Removes the entry of `key` and returns its value if it had not expired.
    pub fn remove<Q>(&mut self, key: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let index = self.find(hash, key)?;
        let entry = self.take(hash, index)?;
        if entry.expiry.is_over(now) {
            self.counts.expired += 1;
            return None;
        }
        self.counts.removed += 1;
        Some(entry.value)
    }

    /// Removes the entry that was used longest ago, expired or not; it counts as evicted.
    pub fn pop_lru(&mut self) -> Option<(K, V)> {
        let index = self.ring.oldest();
        let hash = self.hash(&self.entry(index)?.key);
        let entry = self.take(hash, index)?;
        self.counts.evicted += 1;
        Some((entry.key, entry.value))
    }

    /// Lets at most `capacity` entries be at once, up to `N`, and returns how many it evicted for that.
    ///
    /// The memory stays; what the entries own is freed. For memory pressure: shrink, and grow back
    /// when it is over. A cache shrunk to nothing refuses every insertion.
    pub fn resize_soft(&mut self, capacity: usize) -> usize {
        let capacity = capacity.min(N);
        self.withheld = u32::try_from(N - capacity).unwrap_or(u32::MAX);
        let before = self.len();
        while self.len() > capacity && self.pop_lru().is_some() {}
        before - self.len()
    }

    /// Removes expired entries among the next `budget` places, and returns how many there were.
    ///
    /// Before [`poll_at`](Self::poll_at) it costs nothing. Each call goes on where the last one stopped,
    /// and every round over all `N` places, in however many calls, finds a new `poll_at`.
    pub fn sweep(&mut self, now: Instant, budget: usize) -> usize {
        if self.poll_at().is_none_or(|soonest| now < soonest) {
            return 0;
        }
        let before = self.len();
        if budget >= N {
            self.hand = 0;
        }
        for _ in 0..budget.min(N) {
            if self.hand == 0 {
                self.soonest_of_round = Soonest::NEVER;
            }
            let index = self.hand as usize;
            if let Some(entry) = self.entries.get(index).and_then(Option::as_ref) {
                if entry.expiry.is_over(now) {
                    self.expire(self.hash(&entry.key), index);
                } else {
                    self.soonest_of_round.lower(entry.expiry);
                }
            }
            self.hand += 1;
            if self.hand as usize >= N {
                self.hand = 0;
                self.soonest = self.soonest_of_round;
            }
        }
        before - self.len()
    }

    /// Removes every expired entry: a [`sweep`](Self::sweep) over all places.
    pub fn poll(&mut self, now: Instant) {
        self.sweep(now, N);
    }

    #[cold]
    fn expire(&mut self, hash: u32, index: usize) {
        self.take(hash, index);
        self.counts.expired += 1;
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is folded in")]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash ^ (hash >> 32)) as u32
    }

    #[inline]
    fn find<Q>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.table.find(hash, |index| self.entry(index).is_some_and(|entry| entry.key.borrow() == key))
    }

    /// The place of `key`, unless it has expired: then it is removed. Counts a miss; a hit is the caller's.
    #[inline]
    fn look_up<Q>(&mut self, key: &Q, now: Instant) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let Some(index) = self.find(hash, key) else {
            self.counts.misses += 1;
            return None;
        };
        if self.entry(index)?.expiry.is_over(now) {
            self.counts.misses += 1;
            self.expire(hash, index);
            return None;
        }
        Some(index)
    }

    #[inline]
    fn insert_until(&mut self, key: K, value: V, expiry: Expiry, now: Instant) -> Inserted<K, V> {
        let hash = self.hash(&key);
        // The round's is never the sooner of the two, and with one ttl for all no later entry is sooner yet.
        if self.soonest_of_round.lower(expiry) {
            self.soonest.lower(expiry);
        }
        if let Some(index) = self.find(hash, &key) {
            self.ring.touch(index);
            return self.replace(index, value, expiry, now);
        }
        let index = if self.len() < self.capacity() {
            self.ring.take_free()
        } else {
            let oldest = self.ring.oldest();
            let Some(old) = self.entry(oldest).filter(|_| self.capacity() > 0) else {
                self.counts.refused += 1;
                return Inserted::Refused(key, value);
            };
            let old_hash = self.hash(&old.key);
            self.table.take(old_hash, oldest);
            self.ring.recycle_oldest();
            self.counts.evicted += 1;
            oldest
        };
        self.put(hash, index, Entry { key, value, expiry })
            .map_or(Inserted::Added, |old| Inserted::Evicted(old.key, old.value))
    }

    /// Gives the entry at `index` a new value and time; if its old one was over, a new entry has come.
    #[inline(never)]
    fn replace(&mut self, index: usize, value: V, expiry: Expiry, now: Instant) -> Inserted<K, V> {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else {
            return Inserted::Added;
        };
        let was_over = entry.expiry.is_over(now);
        entry.expiry = expiry;
        let old = core::mem::replace(&mut entry.value, value);
        if was_over {
            self.counts.expired += 1;
            self.counts.inserted += 1;
            return Inserted::Added;
        }
        self.counts.updated += 1;
        Inserted::Replaced(old)
    }

    /// Puts an entry to a place that no hash leads to, and returns what was evicted from there.
    #[inline]
    fn put(&mut self, hash: u32, index: usize, entry: Entry<K, V>) -> Option<Entry<K, V>> {
        self.table.place(hash, index);
        self.counts.inserted += 1;
        let old = self.entries.get_mut(index)?.replace(entry);
        self.invariants();
        old
    }

    fn take(&mut self, hash: u32, index: usize) -> Option<Entry<K, V>> {
        let entry = self.entries.get_mut(index)?.take()?;
        self.table.take(hash, index);
        self.ring.release(index);
        self.invariants();
        Some(entry)
    }

    /// What must hold between verbs. Counting the places takes a walk, so large caches do without.
    fn invariants(&self) {
        #[cfg(debug_assertions)]
        {
            let counts = self.counts;
            debug_assert!(self.len() <= N);
            debug_assert!(counts.evicted + counts.expired + counts.removed <= counts.inserted);
            if N <= 64 {
                let (places, _) = self.table.census();
                debug_assert_eq!(places, self.len(), "an entry has one place");
                debug_assert_eq!(self.entries.iter().flatten().count(), self.len());
            }
        }
    }
}

impl<K, V, const N: usize, P: Policy, S> fmt::Debug for Cache<K, V, N, P, S> {
    /// The snapshot: keys and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.snapshot()).finish()
    }
}
