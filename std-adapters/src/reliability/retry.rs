//! Runs calls again: on this thread, or on tokio.
//!
//! The decisions are [`daur_core::reliability::retry`]'s. The jitter's seed comes from the operating
//! system for each run, so that no two callers come back in step. A call is an `FnMut() -> Future`:
//! with an `AsyncFnMut` the whole future could not be spawned.
//!
//! # Example
//! ```
//! use daur_std::core::reliability::retry::{Class, Config};
//! use daur_std::core::time::Duration;
//! use daur_std::reliability::retry;
//!
//! const CONFIG: Config = Config { initial_delay: Duration::from_millis(1), ..Config::DEFAULT }.checked();
//! let mut calls = 0;
//! let answer = retry::retry_blocking(CONFIG, |_| Class::Transient, || {
//!     calls += 1;
//!     if calls < 3 { Err("not yet") } else { Ok(42) }
//! });
//! assert_eq!(answer, Ok(42));
//! ```

use daur_core::reliability::breaker;
use daur_core::reliability::budget::{Funds, Unlimited};
use daur_core::reliability::executor::{Config as ExecutorConfig, Executor};
use daur_core::reliability::retry::{Class, Config, GaveUp, Run};
use daur_core::time::{Clock, Duration, Instant};

use crate::clock::StdClock;
use crate::rng::os_seed;
use crate::shared::StdShared;

pub use daur_core::reliability::timeout::Config as Timeouts;

mod cancel;

pub use cancel::{Cancel, Never, Wanted};

/// Makes `call` on this thread until it succeeds or `config` says to stop.
///
/// Do not use it on a thread of tokio's: the waits block it.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
pub fn retry_blocking<T, E>(
    config: Config,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    retry_blocking_with(config, Unlimited, &Never, classify, call)
}

/// As [`retry_blocking`], where `funds` pays for each retry and another thread can end the waits.
///
/// Cancelled, it makes no further call, and a wait ends at once; a call under way is not touched.
/// `funds` is a [`SharedBudget`](super::budget::SharedBudget), [`Unlimited`], or an `Option` of
/// either; `wanted` a [`Cancel`] or [`Never`].
///
/// # Errors
/// [`GaveUp`] with the last call's error.
pub fn retry_blocking_with<T, E>(
    config: Config,
    funds: impl Funds,
    wanted: &impl Wanted,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    let run = Run::new(config, funds, started(&config, &StdClock));
    run.drive(os_seed, &StdClock, |after| wanted.wait(after.into()), classify, call)
}

/// When a run begins, if that will ever be asked: reading the clock is most of what a call costs that
/// succeeds at once.
fn started(config: &Config, clock: &impl Clock) -> Instant {
    config.max_elapsed.map_or(Instant::ZERO, |_| clock.now())
}

/// Awaits `call` until it succeeds or `config` says to stop.
///
/// Dropped at any time, it makes no further call.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
#[cfg(feature = "tokio")]
pub async fn retry<T, E, F: Future<Output = Result<T, E>>>(
    config: Config,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    retry_with(config, Unlimited, std::future::pending(), classify, call).await
}

/// As [`retry`], where `funds` pays for each retry and `cancel` ends the run.
///
/// When `cancel` is ready, a wait ends at once and no further call is made; a call under way is
/// finished, since it may have done its work. To interrupt that one too, drop the whole future: what
/// was paid for a retry that is not made then goes back to the budget.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
///
/// # Example
/// ```
/// use daur_std::core::reliability::budget;
/// use daur_std::core::reliability::retry::{Class, Config, GaveUp, Reason};
/// use daur_std::reliability::budget::SharedBudget;
/// use daur_std::reliability::retry::retry_with;
///
/// static UPSTREAM: SharedBudget = SharedBudget::new(budget::Config::DEFAULT);
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let (shutdown, closing) = tokio::sync::oneshot::channel::<()>();
/// shutdown.send(()).unwrap();
/// let cancel = async { _ = closing.await };
/// let answer = retry_with(Config::DEFAULT, &UPSTREAM, cancel, |_| Class::Transient, || async {
///     Err::<(), _>("down")
/// });
/// assert_eq!(answer.await, Err(GaveUp { error: "down", reason: Reason::Cancelled, attempts: 1 }));
/// # });
/// ```
#[cfg(feature = "tokio")]
pub async fn retry_with<T, E, F: Future<Output = Result<T, E>>>(
    config: Config,
    funds: impl Funds,
    cancel: impl Future<Output = ()>,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    use crate::clock::TokioClock;

    let run = Run::new(config, funds, started(&config, &TokioClock));
    let cancel = std::pin::pin!(cancel);
    run.drive_async(os_seed, &TokioClock, cancel::Waiting(cancel), classify, call).await
}

/// As [`retry`], where a call that outlasts `timeouts` is dropped and counts as a transient failure.
///
/// Dropped at any time, it drops the call under way and makes no further one.
///
/// # Panics
/// If `config` or `timeouts` is invalid: check what is read at run time with [`Config::validate`] and
/// [`Timeouts::validate`].
#[cfg(feature = "tokio")]
pub async fn retry_within<T, E, F: Future<Output = Result<T, E>>>(
    config: Config,
    timeouts: Timeouts,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> daur_core::reliability::executor::Execution<T, E> {
    let shared = StdShared::with_clock(without_breaker(config, timeouts), crate::clock::TokioClock);
    super::executor::execute(&shared, classify, call).await
}

/// As [`retry_blocking`], with the total time limited. A call that is under way is not interrupted:
/// it must limit itself, and after the end no further one is made.
///
/// # Panics
/// If `config` is invalid or `total` zero: check what is read at run time with [`Config::validate`].
pub fn retry_within_blocking<T, E>(
    config: Config,
    total: Duration,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> daur_core::reliability::executor::Execution<T, E> {
    let timeouts = Timeouts { total: Some(total), attempt: None };
    super::executor::execute_blocking(&StdShared::new(without_breaker(config, timeouts)), classify, call)
}

/// An executor of one run, whose breaker lets everything pass.
fn without_breaker(retry: Config, timeouts: Timeouts) -> Executor {
    let config = ExecutorConfig {
        retry,
        breaker: breaker::Config { failures: u32::MAX, ..breaker::Config::DEFAULT },
        total_timeout: timeouts.total,
        attempt_timeout: timeouts.attempt,
        ..ExecutorConfig::DEFAULT
    };
    let mut executor = Executor::new(config, os_seed());
    executor.breaker().force_closed(daur_core::time::Instant::ZERO);
    executor
}
