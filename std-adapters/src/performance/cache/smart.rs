//! The cache of the seed: text keys, values of any type.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use daur_core::performance::cache::{Lru, Snapshot};
use daur_core::time::{Clock, Duration};

use super::{Config, ConfigError, Seeded, SharedCache};
use crate::clock::CoarseClock;

type Value = Arc<dyn Any + Send + Sync>;

/// Keeps values of any type under text keys.
///
/// The seed's `SmartCache`, in which anything may be put under any name. Where all values are of one type, a
/// [`SharedCache`] of that type says so, and gives them out without a check.
///
/// # Rules
/// 1. A value is found as the type it was set as, and as no other; asking for another one is a miss that leaves it there.
/// 2. The last value set under a key is the one that counts, whatever its type.
///
/// # Cost
/// As the [`SharedCache`], and an allocation for each value.
///
/// # Sharing
/// `&self` everywhere, as the [`SharedCache`].
///
/// # Example
/// ```
/// use daur_std::performance::cache::{Config, SmartCache};
///
/// let cache = SmartCache::try_new(Config { max_size: 100, ..Config::DEFAULT })?;
/// cache.set("answer", 42_u32);
/// cache.set("name", "Daur".to_owned());
/// assert_eq!(cache.get::<u32>("answer").as_deref(), Some(&42));
/// assert_eq!(cache.get::<String>("name").as_deref().map(String::as_str), Some("Daur"));
/// assert_eq!(cache.get::<u8>("answer"), None);
/// # Ok::<(), daur_std::performance::cache::ConfigError>(())
/// ```
pub struct SmartCache<C = CoarseClock> {
    cache: SharedCache<String, Value, Lru<u8>, Seeded, C>,
}

impl SmartCache {
    /// A cache by the coarse clock.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, CoarseClock)
    }
}

impl<C: Clock> SmartCache<C> {
    /// A cache by `clock`.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        Ok(Self { cache: SharedCache::with_clock(config, clock)? })
    }

    /// Keeps `value` under `key` for the config's ttl.
    pub fn set<T: Any + Send + Sync>(&self, key: impl Into<String>, value: T) {
        self.cache.insert(key.into(), Arc::new(value));
    }

    /// Keeps `value` under `key` for `ttl`.
    pub fn set_with_ttl<T: Any + Send + Sync>(&self, key: impl Into<String>, value: T, ttl: Duration) {
        self.cache.insert_with_ttl(key.into(), Arc::new(value), ttl);
    }

    /// The value of `key`, if it is a `T`.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.cache.get(key)?.downcast().ok()
    }

    /// Whether there is a value of any type under `key`, without a trace in order or counts.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.cache.contains(key)
    }

    /// Removes what is under `key`, and says whether there was anything.
    pub fn remove(&self, key: &str) -> bool {
        self.cache.remove(key).is_some()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Entries now, without those that have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// What the cache has done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.cache.snapshot()
    }

    /// The cache itself, for its other verbs.
    #[must_use]
    pub const fn shared(&self) -> &SharedCache<String, Value, Lru<u8>, Seeded, C> {
        &self.cache
    }
}

impl<C> fmt::Debug for SmartCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SmartCache").field(&self.cache).finish()
    }
}

static GLOBAL: OnceLock<SmartCache> = OnceLock::new();

/// The cache of the process, with up to `max_size` values: the size of the first call counts, for those after it too.
///
/// The seed's `get_smart_cache`. One with a ttl is put there by [`init`] before. A size of zero is taken for one, one
/// above [`MAX_SIZE`](super::MAX_SIZE) for that.
///
/// # Example
/// ```
/// use daur_std::performance::cache::smart_cache;
///
/// smart_cache(1_000).set("zone", 7_u8);
/// assert_eq!(smart_cache(1_000).get::<u8>("zone").as_deref(), Some(&7));
/// ```
#[doc(alias = "get_smart_cache")]
pub fn smart_cache(max_size: usize) -> &'static SmartCache {
    GLOBAL.get_or_init(|| {
        let config = Config { max_size: max_size.clamp(1, super::MAX_SIZE), ..Config::DEFAULT };
        SmartCache { cache: SharedCache::unchecked(config, CoarseClock, Seeded::default()) }
    })
}

/// Makes `cache` the one that [`smart_cache`] gives.
///
/// # Errors
/// Gives `cache` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(cache: SmartCache) -> Result<(), SmartCache> {
    GLOBAL.set(cache)
}
