//! So many per period for each key.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daur_core::reliability::limiter::{self, Gcra, Limited, Quota};
use daur_core::time::{Clock, Instant};

use super::{MAX_CAPACITY, OnFull, shard_of, shards};
use crate::clock::StdClock;

mod table;

use table::{SHARD_KEYS, Table};

/// Says what each key may do, and how many keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many pass for each key.
    pub limit: limiter::Config,
    /// Keys that have used something up and are tracked at the same time; from 1 to [`MAX_CAPACITY`].
    pub capacity: usize,
    /// What becomes of a new key when all of them are taken.
    pub on_full: OnFull,
}

impl Config {
    /// 10 a second and 10 at once, for 16,384 keys; more keys are refused.
    pub const DEFAULT: Self = Self { limit: limiter::Config::DEFAULT, capacity: 16_384, on_full: OnFull::Refuse };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.capacity == 0 {
            return Err(ConfigError::NoCapacity);
        }
        if self.capacity > MAX_CAPACITY {
            return Err(ConfigError::MaxCapacity);
        }
        match self.limit.validate() {
            Ok(()) => Ok(()),
            Err(error) => Err(ConfigError::Limit(error)),
        }
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
    /// `capacity` is 0.
    NoCapacity,
    /// `capacity` is above [`MAX_CAPACITY`].
    MaxCapacity,
    /// The limit itself.
    Limit(limiter::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity => f.write_str("keyed limiter: `capacity` is 0; at least 1 is needed"),
            Self::MaxCapacity => write!(f, "keyed limiter: `capacity` is above {MAX_CAPACITY}"),
            Self::Limit(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCapacity | Self::MaxCapacity => None,
            Self::Limit(error) => Some(error),
        }
    }
}

/// Says why a key may not pass, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The key has used up what it may.
    Limited {
        /// The first moment at which it passes if nobody asks for it before; [`Instant::MAX`] if so many never do.
        retry_at: Instant,
    },
    /// The key is new, and all places are taken by keys that are not to be forgotten.
    Full {
        /// None of them may be before this moment.
        retry_at: Instant,
    },
}

impl Refused {
    /// When to come back.
    #[must_use]
    pub const fn retry_at(&self) -> Instant {
        match self {
            Self::Limited { retry_at } | Self::Full { retry_at } => *retry_at,
        }
    }
}

impl From<Limited> for Refused {
    fn from(limited: Limited) -> Self {
        Self::Limited { retry_at: limited.retry_at }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limited { .. } => "the rate limit is reached",
            Self::Full { .. } => "too many different callers at once for the rate limiter",
        })
    }
}

impl std::error::Error for Refused {}

/// Lets so many pass for each key: each user, each address, each API key.
///
/// For one thing that all share use [`Limiter`](daur_core::reliability::limiter::Limiter). The keys may come
/// from strangers: memory is taken once, when the limiter is made.
///
/// # Rules
/// 1. Each key has the whole limit to itself, exactly as a [`Gcra`] of its own.
/// 2. No check allocates, whatever the key: a key is kept as its 64-bit keyed hash. Two keys out of a million
///    share one with a probability of 1 in 37 million, and then share their limit.
/// 3. A key that has its whole burst again is forgotten when its place is needed; that loses nothing.
/// 4. A key that has not is never forgotten. If such keys take all places, a new key is refused until one of
///    them may be forgotten, or let through, as [`Config::on_full`] says; each is counted.
/// 5. Peeking changes nothing, and gives a new key no place.
/// 6. A clock that steps backwards lets nothing more through and forgets nothing.
///
/// # Cost
/// 30 bytes a key of the capacity, and at least 2 KiB; all at the start. A check is a hash, an uncontended mutex, a clock reading
/// and, as a rule, one or two comparisons. A new key that meets a full shard looks at its 96 keys at most.
///
/// # Errors
/// [`Refused`], with the moment to come back at.
///
/// # Sharing
/// `&self` everywhere; keys of different shards (of up to 96 keys) never wait for each other. Nothing to cancel.
///
/// # Example
/// ```
/// use daur_std::core::reliability::limiter;
/// use daur_std::core::time::Duration;
/// use daur_std::reliability::keyed::limiter::{Config, KeyedLimiter, Refused};
///
/// let per_user = limiter::Config { rate: 2, period: Duration::from_secs(60), burst: 2 };
/// let users: KeyedLimiter<str> = KeyedLimiter::try_new(Config { limit: per_user, ..Config::DEFAULT })?;
/// assert!(users.check("alice").is_ok());
/// assert!(users.check("alice").is_ok());
/// assert!(matches!(users.check("alice"), Err(Refused::Limited { .. })));
/// assert!(users.check("bob").is_ok());
/// # Ok::<(), daur_std::reliability::keyed::limiter::ConfigError>(())
/// ```
///
/// # References
/// ITU-T I.371 for the limit; Robin Hood hashing's backward-shift deletion for the table.
#[doc(alias = "check_rate_limit")]
pub struct KeyedLimiter<K: ?Sized, C = StdClock, S = RandomState> {
    quota: Quota,
    on_full: OnFull,
    capacity: usize,
    clock: C,
    hasher: S,
    shards: Box<[Mutex<Table>]>,
    key: PhantomData<fn(&K)>,
}

impl<K: Hash + ?Sized> KeyedLimiter<K> {
    /// A limiter by the operating system's clock that nobody has used yet.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, StdClock)
    }
}

impl<K: Hash + ?Sized, C: Clock> KeyedLimiter<K, C> {
    /// A limiter by `clock` that nobody has used yet.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        Self::with_hasher(config, clock, RandomState::new())
    }
}

impl<K: Hash + ?Sized, C: Clock, S: BuildHasher> KeyedLimiter<K, C, S> {
    /// A limiter that hashes by `hasher`. Where strangers choose the keys that must be a keyed hash with a
    /// secret seed, as [`RandomState`] is: who can make two keys collide makes them share a limit.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_hasher(config: Config, clock: C, hasher: S) -> Result<Self, ConfigError> {
        config.validate()?;
        let quota = Quota::try_new(config.limit).map_err(ConfigError::Limit)?;
        let count = shards(config.capacity, SHARD_KEYS);
        let room = config.capacity.min(SHARD_KEYS);
        Ok(Self {
            quota,
            on_full: config.on_full,
            capacity: config.capacity,
            clock,
            hasher,
            shards: (0..count).map(|_| Mutex::new(Table::new(room))).collect(),
            key: PhantomData,
        })
    }

    /// Lets one pass for `key`, if the limit allows it.
    ///
    /// # Errors
    /// [`Refused`] if it does not.
    #[inline]
    pub fn check(&self, key: &K) -> Result<(), Refused> {
        self.pass(key, |state, now| state.check(&self.quota, now))
    }

    /// Lets `n` pass together for `key`, or none of them. `n == 0` passes always.
    ///
    /// # Errors
    /// [`Refused`] if the limit does not allow it.
    pub fn check_n(&self, key: &K, n: u32) -> Result<(), Refused> {
        if n == 0 {
            return Ok(());
        }
        self.pass(key, |state, now| state.check_n(&self.quota, n, now))
    }

    /// Whether one would pass for `key`; changes nothing, counts nothing.
    ///
    /// # Errors
    /// [`Refused::Limited`] if it would not.
    pub fn peek(&self, key: &K) -> Result<(), Refused> {
        let hash = self.hasher.hash_one(key);
        let table = self.lock(hash);
        let now = self.clock.now();
        Ok(table.get(hash).unwrap_or(Gcra::NEW).peek(&self.quota, now)?)
    }

    /// Gives `key` its whole burst back.
    pub fn reset(&self, key: &K) {
        let hash = self.hasher.hash_one(key);
        self.lock(hash).remove(hash);
    }

    /// The present moment, which [`Refused::retry_at`] is to be compared with.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Copies out what is worth showing. Looks at every key: for a dashboard, not for each request.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot { capacity: self.capacity, ..Snapshot::default() };
        for shard in &self.shards {
            let table = lock(shard);
            let now = self.clock.now();
            table.count(now, &mut sum);
        }
        sum
    }

    #[inline]
    fn pass(&self, key: &K, verb: impl FnOnce(&mut Gcra, Instant) -> Result<(), Limited>) -> Result<(), Refused> {
        let hash = self.hasher.hash_one(key);
        let mut table = self.lock(hash);
        let now = self.clock.now();
        table.pass(hash, now, self.on_full, verb)
    }

    fn lock(&self, hash: u64) -> MutexGuard<'_, Table> {
        lock(&self.shards[shard_of(hash, self.shards.len())])
    }
}

/// Nothing of the caller's runs under the lock but the clock, which changes no table: a poisoned one is whole.
fn lock(shard: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: ?Sized, C, S> fmt::Debug for KeyedLimiter<K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// Shows a [`KeyedLimiter`] at about one moment: its shards are read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// How many keys it is made for.
    pub capacity: usize,
    /// Keys that have a place.
    pub keys: usize,
    /// Those among them that do not have their whole burst.
    pub busy: usize,
    /// Checks that were refused because the key had used up what it may.
    pub limited: u64,
    /// Checks of new keys that were refused because no place was free.
    pub full: u64,
    /// Checks of new keys that were let through untracked because no place was free.
    pub untracked: u64,
    /// Keys that were forgotten to make room.
    pub forgotten: u64,
}
