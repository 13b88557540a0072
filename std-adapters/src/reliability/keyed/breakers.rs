//! A breaker for each key.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daur_core::reliability::breaker::{self, Breaker, Consecutive, Mode, State};
use daur_core::time::{Clock, Duration, Instant};

use super::{MAX_CAPACITY, OnFull, shard_of, shards};
use crate::clock::StdClock;
use crate::reliability::breaker::SharedBreaker;

/// Keys of one shard.
const SHARD_KEYS: usize = 64;

/// Says how many keys there are and when one may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Keys that are tracked at the same time; from 1 to [`MAX_CAPACITY`].
    pub capacity: usize,
    /// How long what a breaker knows against its key is kept after the last use; more than 0.
    pub idle_after: Duration,
    /// What becomes of a new key when all places are taken by keys that must not be forgotten.
    pub on_full: OnFull,
}

impl Config {
    /// 1,024 keys; failures are remembered for 10 minutes; more keys are refused.
    pub const DEFAULT: Self = Self { capacity: 1_024, idle_after: Duration::from_secs(600), on_full: OnFull::Refuse };

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
        if self.idle_after.is_zero() {
            return Err(ConfigError::NoIdleAfter);
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
    /// `capacity` is 0.
    NoCapacity,
    /// `capacity` is above [`MAX_CAPACITY`].
    MaxCapacity,
    /// `idle_after` is 0.
    NoIdleAfter,
    /// The breakers' own config.
    Breaker(breaker::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity => f.write_str("keyed breakers: `capacity` is 0; at least 1 is needed"),
            Self::MaxCapacity => write!(f, "keyed breakers: `capacity` is above {MAX_CAPACITY}"),
            Self::NoIdleAfter => f.write_str("keyed breakers: `idle_after` is 0; it must be longer"),
            Self::Breaker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCapacity | Self::MaxCapacity | Self::NoIdleAfter => None,
            Self::Breaker(error) => Some(error),
        }
    }
}

/// Says that a new key finds no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// When a place is free if none of the keys that have one is used before; earlier if a key that is in use
    /// now is let go.
    pub retry_at: Instant,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many different keys at once for the circuit breakers")
    }
}

impl std::error::Error for Full {}

/// Keeps a breaker for each key: each upstream, each tenant, each program.
///
/// For keys that are known beforehand, a [`SharedBreaker`] for each is simpler and never full.
///
/// # Rules
/// 1. The same key gets the same breaker as long as anybody holds that, or it is not forgotten.
/// 2. To make room, the closed breaker without failures in a row that was used longest ago is forgotten. (A
///    window's record of calls goes with it.)
/// 3. If there is none, then one that was not used for [`Config::idle_after`] and is closed, or half-open:
///    its wait is over and nobody has come.
/// 4. A breaker that refuses calls, is held by somebody, or stands in a manual state is never forgotten. If
///    such take all places, a new key is refused, or gets a breaker that nobody else sees, as
///    [`Config::on_full`] says; each is counted.
/// 5. A clock that steps backwards forgets nothing that rule 3 protects.
///
/// # Cost
/// The places are made beforehand; a new key allocates its breaker (about 150 bytes) and what the key itself
/// does, and frees as much when another is forgotten for it. To find a breaker costs a hash, an uncontended
/// mutex, a clock reading and six comparisons. A new key that meets a full shard looks at its 64 breakers.
///
/// # Errors
/// [`Full`] where a new key finds no place.
///
/// # Sharing
/// `&self` everywhere; keys of different shards (of up to 64 keys) never wait for each other. A breaker is
/// found first and used outside of the lock. Nothing to cancel.
///
/// # Example
/// ```
/// use daur_std::core::reliability::breaker;
/// use daur_std::core::reliability::executor::Failure;
/// use daur_std::reliability::keyed::breakers::{Config, KeyedBreakers};
///
/// let upstreams: KeyedBreakers<String> =
///     KeyedBreakers::try_new(breaker::Config { failures: 1, ..breaker::Config::DEFAULT }, Config::DEFAULT)?;
/// let call = |host: &str| upstreams.get(host).expect("there is room").call(|| Err::<(), _>("down"));
/// assert_eq!(call("a.example"), Err(Failure::Error("down")));
/// assert!(matches!(call("a.example"), Err(Failure::Open { .. })));
/// assert_eq!(call("b.example"), Err(Failure::Error("down")));
/// # Ok::<(), daur_std::reliability::keyed::breakers::ConfigError>(())
/// ```
pub struct KeyedBreakers<K, M: Mode = Consecutive, C = StdClock> {
    config: Config,
    clock: C,
    hasher: RandomState,
    make: Make<K, M>,
    shards: Box<[Mutex<Shard<K, M, C>>]>,
}

type Make<K, M> = Box<dyn Fn(&K) -> Breaker<M> + Send + Sync>;

struct Shard<K, M: Mode, C> {
    /// Sorted by hash; never longer than its capacity.
    entries: Vec<Entry<K, M, C>>,
    full: u64,
    untracked: u64,
    forgotten: u64,
}

struct Entry<K, M: Mode, C> {
    hash: u64,
    key: K,
    breaker: Arc<SharedBreaker<M, C>>,
    used: Instant,
}

impl<K: Hash + Eq> KeyedBreakers<K> {
    /// A table of breakers that open by failures in a row, by the operating system's clock.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`breaker::Config::validate`] say.
    pub fn try_new(each: breaker::Config, config: Config) -> Result<Self, ConfigError> {
        let breaker = Breaker::try_new(each).map_err(ConfigError::Breaker)?;
        Self::with(config, StdClock, move |_| breaker.clone())
    }
}

impl<K: Hash + Eq, M: Mode, C: Clock + Clone> KeyedBreakers<K, M, C> {
    /// A table of breakers of any mode, which `make` makes for each new key.
    ///
    /// `make` runs under the lock of a part of the table, which it must not use.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with(
        config: Config,
        clock: C,
        make: impl Fn(&K) -> Breaker<M> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let room = config.capacity.min(SHARD_KEYS);
        let shards = (0..shards(config.capacity, SHARD_KEYS)).map(|_| Mutex::new(Shard::new(room))).collect();
        Ok(Self { config, clock, hasher: RandomState::new(), make: Box::new(make), shards })
    }

    /// The breaker of `key`: its own from before, or a new one.
    ///
    /// # Errors
    /// [`Full`] if `key` is new and finds no place.
    pub fn get<Q>(&self, key: &Q) -> Result<Arc<SharedBreaker<M, C>>, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = lock(&self.shards[shard_of(hash, self.shards.len())]);
        let now = self.clock.now();
        if let Some(entry) = shard.find(hash, key) {
            // Not earlier than it was: a clock that stepped back must not make it look unused.
            entry.used = entry.used.max(now);
            return Ok(Arc::clone(&entry.breaker));
        }
        let has_room = shard.make_room(self.config.idle_after, now);
        if let Err(full) = has_room
            && self.config.on_full == OnFull::Refuse
        {
            shard.full += 1;
            return Err(full);
        }
        let key = key.to_owned();
        let breaker = Arc::new(SharedBreaker::of((self.make)(&key), self.clock.clone()));
        if has_room.is_ok() {
            shard.insert(Entry { hash, key, breaker: Arc::clone(&breaker), used: now });
        } else {
            shard.untracked += 1;
        }
        Ok(breaker)
    }

    /// Shows each key that has a place and its breaker, in no order.
    ///
    /// `show` runs under the lock of a part of the table, which it must not use.
    pub fn for_each(&self, mut show: impl FnMut(&K, breaker::Snapshot)) {
        for shard in &self.shards {
            for entry in &lock(shard).entries {
                show(&entry.key, entry.breaker.snapshot());
            }
        }
    }

    /// Copies out what is worth showing.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot { capacity: self.config.capacity, ..Snapshot::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            sum.keys += shard.entries.len();
            sum.full += shard.full;
            sum.untracked += shard.untracked;
            sum.forgotten += shard.forgotten;
        }
        sum
    }
}

/// An entry goes in or out as a whole: a poisoned shard is whole.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, M: Mode, C> Shard<K, M, C> {
    fn new(room: usize) -> Self {
        Self { entries: Vec::with_capacity(room), full: 0, untracked: 0, forgotten: 0 }
    }

    fn insert(&mut self, entry: Entry<K, M, C>) {
        debug_assert!(self.entries.len() < self.entries.capacity(), "the table never grows");
        let at = self.entries.partition_point(|other| other.hash < entry.hash);
        self.entries.insert(at, entry);
    }

    fn find<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<&mut Entry<K, M, C>>
    where
        K: Borrow<Q>,
    {
        let at = self.entries.partition_point(|entry| entry.hash < hash);
        let same = self.entries.get_mut(at..)?.iter_mut().take_while(|entry| entry.hash == hash);
        same.into_iter().find(|entry| entry.key.borrow() == key)
    }
}

impl<K, M: Mode, C: Clock> Shard<K, M, C> {
    /// Makes room for one more, by rules 2 to 4.
    fn make_room(&mut self, idle_after: Duration, now: Instant) -> Result<(), Full> {
        if self.entries.len() < self.entries.capacity() {
            return Ok(());
        }
        let ranks = self.entries.iter().enumerate().map(|(at, entry)| (entry.forget_from(idle_after), entry.used, at));
        // The first that may be forgotten; among those that always may, the one that was used longest ago.
        let Some((from, _, at)) = ranks.min() else { return Ok(()) };
        if from > now {
            let retry_at = if from == Instant::MAX { now + idle_after } else { from };
            return Err(Full { retry_at });
        }
        self.entries.remove(at);
        self.forgotten += 1;
        Ok(())
    }
}

impl<K, M: Mode, C: Clock> Entry<K, M, C> {
    /// From when it may be forgotten; [`Instant::MAX`] for never, [`Instant::ZERO`] for always.
    fn forget_from(&self, idle_after: Duration) -> Instant {
        // Nobody can take hold of it meanwhile, since all do so under the shard's lock.
        if Arc::strong_count(&self.breaker) > 1 {
            return Instant::MAX;
        }
        let snapshot = self.breaker.snapshot();
        match snapshot.state {
            State::Closed if snapshot.consecutive_failures == 0 => Instant::ZERO,
            State::Closed | State::HalfOpen => self.used + idle_after,
            State::Open => snapshot.retry_at.unwrap_or(Instant::MAX).max(self.used + idle_after),
            _ => Instant::MAX,
        }
    }
}

impl<K, M: Mode, C> fmt::Debug for KeyedBreakers<K, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakers").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Shows [`KeyedBreakers`] at about one moment: their shards are read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// How many keys the table is made for.
    pub capacity: usize,
    /// Keys that have a place.
    pub keys: usize,
    /// New keys that were refused because no place was free.
    pub full: u64,
    /// New keys that got a breaker of their own without a place because none was free.
    pub untracked: u64,
    /// Keys that were forgotten to make room.
    pub forgotten: u64,
}
