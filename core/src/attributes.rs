//! What the attributes expand to. Name [`Sleep`] and [`AsyncSleep`] for a `time = PATH`; the rest is
//! for the attributes.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};

use crate::monitoring::profiler::Outcome;
use crate::performance::cache::{Cache, Note, Policy};
use crate::reliability::breaker::{self, Breaker, Mode, Open, Permit};
use crate::reliability::retry::{Class, Config, Jitter, Strategy};
use crate::security::manager::Denied;
use crate::shared::Shared;
use crate::time::Duration;

/// Waits, and holds up whoever called: the delay of a sync function's `time = PATH`.
///
/// By `&self`, since an attribute can only name a static.
///
/// # Example
/// ```
/// use daur_core::attributes::Sleep;
/// use daur_core::time::{Clock, Duration, Instant};
///
/// struct Timer;
/// static TIMER: Timer = Timer;
///
/// impl Clock for Timer {
///     fn now(&self) -> Instant {
///         Instant::ZERO // the hardware's counter
///     }
/// }
///
/// impl Sleep for Timer {
///     fn sleep(&self, length: Duration) {
///         let end = self.now() + length;
/// #       let end = Instant::ZERO;
///         while self.now() < end {
///             core::hint::spin_loop();
///         }
///     }
/// }
///
/// #[daur_core::retry(delay = "5ms", jitter = "none", time = TIMER)]
/// fn read() -> Result<u16, &'static str> {
///     Ok(42)
/// }
///
/// assert_eq!(read(), Ok(42));
/// ```
pub trait Sleep {
    /// Returns after at least `length`.
    fn sleep(&self, length: Duration);
}

/// Waits without holding anybody up: the delay of an async function's `time = PATH`.
pub trait AsyncSleep {
    /// Is ready after at least `length`.
    fn sleep(&self, length: Duration) -> impl Future<Output = ()>;
}

/// Judges an error. By its name alone the compiler knows what a closure is given.
pub fn class_of<E>(error: &E, classify: impl FnOnce(&E) -> Class) -> Class {
    classify(error)
}

/// What is wrong with a named config, if anything.
#[must_use]
pub const fn wrong_retry(config: &Config, has_seed: bool) -> Option<&'static str> {
    match config.validate() {
        Err(error) => Some(error.text()),
        Ok(()) if has_seed => None,
        Ok(()) => match (config.jitter, config.strategy) {
            (Jitter::None, Strategy::Random { .. }) => {
                Some("without a host, random waits need `seed = ..`: a u64 that no other device has, such as its id")
            }
            (Jitter::None, _) => None,
            _ => Some(
                "without a host, jitter needs `seed = ..` (a u64 that no other device has, such as its id), \
                 or else be `Jitter::None`",
            ),
        },
    }
}

/// What is wrong with a named config, if anything.
#[must_use]
pub const fn wrong_breaker(config: &breaker::Config) -> Option<&'static str> {
    match config.validate() {
        Err(error) => Some(error.text()),
        Ok(()) => None,
    }
}

/// Keeps a breaker's permit while a body runs; dropped without a report, it gives it back.
#[derive(Debug)]
#[must_use = "dropped, it cancels the call"]
pub struct Admitted<'a, S: Shared<Machine = Breaker<M>>, M: Mode> {
    breaker: &'a S,
    permit: Option<Permit>,
}

impl<S: Shared<Machine = Breaker<M>>, M: Mode> Drop for Admitted<'_, S, M> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.with(|breaker, now| breaker.cancel(permit, now));
        }
    }
}

/// Asks a breaker to run a body.
///
/// # Errors
/// [`Open`] if it must not.
pub fn admit<S: Shared<Machine = Breaker<M>>, M: Mode>(breaker: &S) -> Result<Admitted<'_, S, M>, Open> {
    let permit = breaker.with(Breaker::try_acquire)?;
    Ok(Admitted { breaker, permit: Some(permit) })
}

/// Reports what a body gave, and gives it on.
///
/// # Errors
/// The body's.
pub fn settle<S: Shared<Machine = Breaker<M>>, M: Mode, T, E>(
    mut admitted: Admitted<'_, S, M>,
    result: Result<T, E>,
    classify: impl FnOnce(&E) -> Class,
) -> Result<T, E> {
    let failed = match &result {
        Ok(_) => false,
        // Dropped without a report.
        Err(error) if classify(error) == Class::Ignored => return result,
        Err(_) => true,
    };
    if let Some(permit) = admitted.permit.take() {
        admitted.breaker.with(
            |breaker, now| {
                if failed { breaker.on_failure(permit, now) } else { breaker.on_success(permit, now) }
            },
        );
    }
    result
}

/// Makes the error of a call that the breaker refused; every error that is `From<Open>` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that the circuit breaker is open",
    label = "this function's error needs a `From<daur_core::reliability::breaker::Open>`",
    note = "or name a function that makes it: `#[circuit_breaker(open = |_| ..)]`"
)]
pub trait FromOpen {
    /// The error.
    fn from_open(open: Open) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<Open>> FromOpen for E {
    fn from_open(open: Open) -> Self {
        open.into()
    }
}

/// Makes the error of a call that was denied; every error that is `From<Denied>` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that the call was denied",
    label = "this function's error needs a `From<daur_core::security::manager::Denied>`"
)]
pub trait FromDenied {
    /// The error.
    fn from_denied(denied: Denied) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<Denied>> FromDenied for E {
    fn from_denied(denied: Denied) -> Self {
        denied.into()
    }
}

/// The error of a call that the breaker refused, made by hand.
pub fn refused<E>(open: Open, make: impl FnOnce(Open) -> E) -> E {
    make(open)
}

/// Shows why a fallback is used.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a, E>(pub &'a E);

impl<E: fmt::Debug> Cause<'_, E> {
    /// Logs it.
    pub fn note(&self, function: &'static str) {
        #[cfg(feature = "log")]
        log_warn!("fallback of {}: {:?}", function, self.0);
        // Without the error: its text would bring `core::fmt` to the device.
        #[cfg(not(feature = "log"))]
        AnyCause::note(self, function);
    }
}

/// An error that nobody can show.
pub trait AnyCause {
    /// Logs that there was one.
    fn note(&self, function: &'static str);
}

impl<E> AnyCause for Cause<'_, E> {
    fn note(&self, function: &'static str) {
        log_warn!("fallback of {}", function);
    }
}

/// Lets a closure answer for a body that failed. By its name alone the compiler knows the parameters.
pub fn rescue<G, R>(given: G, fallback: impl FnOnce(G) -> R) -> R {
    fallback(given)
}

/// Lets a function answer for a body that failed. It comes last, so that the compiler knows what it
/// is to be given when it looks at the function.
pub fn rescue_by<E, A, M, F: Rescue<E, A, M>>(error: E, arguments: A, fallback: F) -> F::Answer {
    fallback.rescue(error, arguments)
}

/// A function that answers for a body that failed: of the error, or of the error and a reference to
/// each argument. `Marker` tells the two apart.
#[diagnostic::on_unimplemented(
    message = "this function is no fallback for the body",
    label = "must take the error, or the error and a shared reference to each argument (to 8 of them at most)",
    note = "what is a reference already is given as it is, though shared; `self` comes first"
)]
pub trait Rescue<E, A, Marker> {
    /// A `Result`, or a future of one.
    type Answer;

    /// Answers.
    fn rescue(self, error: E, arguments: A) -> Self::Answer;
}

/// Marks a [`Rescue`] that wants the error only.
#[derive(Clone, Copy, Debug)]
pub enum OfError {}

/// Marks a [`Rescue`] that wants the arguments as well.
#[derive(Clone, Copy, Debug)]
pub enum OfArguments {}

impl<E, A, R, F: FnOnce(E) -> R> Rescue<E, A, OfError> for F {
    type Answer = R;

    fn rescue(self, error: E, _: A) -> R {
        self(error)
    }
}

macro_rules! rescue_of_arguments {
    ($first:ident $($rest:ident)*) => {
        impl<E, $first, $($rest,)* R, F: FnOnce(E, $first $(, $rest)*) -> R>
            Rescue<E, ($first, $($rest,)*), OfArguments> for F
        {
            type Answer = R;

            #[allow(non_snake_case, reason = "the types' names serve for the values")]
            fn rescue(self, error: E, ($first, $($rest,)*): ($first, $($rest,)*)) -> R {
                self(error, $first $(, $rest)*)
            }
        }
        rescue_of_arguments!($($rest)*);
    };
    () => {};
}

rescue_of_arguments!(A1 A2 A3 A4 A5 A6 A7 A8);

/// What a fallback gave an async function: a `Result` answers for itself, a future by [`LaterAnswer`].
#[derive(Clone, Copy, Debug)]
pub struct Answer<T>(pub T);

impl<T, E> Answer<Result<T, E>> {
    /// It is there.
    pub fn given(self) -> core::future::Ready<Result<T, E>> {
        core::future::ready(self.0)
    }
}

/// A fallback's answer that has to be awaited.
pub trait LaterAnswer {
    /// The future.
    type Future: Future;

    /// It will be there.
    fn given(self) -> Self::Future;
}

impl<F: Future> LaterAnswer for Answer<F> {
    type Future = F;

    fn given(self) -> F {
        self.0
    }
}

/// Runs a body. By its name alone the compiler knows that it runs once.
pub fn once<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// Names the type of an async body where it is never called: `?` needs to know it.
#[must_use]
pub fn never<T>() -> T {
    loop {
        core::hint::spin_loop();
    }
}

/// What a body returned, to be asked how it ended: a `Result` answers for itself, all else by
/// [`AnyReturned`].
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a, T>(pub &'a T);

impl<T, E> Returned<'_, Result<T, E>> {
    /// An `Err` is an error.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome::from(self.0)
    }
}

/// How a body ended that returned no `Result`.
pub trait AnyReturned {
    /// It has ended: a success.
    fn outcome(&self) -> Outcome;
}

impl<T> AnyReturned for Returned<'_, T> {
    fn outcome(&self) -> Outcome {
        Outcome::Success
    }
}

/// How a body ended.
pub fn outcome_of<T>(result: &T, outcome: impl FnOnce(&T) -> Outcome) -> Outcome {
    outcome(result)
}

/// What a memoized function has returned for `key`, if it is kept.
pub fn recall<S, K, V, const N: usize, P, H, T>(memo: &S, key: &K) -> Option<V>
where
    S: Shared<Machine = Cache<K, V, N, P, H, T>>,
    K: Hash + Eq,
    V: Clone,
    P: Policy,
    H: BuildHasher,
    T: Note,
{
    memo.with(|cache, now| cache.get(key, now).cloned())
}

/// Keeps what a memoized function returns, if it is good, and gives it on.
///
/// # Errors
/// What is not kept.
pub fn remember<S, K, V, R, const N: usize, P, H, T>(
    memo: &S,
    key: K,
    computed: Result<V, R>,
    ttl: Option<Duration>,
) -> Result<V, R>
where
    S: Shared<Machine = Cache<K, V, N, P, H, T>>,
    K: Hash + Eq,
    V: Clone,
    P: Policy,
    H: BuildHasher,
    T: Note,
{
    let value = computed?;
    let kept = value.clone();
    // What it puts aside is dropped when others may enter again.
    drop(memo.with(|cache, now| match ttl {
        Some(ttl) => cache.insert_with_ttl(key, kept, ttl, now),
        None => cache.insert(key, kept, now),
    }));
    Ok(value)
}

/// Can be part of the key of a memoized function, or be the whole.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "must be `Hash`, `Eq` and `Clone`",
    note = "or say what is the key: `#[memoize(key = |argument, ..| -> Type {{ .. }})]`"
)]
pub trait KeyPart {}

#[diagnostic::do_not_recommend]
impl<T: Hash + Eq + Clone> KeyPart for T {}

/// Can be what a memoized function returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned a second time",
    label = "must be `Clone` to be memoized"
)]
pub trait Kept {}

#[diagnostic::do_not_recommend]
impl<T: Clone> Kept for T {}

/// Fails to compile where a type cannot be part of a key.
pub const fn key_part<T: KeyPart>() {}

/// Fails to compile where what a memoized function returns cannot be kept.
pub const fn kept<T: Kept>() {}

/// What a memoized function returns of which only the value is kept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called a `Result` or an `Option`, and is none",
    label = "must be the one of `core` to be memoized"
)]
pub trait Fallible {
    /// The value.
    type Value;
}

impl<T, E> Fallible for Result<T, E> {
    type Value = T;
}

impl<T> Fallible for Option<T> {
    type Value = T;
}

/// Sorts what a body returned: what is no error is kept.
///
/// # Errors
/// What ended in one.
pub fn good<T>(result: T, outcome: impl FnOnce(&T) -> Outcome) -> Result<T, T> {
    if outcome(&result) == Outcome::Error { Err(result) } else { Ok(result) }
}

/// Sorts what a body returned: all is kept.
///
/// # Errors
/// None.
pub const fn all<T>(result: T) -> Result<T, T> {
    Ok(result)
}

/// What a body returned, kept or not.
pub fn whole<T>(sorted: Result<T, T>) -> T {
    match sorted {
        Ok(result) | Err(result) => result,
    }
}
