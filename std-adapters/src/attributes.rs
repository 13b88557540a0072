//! What the attributes of this crate expand to, beside `daur_core::attributes`. Ask [`fallbacks`] how
//! often those with a `fallback` used it; the rest is for the attributes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use daur_core::attributes::Sleep;
use daur_core::reliability::breaker::{Mode, Open};
use daur_core::reliability::retry::Class;
use daur_core::time::{Clock, Duration};

use crate::clock::StdClock;
use crate::reliability::breaker::{Guard, SharedBreaker};

impl Sleep for StdClock {
    fn sleep(&self, length: Duration) {
        std::thread::sleep(length.into());
    }
}

#[cfg(feature = "tokio")]
impl daur_core::attributes::AsyncSleep for crate::clock::TokioClock {
    fn sleep(&self, length: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(length.into())
    }
}

/// Asks a breaker to run a body.
///
/// # Errors
/// [`Open`] if it must not.
pub fn admit<M: Mode, C: Clock>(breaker: &SharedBreaker<M, C>) -> Result<Guard<'_, M, C>, Open> {
    breaker.admit()
}

/// Reports what a body gave, and gives it on.
///
/// # Errors
/// The body's.
pub fn settle<M: Mode, C: Clock, T, E>(
    guard: Guard<'_, M, C>,
    result: Result<T, E>,
    classify: impl FnOnce(&E) -> Class,
) -> Result<T, E> {
    match &result {
        Ok(_) => {
            guard.on_success();
        }
        // Dropped without a report, the guard gives the permit back.
        Err(error) if classify(error) == Class::Ignored => {}
        Err(_) => {
            guard.on_failure();
        }
    }
    result
}

/// Every function whose attribute has used its `fallback`, and how often.
///
/// # Example
/// ```
/// #[daur_std::retry(max_attempts = 1, fallback = |_| Ok(20))]
/// fn temperature() -> Result<i32, &'static str> {
///     Err("no sensor")
/// }
///
/// assert_eq!(temperature(), Ok(20));
/// let fallbacks = daur_std::attributes::fallbacks();
/// assert!(fallbacks[0].function.ends_with("temperature"));
/// assert_eq!(fallbacks[0].used, 1);
/// ```
#[must_use]
pub fn fallbacks() -> Vec<Used> {
    let uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
    uses.iter().map(|uses| Used { function: uses.function, used: uses.count.load(Ordering::Relaxed) }).collect()
}

/// Shows how often a function's fallback was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Used {
    /// The function, by its path. Two attributes on one function are two entries.
    pub function: &'static str,
    /// How often, whatever the fallback made of it.
    pub used: u64,
}

/// One for each attribute that has used its fallback: their number is bounded by the program's text.
static USES: Mutex<Vec<&'static Uses>> = Mutex::new(Vec::new());

/// Counts the uses of one attribute's fallback.
#[derive(Debug)]
pub struct Uses {
    function: &'static str,
    count: AtomicU64,
    known: Once,
}

impl Uses {
    /// None yet.
    #[must_use]
    pub const fn new(function: &'static str) -> Self {
        Self { function, count: AtomicU64::new(0), known: Once::new() }
    }

    fn add(&'static self) {
        self.known.call_once(|| USES.lock().unwrap_or_else(PoisonError::into_inner).push(self));
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Shows why a fallback is used.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a, E>(pub &'a E);

impl<E: fmt::Debug> Cause<'_, E> {
    /// Counts and logs it.
    pub fn note(&self, uses: &'static Uses) {
        uses.add();
        #[cfg(feature = "tracing")]
        tracing::warn!(function = uses.function, cause = ?self.0, "a function's fallback is used");
    }
}

/// An error that nobody can show.
pub trait AnyCause {
    /// Counts it, and logs that there was one.
    fn note(&self, uses: &'static Uses);
}

impl<E> AnyCause for Cause<'_, E> {
    fn note(&self, uses: &'static Uses) {
        uses.add();
        #[cfg(feature = "tracing")]
        tracing::warn!(function = uses.function, "a function's fallback is used");
    }
}
