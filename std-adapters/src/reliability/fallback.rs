//! Gives values for calls that gave none, by name, awaiting them if need be.
//!
//! The counting and the last good values are [`daur_core::reliability::fallback`]'s: this keeps the
//! functions, of any type, and logs each use with its cause.

mod source;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use daur_core::reliability::executor::{Cause, Execution, Failure};
use daur_core::reliability::fallback::{AddError, Name, Snapshot, Source};
use daur_core::reliability::retry::Reason;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration};

use crate::clock::TokioClock;
use crate::shared::StdShared;

pub use source::{BoxFuture, SharedFallback};

/// Says how many fallbacks there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most that can be registered; at least 1.
    pub max_fallbacks: usize,
}

impl Config {
    /// 256 fallbacks.
    pub const DEFAULT: Self = Self { max_fallbacks: 256 };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Shows one fallback at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    /// Its name.
    pub name: Name,
    /// What it has done.
    pub counts: Snapshot,
}

/// What the registry knows of a fallback whose types it does not.
trait Entry: Any + Send + Sync {
    fn snapshot(&self) -> Snapshot;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T, E, A> Entry for SharedFallback<T, E, A>
where
    T: Send + 'static,
    E: Send + 'static,
    A: ?Sized + 'static,
{
    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Holds fallbacks of any types by name, and runs calls with them (`FallbackHandler`).
///
/// For code that learns at run time which fallback it needs, or that registers them in one place;
/// otherwise a [`SharedFallback`] beside the call is simpler, and checked by the compiler.
///
/// # Rules
/// 1. A name exists once, and there are no more than `max_fallbacks`.
/// 2. A call that succeeds is left as it is, and remembered for [`FallbackHandler::register_last_good`].
/// 3. A fallback sees the failure, and what the call was made with; it may await.
/// 4. A fallback that fails leaves both errors in the [`Execution`].
/// 5. Each use is counted by its cause, and logged with it.
/// 6. A name that is not registered, or not with these types, leaves the call as it is, and is counted.
/// 7. Dropped while a fallback is awaited, a call counts nothing.
///
/// # Cost
/// Two allocations for a fallback, one for each use that awaits. A use is a read lock, O(log n), and the
/// fallback's own lock.
///
/// # Errors
/// [`AddError`] for a fallback that is not taken on.
///
/// # Sharing
/// `Send` and `Sync`; no lock is held while a call or a fallback runs.
///
/// # Example
/// ```
/// use daur_std::reliability::fallback::fallback_handler;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let handler = fallback_handler();
/// handler.register_fallback("quote", |failure, symbol: &String| {
///     let answer = format!("{symbol}: no quote, since {failure}");
///     Box::pin(async move { Ok::<_, &'static str>(answer) })
/// })?;
///
/// let symbol = "DAUR".to_owned();
/// let quote = async |_: &String| Err::<String, _>("the exchange is closed");
/// let run = handler.execute_with_fallback("quote", &symbol, quote).await;
/// assert_eq!(run.result.as_deref(), Ok("DAUR: no quote, since the exchange is closed"));
/// assert!(run.fallback_used);
/// # Ok::<(), daur_std::core::reliability::fallback::AddError>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct FallbackHandler {
    config: Config,
    entries: RwLock<BTreeMap<Name, Arc<dyn Entry>>>,
    unknown: StdShared<u32>,
}

/// The process's own handler (`get_fallback_handler`), with [`Config::DEFAULT`].
#[doc(alias = "get_fallback_handler")]
pub fn fallback_handler() -> &'static FallbackHandler {
    static HANDLER: OnceLock<FallbackHandler> = OnceLock::new();
    HANDLER.get_or_init(FallbackHandler::default)
}

impl FallbackHandler {
    /// A handler without fallbacks.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, entries: RwLock::new(BTreeMap::new()), unknown: StdShared::new(0) }
    }

    /// Registers a function that is awaited, and sees the failure and what the call was made with.
    ///
    /// # Errors
    /// [`AddError`] if the name is taken or too long, or there is no place.
    pub fn register_fallback<T, E, A>(
        &self,
        name: &str,
        make: impl for<'a> Fn(&'a Failure<E>, &'a A) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'static,
    ) -> Result<(), AddError>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        self.register(name, SharedFallback::awaiting(make))
    }

    /// Registers a function that does not wait.
    ///
    /// # Errors
    /// As [`FallbackHandler::register_fallback`].
    pub fn register_fn<T, E, A>(
        &self,
        name: &str,
        make: impl Fn(&Failure<E>, &A) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<(), AddError>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        self.register(name, SharedFallback::function(make))
    }

    /// Registers a value.
    ///
    /// # Errors
    /// As [`FallbackHandler::register_fallback`].
    pub fn register_value<T, E, A>(&self, name: &str, value: T) -> Result<(), AddError>
    where
        T: Clone + Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        self.register(name, SharedFallback::<T, E, A>::new(Source::Value(value)))
    }

    /// Registers the last value that a call gave under this name, as long as it is not older than `max_age`.
    ///
    /// # Errors
    /// As [`FallbackHandler::register_fallback`].
    pub fn register_last_good<T, E, A>(&self, name: &str, max_age: Duration) -> Result<(), AddError>
    where
        T: Clone + Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        self.register(name, SharedFallback::<T, E, A>::new(Source::LastGood { max_age }))
    }

    /// Registers any fallback.
    ///
    /// # Errors
    /// As [`FallbackHandler::register_fallback`].
    pub fn register<T, E, A>(&self, name: &str, fallback: SharedFallback<T, E, A>) -> Result<(), AddError>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        let name = Name::new(name).map_err(|_| AddError::NameTooLong)?;
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.contains_key(&name) {
            return Err(AddError::Duplicate);
        }
        if entries.len() >= self.config.max_fallbacks {
            return Err(AddError::Full);
        }
        entries.insert(name, Arc::new(fallback.called(name)));
        Ok(())
    }

    /// Removes a fallback; says whether there was one.
    pub fn unregister(&self, name: &str) -> bool {
        let Ok(name) = Name::new(name) else { return false };
        let removed = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        // Dropped here, outside of the lock: what its function holds may ask for this handler.
        removed.is_some()
    }

    /// The fallback called `name`, if it has these types.
    #[must_use]
    pub fn by_name<T, E, A>(&self, name: &str) -> Option<Arc<SharedFallback<T, E, A>>>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        let name = Name::new(name).ok()?;
        let entry = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&name)?.clone();
        entry.as_any().downcast().ok()
    }

    /// The end of a run of calls made with `args`, with a value of the fallback called `name` if there is any.
    pub async fn apply<T, E, A>(&self, name: &str, execution: Execution<T, E>, args: &A) -> Execution<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
    {
        match self.by_name::<T, E, A>(name) {
            Some(fallback) => fallback.apply(execution, args).await,
            None => {
                self.unknown.with(|unknown, _| *unknown = unknown.saturating_add(1));
                #[cfg(feature = "tracing")]
                tracing::error!(
                    name,
                    value = std::any::type_name::<T>(),
                    error = std::any::type_name::<E>(),
                    arguments = std::any::type_name::<A>(),
                    "no fallback of that name and of these types is registered"
                );
                execution
            }
        }
    }

    /// Makes `call` with `args`, once, and gives the value of the fallback called `name` if it fails.
    ///
    /// For retries, a breaker and time limits, run the call by an executor and hand its [`Execution`] to
    /// [`FallbackHandler::apply`].
    pub async fn execute_with_fallback<'a, T, E, A, F>(
        &self,
        name: &str,
        args: &'a A,
        call: impl FnOnce(&'a A) -> F,
    ) -> Execution<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        A: ?Sized + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let start = TokioClock.now();
        let (result, cause) = match call(args).await {
            Ok(value) => (Ok(value), None),
            Err(error) => (Err(Failure::Error(error)), Some(Cause::Retry(Reason::Exhausted))),
        };
        let elapsed = TokioClock.now() - start;
        let execution = Execution {
            result,
            attempts: 1,
            elapsed,
            refused_by_breaker: 0,
            fallback_used: false,
            fallback_error: None,
            cause,
        };
        self.apply(name, execution, args).await
    }

    /// Calls whose fallback was not registered, or with other types.
    #[must_use]
    pub fn unknown(&self) -> u32 {
        self.unknown.with(|unknown, _| *unknown)
    }

    /// Every fallback with its counts, by name.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Named> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(name, entry)| Named { name: *name, counts: entry.snapshot() }).collect()
    }
}

impl fmt::Debug for FallbackHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackHandler").finish_non_exhaustive()
    }
}
