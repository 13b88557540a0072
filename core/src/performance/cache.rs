//! Answers that are kept for the next time they are asked for.

use core::fmt;

use crate::time::Instant;

mod config;
mod hash;
mod inner;
mod keyed;
mod later;
mod make;
mod note;
mod policy;
mod ring;
mod snapshot;
mod table;
mod verbs;
mod weight;

pub use config::{Config, ConfigError};
pub use hash::{Fast, FastHasher};
pub use keyed::{Keyed, KeyedHasher};
pub use make::Found;
pub use note::{Coarse, Exact, Idle, Note, Weighted};
pub use policy::{Index, Lru, Policy, Sieve};
pub use snapshot::Snapshot;

use note::sealed::{Load, Note as Noted, Origin, Scale};
use note::{Soonest, Span};
use policy::sealed::{Index as _, Policy as Sealed};
use ring::Ring;
use snapshot::Counts;
use table::Table;

/// Says what an insertion put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Inserted<K, V> {
    /// Nothing: there was room.
    Added,
    /// The key's former value, which had not expired.
    Replaced(V),
    /// The entry that the policy chose, expired or not.
    Evicted(K, V),
    /// The new entry itself: the cache is shrunk to nothing, or it is heavier than all may be.
    Refused(K, V),
}

/// Keeps up to `N` entries, drops the one that the policy chooses, and each when its time is over.
///
/// The seed's `SmartCache`. Use it where an answer costs more than keeping it: a sensor's calibration,
/// a verified token, a command's output. For a value that is always wanted, keep the value.
///
/// `K` is looked up by anything it can be borrowed as, as in std's maps. The other parameters cost where they are used:
///
/// * `P`, the policy: [`Lru`], the default, is exact; [`Sieve`] has the quicker hit and lets a scan pass. Each with
///   links of `u16` (up to 65,536 entries) or of `u8` (up to 256): `Lru<u8>`.
/// * `S` makes the hasher: [`Fast`] by default, [`Keyed`] where strangers choose the keys.
/// * `T`, what is noted of each entry: [`Exact`] by default, [`Coarse`] for moments of 4 bytes, [`Idle`] around either
///   for [`Config::idle`], [`Weighted`] around any of them for [`insert_weighted`](Self::insert_weighted).
///
/// # Rules
/// 1. An entry is found until, and no longer at, its ttl after its insertion or last replacement; with an idle time,
///    until that after its last use if that is sooner.
/// 2. An expired entry is never handed out as an answer, and is removed when it is looked up.
/// 3. It counts in [`len`](Self::len) until it is looked up, evicted or swept; before
///    [`poll_at`](Self::poll_at) there is none.
/// 4. Nothing is evicted while there is room; then exactly the entry that the policy chooses is.
///    Inserting, replacing, [`get`](Self::get) and [`get_mut`](Self::get_mut) are uses;
///    [`peek`](Self::peek) and [`contains`](Self::contains) are not.
/// 5. What an insertion puts aside is handed back.
/// 6. Every entry that came in is accounted for: `inserted == len + evicted + expired + removed`.
/// 7. A clock that steps back keeps entries longer; it never brings a removed one back.
/// 8. What is found with [`locate`](Self::locate) and told with [`use_at`](Self::use_at), in the same order and before any
///    other change, leaves the cache as [`get`](Self::get) would have: so many may read while one keeps the order.
///
/// # Cost
/// Every verb is O(1) but for [`clear`](Self::clear), [`retain`](Self::retain), [`resize_soft`](Self::resize_soft),
/// [`limit_weight`](Self::limit_weight), what a heavy insertion pushes out and the budget of
/// [`sweep`](Self::sweep), as long as the hasher spreads the keys; colliding keys are compared one by one.
/// [`Sieve`]'s walk has a bound, [`Coarse`] says when it walks. No insertion rehashes the table. A key is hashed
/// once, and an evicted one once more.
///
/// An entry of `u32 -> u32` takes 22 bytes with links of `u8`, 18 with [`Coarse`]; one of `u64 -> u64` with links of
/// `u16` takes 34. The machine takes 128 more at most. So 64 of the former, with the two verbs that all use, are
/// 1,280 bytes of RAM and 2,832 of flash on thumbv6m (image `cache_coarse`, 20 bytes an entry in all; 2,544 of flash
/// on thumbv7em), and to the nanosecond
/// 1,528 bytes of RAM and 2,536 of flash on thumbv6m (image `cache_exact`, 2,296 of flash on thumbv7em).
/// 32 with `remove`, `poll` and `snapshot` are
/// 824 bytes of RAM and 3,172 of flash on thumbv6m (image `cache`), and with [`Sieve`]
/// 824 bytes of RAM and 3,396 of flash on thumbv6m (image `cache_sieve`). All verbs, with weights, idle times and
/// [`Keyed`], are 1,120 bytes of RAM and 9,408 of flash on thumbv6m (image `cache_all`).
///
/// A `static` with [`Config::DEFAULT`] lies in `.bss`; one with a ttl lies in `.data`, and takes its size in flash
/// too: there, rather insert with a ttl.
///
/// # Errors
/// Only [`try_new`](Self::try_new) and what it asks, [`suits`](Self::suits), have one. `N` outside of 4 to the range of `P`'s links does not
/// compile; a smaller cache is made of four entries and [`resize_soft`](Self::resize_soft).
///
/// # Sharing
/// Behind [`Shared`](crate::shared::Shared), clone the value out. No verb can be left half done: if a key or value
/// panics in its `Hash`, `Eq` or `Drop`, or a closure does, the cache is whole, keeps its bound and can be used on.
///
/// # Example
/// ```
/// use daur_core::performance::cache::{self, Cache, Inserted};
/// use daur_core::time::{Duration, Instant};
///
/// const TTL: cache::Config = cache::Config { ttl: Some(Duration::from_secs(60)), ..cache::Config::DEFAULT };
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
pub struct Cache<K, V, const N: usize, P: Policy = Lru, S = Fast, T: Note = Exact> {
    table: Table<<P as Sealed>::Index, N>,
    ring: Ring<<P as Sealed>::Index, N>,
    entries: [Option<Entry<K, V, <T as Noted>::Stamp>>; N],
    ttl: Span,
    idle: Span,
    hasher: S,
    counts: Counts,
    /// No entry expires before.
    soonest: Soonest,
    /// The same for the entries that came in or were passed in this round of the sweep.
    soonest_of_round: Soonest,
    /// What the stamps are counted from.
    origin: Origin<T>,
    load: <T as Noted>::Load,
    /// How many of the `N` places `resize_soft` has taken away: zero in a fresh `static`.
    withheld: u32,
    /// Where the next sweep goes on.
    hand: u32,
}

struct Entry<K, V, T> {
    key: K,
    value: V,
    note: T,
}

impl<K, V, const N: usize, P: Policy, T: Note> Cache<K, V, N, P, Fast, T> {
    /// An empty cache.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static`, a compile error.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(Self::suits(&config).is_ok(), "invalid cache config");
        Self::with_hasher(config, Fast::new())
    }

    /// An empty cache with a config that was read at run time.
    ///
    /// # Errors
    /// What [`suits`](Self::suits) says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match Self::suits(&config) {
            Ok(()) => Ok(Self::with_hasher(config, Fast::new())),
            Err(error) => Err(error),
        }
    }
}

impl<K, V, const N: usize, P: Policy, S, T: Note> Cache<K, V, N, P, S, T> {
    const N_FITS: () = assert!(
        4 <= N && N <= <P as Sealed>::Index::RANGE,
        "a cache has at least 4 entries, and at most 256 with links of u8 or 65,536 with links of u16"
    );

    /// An empty cache that hashes keys in its own way.
    ///
    /// For every config, on the safe side: a time of zero counts as one nanosecond, an idle time that `T` does not
    /// note as a ttl, and one that is too long for `T` as the longest. [`suits`](Self::suits) tells beforehand.
    #[must_use]
    pub const fn with_hasher(config: Config, hasher: S) -> Self {
        const { Self::N_FITS }
        let (ttl, idle) = (Span::of(config.ttl), Span::of(config.idle));
        let (ttl, idle) = if T::KEEPS_IDLE { (ttl, idle) } else { (ttl.or_sooner(idle), Span::FOREVER) };
        Self {
            table: Table::new(),
            ring: Ring::new(),
            entries: [const { None }; N],
            ttl,
            idle,
            hasher,
            counts: Counts::ZERO,
            soonest: Soonest::NEVER,
            soonest_of_round: Soonest::NEVER,
            origin: <T::Scale as Scale>::ORIGIN,
            load: T::Load::NONE,
            withheld: 0,
            hand: 0,
        }
    }

    /// Says whether the config is valid, and its times are such as `T` notes.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value that does not suit.
    pub const fn suits(config: &Config) -> Result<(), ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        if config.idle.is_some() && !T::KEEPS_IDLE {
            return Err(ConfigError::IdleIsNotNoted);
        }
        let longest = <T::Scale as Scale>::LONGEST;
        if Span::of(config.ttl).is_longer(longest) || Span::of(config.idle).is_longer(longest) {
            return Err(ConfigError::TooLong);
        }
        Ok(())
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

    /// The entries that have not expired: the last used first, or with [`Sieve`] the last come in. Not a use of any.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&K, &V)> {
        let mut index = self.ring.newest();
        (0..self.len()).filter_map(move |_| {
            let entry = self.entry(index)?;
            index = self.ring.older(index);
            (!self.is_over(entry.note, now)).then_some((&entry.key, &entry.value))
        })
    }

    /// Forgets all entries; they count as removed.
    pub fn clear(&mut self) {
        let all = Clearing(self);
        while let Some(entry) = all.0.take_newest_from_ring() {
            drop(entry);
        }
    }

    /// What the cache has done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.counts.snapshot(self.len(), self.capacity(), self.load.told())
    }
}

/// A cache whose table still leads to entries that are gone. A key or value that panics when it is dropped
/// leaves the others in a whole cache.
struct Clearing<'a, K, V, const N: usize, P: Policy, S, T: Note>(&'a mut Cache<K, V, N, P, S, T>);

impl<K, V, const N: usize, P: Policy, S, T: Note> Drop for Clearing<'_, K, V, N, P, S, T> {
    fn drop(&mut self) {
        let cache = &mut *self.0;
        if cache.is_empty() {
            cache.table.clear();
            (cache.soonest, cache.soonest_of_round, cache.hand) = (Soonest::NEVER, Soonest::NEVER, 0);
        } else {
            cache.table.purge(|index| cache.entries.get(index).is_none_or(Option::is_none));
        }
    }
}

impl<K, V, const N: usize, P: Policy, S, T: Note> fmt::Debug for Cache<K, V, N, P, S, T> {
    /// The snapshot: keys and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.snapshot()).finish()
    }
}
