//! Gives a value when the call gave none.

use core::fmt;

use super::executor::{Execution, Failure};
use crate::text::Text;
use crate::time::{Duration, Instant};

/// Says where a [`Fallback`]'s value comes from.
///
/// `A` is what the call was made with, for a function that needs it.
#[derive(Debug)]
pub enum Source<T, E, A: ?Sized = ()> {
    /// Always this value.
    Value(T),
    /// What a function makes of the failure; it may fail too.
    Function(fn(&Failure<E>) -> Result<T, E>),
    /// What a function makes of the failure and of what the call was made with; it may fail too.
    WithArgs(fn(&Failure<E>, &A) -> Result<T, E>),
    /// The last value that the call gave, as long as it is not older.
    LastGood {
        /// The greatest age at which it is still good.
        max_age: Duration,
    },
    /// Nothing of its own: whoever runs the call makes the value, awaiting if need be, and tells with
    /// [`Fallback::settle`].
    Caller,
}

// By hand: a derived one would ask `A` to be `Clone` too.
impl<T: Clone, E, A: ?Sized> Clone for Source<T, E, A> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone()),
            Self::Function(make) => Self::Function(*make),
            Self::WithArgs(make) => Self::WithArgs(*make),
            Self::LastGood { max_age } => Self::LastGood { max_age: *max_age },
            Self::Caller => Self::Caller,
        }
    }
}

/// Gives a value when a run of calls gave none, and counts that it did (`FallbackHandler`).
///
/// The outermost part of the careful call: put it around an [`Executor`](super::executor::Executor)'s
/// [`Execution`]. Where the name of the fallback is only known at run time, take a [`Registry`] of them;
/// where the value must be awaited, `daur-std`'s `reliability::fallback`.
///
/// # Rules
/// 1. A successful run is left as it is, and remembered if the source is [`Source::LastGood`].
/// 2. A failed run gets the source's value; [`Execution::fallback_used`] tells, and the cause stays.
/// 3. A function that fails leaves the run failed, and both errors are in it.
/// 4. The last good value is used up to exactly `max_age`; a clock that steps backwards does not age it.
/// 5. Each use is counted by its cause, and each time there was nothing to give.
/// 6. A function sees the failure, and what the call was made with.
///
/// # Cost
/// 80 bytes of RAM and 268 of flash on thumbv6m (image `fallback`, of a `u32`): two places for the
/// value, and the counts. O(1).
///
/// # Errors
/// None of its own: what a function failed with is in [`Execution::fallback_error`], beside the run's.
///
/// # Sharing
/// Put it beside the executor, in a [`Shared`](crate::shared::Shared); a function source runs inside
/// `with`, so it must be short. A longer one is a [`Source::Caller`], which runs outside.
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
/// assert_eq!(fallback.last_good(now), Some((&21, Duration::from_secs(4))));
///
/// // One that sees the arguments:
/// let mut longer = Fallback::with_args(Source::WithArgs(|_: &Failure<()>, name: &str| Ok(name.len())));
/// let failed = Execution { result: Err(Failure::Error(())), ..Execution::of_value(0) };
/// assert_eq!(longer.apply_to(failed, "four", now).result, Ok(4));
/// ```
///
/// # References
/// Polly, *Fallback resilience strategy*.
#[doc(alias = "FallbackHandler")]
#[derive(Debug)]
pub struct Fallback<T, E, A: ?Sized = ()> {
    source: Source<T, E, A>,
    last: Option<(T, Instant)>,
    counts: Snapshot,
}

// By hand, for the same reason.
impl<T: Clone, E, A: ?Sized> Clone for Fallback<T, E, A> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), last: self.last.clone(), counts: self.counts }
    }
}

impl<T, E> Fallback<T, E> {
    /// A fallback to `source`.
    #[must_use]
    pub const fn new(source: Source<T, E>) -> Self {
        Self::with_args(source)
    }

    /// The end of a run, with a value if there is any to be had.
    #[doc(alias = "execute_with_fallback")]
    pub fn apply(&mut self, execution: Execution<T, E>, now: Instant) -> Execution<T, E>
    where
        T: Clone,
    {
        self.apply_to(execution, &(), now)
    }
}

impl<T, E, A: ?Sized> Fallback<T, E, A> {
    /// A fallback to `source`, which may see what the call was made with.
    #[must_use]
    pub const fn with_args(source: Source<T, E, A>) -> Self {
        Self { source, last: None, counts: Snapshot::NOTHING }
    }

    /// The end of a run of calls made with `args`, with a value if there is any to be had.
    pub fn apply_to(&mut self, execution: Execution<T, E>, args: &A, now: Instant) -> Execution<T, E>
    where
        T: Clone,
    {
        let execution = self.give(execution, args, now);
        report("", &execution);
        execution
    }

    fn give(&mut self, execution: Execution<T, E>, args: &A, now: Instant) -> Execution<T, E>
    where
        T: Clone,
    {
        let failure = match &execution.result {
            Ok(value) => {
                self.remember(value, now);
                return execution;
            }
            Err(failure) => failure,
        };
        let made = match &self.source {
            Source::Value(value) => Ok(value.clone()),
            Source::Function(make) => make(failure).map_err(Some),
            Source::WithArgs(make) => make(failure, args).map_err(Some),
            Source::LastGood { .. } => self.last_good(now).map(|(value, _)| value.clone()).ok_or(None),
            Source::Caller => Err(None),
        };
        self.take(execution, made, now)
    }

    /// The end of a run for which the caller has made a value, or failed to, with an error if there is one.
    pub fn settle(&mut self, execution: Execution<T, E>, made: Result<T, Option<E>>, now: Instant) -> Execution<T, E> {
        let execution = self.take(execution, made, now);
        report("", &execution);
        execution
    }

    fn take(&mut self, mut execution: Execution<T, E>, made: Result<T, Option<E>>, now: Instant) -> Execution<T, E> {
        let Err(failure) = &execution.result else { return execution };
        self.counts.count(failure, made.is_ok(), now);
        match made {
            Ok(value) => {
                execution.result = Ok(value);
                execution.fallback_used = true;
            }
            Err(error) => execution.fallback_error = error,
        }
        execution
    }

    /// Remembers a value that came another way, if the source is [`Source::LastGood`].
    pub fn remember(&mut self, value: &T, now: Instant)
    where
        T: Clone,
    {
        if let Source::LastGood { .. } = self.source {
            self.last = Some((value.clone(), now));
        }
    }

    /// The last good value and its age, if it is still good.
    #[must_use]
    pub fn last_good(&self, now: Instant) -> Option<(&T, Duration)> {
        match (&self.source, &self.last) {
            (Source::LastGood { max_age }, Some((value, at))) if now - *at <= *max_age => Some((value, now - *at)),
            _ => None,
        }
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        self.counts
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
    /// Times that it was asked since the call's own error came.
    pub errors: u32,
    /// Times that it was asked since the call was not admitted: an open breaker, no place.
    pub refusals: u32,
    /// Times that it was asked since time was over.
    pub timeouts: u32,
    /// When it was asked last.
    pub last_at: Option<Instant>,
}

impl Snapshot {
    const NOTHING: Self = Self { used: 0, failed: 0, errors: 0, refusals: 0, timeouts: 0, last_at: None };

    fn count<E>(&mut self, failure: &Failure<E>, has_value: bool, now: Instant) {
        let outcome = if has_value { &mut self.used } else { &mut self.failed };
        *outcome = outcome.saturating_add(1);
        let cause = match failure {
            Failure::Error(_) => &mut self.errors,
            Failure::TimedOut => &mut self.timeouts,
            _ => &mut self.refusals,
        };
        *cause = cause.saturating_add(1);
        self.last_at = Some(now);
    }
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

/// Logs that a fallback was asked, with the cause of it.
fn report<T, E>(name: &str, execution: &Execution<T, E>) {
    if let Some(cause) = execution.cause {
        let end = if execution.fallback_used { "gave the value" } else { "had no value" };
        log_warn!("fallback {} {}: {}", name, end, cause);
    }
}

type Place<T, E, A> = Option<(Name, Fallback<T, E, A>)>;

/// Holds up to `N` fallbacks by name.
///
/// For code that learns at run time which one it needs; otherwise a [`Fallback`] of its own is simpler.
///
/// # Rules
/// 1. A name exists once, and there are no more than `N`.
/// 2. A run under a name that is not registered is left as it is, and counted.
///
/// # Cost
/// 456 bytes of RAM and 2,444 of flash on thumbv6m (image `fallback_registry`, of four): the fallbacks, and 32
/// bytes for each name. Finding one is O(N).
///
/// # Errors
/// [`AddError`] for a fallback that is not taken on.
///
/// # Sharing
/// As [`Fallback`].
///
/// # Example
/// ```
/// use daur_core::reliability::executor::{Execution, Failure};
/// use daur_core::reliability::fallback::{Registry, Source};
/// use daur_core::time::Instant;
///
/// let mut fallbacks = Registry::<u32, &str, 4>::new();
/// fallbacks.add("temperature", Source::Value(20))?;
///
/// let failed = Execution { result: Err(Failure::Error("bus")), ..Execution::of_value(0) };
/// assert_eq!(fallbacks.apply("temperature", failed, &(), Instant::ZERO).result, Ok(20));
/// assert_eq!(fallbacks.unknown(), 0);
/// # Ok::<(), daur_core::reliability::fallback::AddError>(())
/// ```
#[derive(Debug)]
pub struct Registry<T, E, const N: usize, A: ?Sized = ()> {
    places: [Place<T, E, A>; N],
    unknown: u32,
}

impl<T: Clone, E, const N: usize, A: ?Sized> Registry<T, E, N, A> {
    /// An empty registry.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [const { None }; N], unknown: 0 }
    }

    /// Registers a fallback to `source` as `name`.
    ///
    /// # Errors
    /// [`AddError`] if the name is taken or too long, or there is no place.
    #[doc(alias = "register_fallback")]
    pub fn add(&mut self, name: &str, source: Source<T, E, A>) -> Result<(), AddError> {
        let name = Name::new(name).map_err(|_| AddError::NameTooLong)?;
        if self.by_name(name.as_str()).is_some() {
            return Err(AddError::Duplicate);
        }
        let place = self.places.iter_mut().find(|place| place.is_none()).ok_or(AddError::Full)?;
        *place = Some((name, Fallback::with_args(source)));
        Ok(())
    }

    /// The fallback called `name`.
    pub fn by_name(&mut self, name: &str) -> Option<&mut Fallback<T, E, A>> {
        self.places.iter_mut().flatten().find(|(known, _)| known == name).map(|(_, fallback)| fallback)
    }

    /// The end of a run of calls made with `args`, with a value of the fallback called `name` if there is any.
    #[doc(alias = "execute_with_fallback")]
    pub fn apply(&mut self, name: &str, execution: Execution<T, E>, args: &A, now: Instant) -> Execution<T, E> {
        match self.by_name(name) {
            Some(fallback) => {
                let execution = fallback.give(execution, args, now);
                report(name, &execution);
                execution
            }
            None => {
                self.unknown = self.unknown.saturating_add(1);
                execution
            }
        }
    }

    /// Runs whose fallback was not registered.
    #[must_use]
    pub const fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Every name with its counts.
    pub fn snapshots(&self) -> impl Iterator<Item = (&Name, Snapshot)> {
        self.places.iter().flatten().map(|(name, fallback)| (name, fallback.snapshot()))
    }
}

impl<T: Clone, E, const N: usize, A: ?Sized> Default for Registry<T, E, N, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone, E, const N: usize, A: ?Sized> Clone for Registry<T, E, N, A> {
    fn clone(&self) -> Self {
        Self { places: self.places.clone(), unknown: self.unknown }
    }
}
