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

use std::thread;

use daur_core::reliability::breaker;
use daur_core::reliability::executor::{Config as ExecutorConfig, Executor};
use daur_core::reliability::retry::{Class, Config, Decision, GaveUp, Retry};
use daur_core::time::{Clock, Duration};

use crate::clock::StdClock;
use crate::rng::os_seed;
use crate::shared::StdShared;

/// How long calls may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// All calls and waits together.
    pub total: Option<Duration>,
    /// One call.
    pub attempt: Option<Duration>,
}

/// Makes `call` on this thread until it succeeds or `config` says to stop.
///
/// Do not use it on a thread of tokio's: the waits block it.
///
/// # Errors
/// [`GaveUp`] with the last call's error.
pub fn retry_blocking<T, E>(
    config: Config,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<T, GaveUp<E>> {
    let mut retry = None;
    let started = StdClock.now();
    let mut attempts = 0_u32;
    loop {
        attempts = attempts.saturating_add(1);
        let error = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // A seed costs a system call, which a first call that succeeds does not need.
        let retry = retry.get_or_insert_with(|| Retry::new(config, os_seed(), started));
        match retry.on_failure(classify(&error), StdClock.now()) {
            Decision::Retry { after } => thread::sleep(after.into()),
            Decision::Stop { reason } => return Err(GaveUp { error, reason, attempts }),
        }
    }
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
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Result<T, GaveUp<E>> {
    use crate::clock::TokioClock;

    let mut retry = None;
    let started = TokioClock.now();
    let mut attempts = 0_u32;
    loop {
        attempts = attempts.saturating_add(1);
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let retry = retry.get_or_insert_with(|| Retry::new(config, os_seed(), started));
        match retry.on_failure(classify(&error), TokioClock.now()) {
            Decision::Retry { after } => tokio::time::sleep(after.into()).await,
            Decision::Stop { reason } => return Err(GaveUp { error, reason, attempts }),
        }
    }
}

/// As [`retry`], where a call that outlasts `timeouts` is dropped and counts as a transient failure.
///
/// Dropped at any time, it drops the call under way and makes no further one.
///
/// # Panics
/// If `config` is invalid: check one that is read at run time with [`Config::validate`].
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
/// If `config` is invalid: check one that is read at run time with [`Config::validate`].
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
