//! Gives a value when the call gave none.

use core::fmt;

use super::executor::{Execution, Failure};
use crate::text::Text;
use crate::time::{Duration, Instant};

/// Says where a [`Fallback`]'s value comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<T, E> {
    /// Always this value.
    Value(T),
    /// What a function makes of the failure; it may fail too.
    Function(fn(&Failure<E>) -> Result<T, E>),
    /// The last value that the call gave, as long as it is not older.
    LastGood {
        /// The greatest age at which it is still good.
        max_age: Duration,
    },
}

/// Gives a value when a run of calls gave none, and counts that it did (`FallbackHandler`).
///
/// # Rules
/// 1. A successful run is left as it is, and remembered if the source is [`Source::LastGood`].
/// 2. A failed run gets the source's value; [`Execution::fallback_used`] tells, and the cause stays.
/// 3. A function that fails leaves the run failed, and both errors are in it.
/// 4. The last good value is used up to exactly `max_age`; a clock that steps backwards does not age it.
/// 5. Each use is counted, and each time there was nothing to give.
///
/// # Cost
/// The value twice, and about 32 bytes. O(1).
///
/// # Sharing
/// Put it beside the executor, in a [`Shared`](crate::shared::Shared); a function source runs inside
/// `with`, so it must be short.
///
/// # Example
/// ```
/// use daur_core::reliability::executor::{Execution, Failure};
/// use daur_core::reliability::fallback::{Fallback, Source};
/// use daur_core::time::{Duration, Instant};
///
/// let mut fallback = Fallback::new(Source::<i32, ()>::LastGood { max_age: Duration::from_secs(10) });
/// let (then, now) = (Instant::from_secs(1), Instant::from_secs(5));
/// fallback.remember(&21, then);
///
/// let failed = Execution { result: Err(Failure::Error(())), ..Execution::of_value(0) };
/// let saved = fallback.apply(failed, now);
/// assert_eq!(saved.result, Ok(21));
/// assert!(saved.fallback_used);
/// ```
#[doc(alias = "FallbackHandler")]
#[derive(Clone, Debug)]
pub struct Fallback<T, E> {
    source: Source<T, E>,
    last: Option<(T, Instant)>,
    used: u32,
    failed: u32,
}

impl<T: Clone, E> Fallback<T, E> {
    /// A fallback to `source`.
    #[must_use]
    pub const fn new(source: Source<T, E>) -> Self {
        Self { source, last: None, used: 0, failed: 0 }
    }

    /// The end of a run, with a value if there is any to be had.
    #[doc(alias = "execute_with_fallback")]
    pub fn apply(&mut self, mut execution: Execution<T, E>, now: Instant) -> Execution<T, E> {
        let failure = match &execution.result {
            Ok(value) => {
                self.remember(value, now);
                return execution;
            }
            Err(failure) => failure,
        };
        match self.value(failure, now) {
            Ok(value) => {
                self.used = self.used.saturating_add(1);
                execution.result = Ok(value);
                execution.fallback_used = true;
            }
            Err(error) => {
                self.failed = self.failed.saturating_add(1);
                execution.fallback_error = error;
            }
        }
        execution
    }

    /// Remembers a value that came another way, if the source is [`Source::LastGood`].
    pub fn remember(&mut self, value: &T, now: Instant) {
        if let Source::LastGood { .. } = self.source {
            self.last = Some((value.clone(), now));
        }
    }

    fn value(&self, failure: &Failure<E>, now: Instant) -> Result<T, Option<E>> {
        match &self.source {
            Source::Value(value) => Ok(value.clone()),
            Source::Function(make) => make(failure).map_err(Some),
            Source::LastGood { max_age } => match &self.last {
                Some((value, at)) if now - *at <= *max_age => Ok(value.clone()),
                _ => Err(None),
            },
        }
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot { used: self.used, failed: self.failed }
    }
}

/// Shows a [`Fallback`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Times it gave the value.
    pub used: u32,
    /// Times it had none to give.
    pub failed: u32,
}

/// Names a fallback in a [`Registry`].
pub type Name = Text<24>;

/// Says why a fallback was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddError {
    /// There is one of that name.
    Duplicate,
    /// All places are taken.
    Full,
    /// The name is longer than 24 bytes.
    NameTooLong,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "a fallback of that name is registered already",
            Self::Full => "all places of the fallback registry are taken",
            Self::NameTooLong => "a fallback's name has at most 24 bytes",
        })
    }
}

impl core::error::Error for AddError {}

/// Holds up to `N` fallbacks by name.
///
/// For code that learns at run time which one it needs; otherwise a [`Fallback`] of its own is simpler.
#[derive(Clone, Debug)]
pub struct Registry<T, E, const N: usize> {
    places: [Option<(Name, Fallback<T, E>)>; N],
}

impl<T: Clone, E, const N: usize> Registry<T, E, N> {
    /// An empty registry.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [const { None }; N] }
    }

    /// Registers a fallback to `source` as `name`.
    ///
    /// # Errors
    /// [`AddError`] if the name is taken or too long, or there is no place.
    #[doc(alias = "register_fallback")]
    pub fn add(&mut self, name: &str, source: Source<T, E>) -> Result<(), AddError> {
        let name = Name::new(name).map_err(|_| AddError::NameTooLong)?;
        if self.by_name(name.as_str()).is_some() {
            return Err(AddError::Duplicate);
        }
        let place = self.places.iter_mut().find(|place| place.is_none()).ok_or(AddError::Full)?;
        *place = Some((name, Fallback::new(source)));
        Ok(())
    }

    /// The fallback called `name`.
    pub fn by_name(&mut self, name: &str) -> Option<&mut Fallback<T, E>> {
        self.places.iter_mut().flatten().find(|(known, _)| known == name).map(|(_, fallback)| fallback)
    }

    /// Every name with its counts.
    pub fn snapshots(&self) -> impl Iterator<Item = (&Name, Snapshot)> {
        self.places.iter().flatten().map(|(name, fallback)| (name, fallback.snapshot()))
    }
}

impl<T: Clone, E, const N: usize> Default for Registry<T, E, N> {
    fn default() -> Self {
        Self::new()
    }
}
