//! What functions have returned, kept for who calls them again: what `#[memoize]` expands to.

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use daur_core::performance::cache::{Lru, Policy, Snapshot};
use daur_core::performance::memory::{Share, Shrink};
use daur_core::time::Clock;

use super::cache::{Seeded, SharedCache};
use crate::clock::CoarseClock;

mod key;

pub use super::cache::{Config, ConfigError};
pub use key::{Arguments, Key};

/// Keeps what a function has returned, under its arguments.
///
/// `#[memoize]` makes one for each function, to which the function's name with `_memo` leads. Write one as a `static` to
/// name it with `cache = PATH`: for a method of a trait, for a generic function, or for several functions together.
///
/// `K` is the arguments' tuple, each one owned (`(String, u8)` for a `&str` and a `u8`), or what `key` makes of them.
/// `V` is what is kept: of a `Result` its value. It is a [`SharedCache`], and so are its rules.
///
/// # Rules
/// 1. There are never more than `max_size` answers; the one that was used longest ago leaves first.
/// 2. Callers with the same arguments at the same time, threads and tasks alike, share one computation.
/// 3. An `Err` is not kept, unless the attribute says so. It, a panic and a dropped future end their own call alone: the
///    one who has waited longest computes next.
/// 4. A function may call itself, with other arguments or, if that ends, with the same.
/// 5. An answer that is forgotten while it is computed is returned, and not kept.
///
/// # Cost
/// A call that is answered allocates nothing: it looks for references to the arguments. One that is not copies them, and so
/// does every one with `refresh_ahead`.
/// The cache is made with the first call.
///
/// # Sharing
/// A `static`. A thread that waits for the same answer is blocked, a task is not. Two computations that wait for each
/// other's answers wait for ever, as two locks would.
///
/// # Example
/// ```
/// use daur_std::memoize;
///
/// #[memoize(maxsize = 100, ttl = "60s")]
/// fn length(word: &str, times: usize) -> usize {
///     word.len() * times
/// }
///
/// assert_eq!((length("abc", 2), length("abc", 2)), (6, 6));
/// let stats = length_memo().snapshot();
/// assert_eq!((stats.hits, stats.misses, stats.len), (1, 1, 1));
///
/// assert_eq!(length_memo().remove(&("abc", &2)), Some(6));
/// length_memo().clear();
/// ```
#[doc(alias = "memoize")]
pub struct Memo<K, V, P: Policy = Lru<u8>, C = CoarseClock> {
    function: &'static str,
    config: Config,
    clock: C,
    cache: OnceLock<SharedCache<Key<K>, V, P, Seeded, C>>,
    /// Misses that were counted once more when the computation began.
    twice: AtomicU64,
}

impl<K, V, P: Policy> Memo<K, V, P> {
    /// No answers yet, of what is called `function`, by the coarse clock.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static`, a compile error.
    #[must_use]
    pub const fn new(function: &'static str, config: Config) -> Self {
        Self::with_clock(function, config, CoarseClock)
    }
}

impl<K, V, P: Policy, C> Memo<K, V, P, C> {
    /// No answers yet, of what is called `function`, by `clock`.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static`, a compile error.
    #[must_use]
    pub const fn with_clock(function: &'static str, config: Config, clock: C) -> Self {
        assert!(config.validate().is_ok(), "invalid config of a memoized function");
        Self { function, config, clock, cache: OnceLock::new(), twice: AtomicU64::new(0) }
    }

    /// What the function is called.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        self.function
    }
}

impl<K: Hash + Eq, V, P: Policy, C: Clock> Memo<K, V, P, C> {
    /// The answer of these arguments, if it is kept, without a trace in order or counts.
    pub fn peek<A: Arguments<K>>(&self, arguments: &A) -> Option<V>
    where
        Key<K>: Borrow<A::Lent>,
        V: Clone,
    {
        self.cache.get()?.peek(arguments.lent())
    }

    /// Forgets the answer of these arguments, and returns it.
    ///
    /// They are references, as a tuple: `.remove(&("a", &1))`; with the attribute's `key`, what it makes in a [`Key`].
    pub fn remove<A: Arguments<K>>(&self, arguments: &A) -> Option<V>
    where
        Key<K>: Borrow<A::Lent>,
    {
        self.cache.get()?.remove(arguments.lent())
    }

    /// Forgets all answers.
    pub fn clear(&self) {
        if let Some(cache) = self.cache.get() {
            cache.clear();
        }
    }

    /// Answers that are kept now.
    pub fn len(&self) -> usize {
        self.cache.get().map_or(0, SharedCache::len)
    }

    /// Whether no answer is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been asked and kept.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.cache.get().map_or_else(
            || Snapshot { capacity: u32::try_from(self.config.max_size).unwrap_or(u32::MAX), ..Snapshot::default() },
            SharedCache::snapshot,
        );
        snapshot.misses = snapshot.misses.saturating_sub(self.twice.load(Ordering::Relaxed));
        snapshot
    }
}

impl<K, V, P, C> Memo<K, V, P, C>
where
    K: Hash + Eq,
    P: Policy,
    C: Clock + Clone,
    Self: Sync,
{
    fn cache(&'static self) -> &'static SharedCache<Key<K>, V, P, Seeded, C> {
        self.cache.get_or_init(|| {
            let cache = SharedCache::with_hasher(self.config, self.clock.clone(), Seeded::default())
                .unwrap_or_else(|_| unreachable!("the config was checked when the memo was made"));
            let mut memos = MEMOS.lock().unwrap_or_else(PoisonError::into_inner);
            // Memory may be short already. Looked up under the lock: who sets it later finds this memo there.
            cache.resize_soft(Share::permille(KEPT.load(Ordering::Relaxed)).of(self.config.max_size));
            memos.push(self);
            cache
        })
    }

    /// Keeps at most `capacity` answers from now on, up to `max_size`, and returns how many it forgot for that.
    pub fn resize_soft(&'static self, capacity: usize) -> usize {
        self.cache().resize_soft(capacity)
    }

    /// The answer, or else the key to [compute](Self::computed) it under.
    ///
    /// # Errors
    /// The key, if there is none.
    #[inline]
    pub fn found<A: Arguments<K>>(&'static self, arguments: A) -> Result<V, Key<K>>
    where
        Key<K>: Borrow<A::Lent>,
        V: Clone,
    {
        if self.config.refresh_ahead.is_some() {
            // Only the computing verbs see that an answer is to be renewed.
            return Err(arguments.own());
        }
        self.cache().get(arguments.lent()).ok_or_else(|| {
            self.twice.fetch_add(1, Ordering::Relaxed);
            arguments.own()
        })
    }

    /// The answer, which `compute` makes if nobody else does meanwhile.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn computed<E>(&'static self, key: &Key<K>, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E>
    where
        K: Clone,
        V: Clone,
    {
        self.cache().try_get_or_insert_with(key, compute)
    }

    /// The answer, which `compute` makes if nobody else does meanwhile.
    ///
    /// # Errors
    /// Those of `compute`.
    pub async fn computed_later<E>(
        &'static self,
        key: &Key<K>,
        compute: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E>
    where
        K: Clone,
        V: Clone,
    {
        self.cache().try_get_or_insert_async(key, || compute).await
    }
}

impl<K: Hash + Eq, V, P: Policy, C: Clock> Shrink for Memo<K, V, P, C> {
    fn shrink(&self, keep: Share) -> u64 {
        self.cache.get().map_or(0, |cache| cache.shrink(keep))
    }

    fn restore(&self, keep: Share) {
        if let Some(cache) = self.cache.get() {
            cache.restore(keep);
        }
    }
}

impl<K, V, P: Policy, C> fmt::Debug for Memo<K, V, P, C> {
    /// Without the answers, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("function", &self.function).field("config", &self.config).finish_non_exhaustive()
    }
}

/// A memo of any types that is listed.
trait AnyMemo: Sync {
    fn function(&self) -> &'static str;
    fn snapshot(&self) -> Snapshot;
    fn clear(&self);
    /// What it keeps, which is there or about to be.
    fn kept(&self) -> &dyn Shrink;
}

impl<K: Hash + Eq, V, P: Policy, C: Clock> AnyMemo for Memo<K, V, P, C>
where
    Self: Sync,
{
    fn function(&self) -> &'static str {
        self.function
    }

    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }

    fn clear(&self) {
        Self::clear(self);
    }

    fn kept(&self) -> &dyn Shrink {
        self.cache.wait()
    }
}

/// One for each function that was called: their number is bounded by the program's text.
static MEMOS: Mutex<Vec<&'static dyn AnyMemo>> = Mutex::new(Vec::new());

fn known() -> Vec<&'static dyn AnyMemo> {
    MEMOS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Every memoized function that was called, and what is kept of it.
///
/// # Example
/// ```
/// use daur_std::performance::memoize;
///
/// #[daur_std::memoize]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// square(3);
/// let memos = memoize::memos();
/// assert!(memos[0].function.ends_with("square"));
/// assert_eq!(memos[0].snapshot.len, 1);
/// ```
#[must_use]
pub fn memos() -> Vec<Told> {
    known().into_iter().map(|memo| Told { function: memo.function(), snapshot: memo.snapshot() }).collect()
}

/// Forgets what all memoized functions have returned.
pub fn clear_all() {
    known().into_iter().for_each(AnyMemo::clear);
}

/// How many thousandths of its answers each may keep.
static KEPT: AtomicU16 = AtomicU16::new(1_000);

/// Shrinks what is kept of all memoized functions, of those that have not been called yet too: one entry for the
/// memory's monitor.
///
/// # Example
/// ```
/// use daur_std::core::performance::memory::{Share, Shrink};
/// use daur_std::performance::memoize::All;
///
/// #[daur_std::memoize(maxsize = 10)]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// (0..10).for_each(|number| assert_eq!(square(number), number * number));
/// assert!(All.shrink(Share::permille(500)) > 0);
/// assert_eq!(square_memo().len(), 5);
/// All.restore(Share::ALL);
/// assert_eq!(square_memo().snapshot().capacity, 10);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct All;

impl Shrink for All {
    fn shrink(&self, keep: Share) -> u64 {
        KEPT.store(keep.as_permille(), Ordering::Relaxed);
        known().into_iter().map(|memo| memo.kept().shrink(keep)).sum()
    }

    fn restore(&self, keep: Share) {
        KEPT.store(keep.as_permille(), Ordering::Relaxed);
        known().into_iter().for_each(|memo| memo.kept().restore(keep));
    }
}

/// Shows what is kept of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// The function, by its path.
    pub function: &'static str,
    /// What was asked and kept.
    pub snapshot: Snapshot,
}
