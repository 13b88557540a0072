//! What the attributes expand to. Name [`Sleep`] and [`AsyncSleep`] for a `time = PATH`; the rest is
//! for the attributes.

use core::future::Future;

use crate::monitoring::profiler::Outcome;
use crate::reliability::breaker::{Breaker, Mode, Open, Permit};
use crate::reliability::retry::{Class, Config, Decision, Retry};
use crate::shared::Shared;
use crate::time::{Duration, Instant};

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

/// The retries of one call of a function with `#[retry]`.
#[derive(Clone, Debug)]
pub struct Retries {
    config: Config,
    started: Instant,
    retry: Option<Retry>,
}

impl Retries {
    /// A call that begins now.
    #[must_use]
    pub const fn new(config: Config, now: Instant) -> Self {
        Self { config, started: now, retry: None }
    }

    /// How long to wait before the body runs again, or `None` if it must not. Asks for the `seed` at
    /// the first failure only.
    pub fn after_failure<E>(
        &mut self,
        error: &E,
        classify: impl FnOnce(&E) -> Class,
        seed: impl FnOnce() -> u64,
        now: Instant,
    ) -> Option<Duration> {
        let retry = self.retry.get_or_insert_with(|| Retry::new(self.config, seed(), self.started));
        match retry.on_failure(classify(error), now) {
            Decision::Retry { after } => Some(after),
            Decision::Stop { .. } => None,
        }
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

/// The error of a call that the breaker refused, made by hand.
pub fn refused<E>(open: Open, make: impl FnOnce(Open) -> E) -> E {
    make(open)
}

/// Runs a body. By its name alone the compiler knows that it runs once.
pub fn once<T>(body: impl FnOnce() -> T) -> T {
    body()
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
