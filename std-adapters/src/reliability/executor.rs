//! Runs calls through a shared executor: retry, breaker and time limits in one.
//!
//! The decisions are [`daur_core::reliability::executor`]'s; these runners wait, interrupt, and give
//! the breaker's permit back when a call panics or is cancelled.
//!
//! # Example
//! ```
//! use daur_std::core::reliability::executor::Config;
//! use daur_std::core::reliability::retry::Class;
//! use daur_std::reliability::executor::{self, execute_blocking};
//!
//! let upstream = executor::shared(Config::DEFAULT)?;
//! let run = execute_blocking(&upstream, |_: &&str| Class::Transient, || Ok(42));
//! assert_eq!((run.result, run.attempts), (Ok(42), 1));
//! # Ok::<(), daur_core::reliability::executor::ConfigError>(())
//! ```

use std::thread;

use daur_core::reliability::breaker::Mode;
use daur_core::reliability::executor::{Admit, Config, ConfigError, Execution, Executor, Failure, Guard, Next, Run};
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::{Duration, Instant};

use crate::rng::os_seed;
use crate::shared::StdShared;

/// An executor for all who call the same thing, its jitter seeded by the operating system.
///
/// For one in a `static`, or with another clock, put an [`Executor`] into a [`StdShared`] and
/// [`reseed`](Executor::reseed) it.
///
/// # Errors
/// What [`Config::validate`] says.
pub fn shared(config: Config) -> Result<StdShared<Executor>, ConfigError> {
    Ok(StdShared::new(Executor::try_new(config, os_seed())?))
}

/// As [`shared`], by tokio's clock, which a test can pause.
///
/// # Errors
/// What [`Config::validate`] says.
#[cfg(feature = "tokio")]
pub fn shared_on_tokio(config: Config) -> Result<StdShared<Executor, crate::clock::TokioClock>, ConfigError> {
    Ok(StdShared::with_clock(Executor::try_new(config, os_seed())?, crate::clock::TokioClock))
}

/// What a runner does after it has asked.
enum Step<'a, S: Shared<Machine = Executor<M>>, M: Mode, E> {
    Call {
        guard: Guard<'a, S, M>,
        #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a blocking call is not interrupted"))]
        limit: Option<Duration>,
    },
    Wait(Duration),
    Stop {
        failure: Failure<E>,
        cause: daur_core::reliability::executor::Cause,
        now: Instant,
    },
}

/// Asks whether to call.
fn ask<'a, S, M, E>(shared: &'a S, run: &mut Run, last: &mut Option<Failure<E>>) -> Step<'a, S, M, E>
where
    S: Shared<Machine = Executor<M>>,
    M: Mode,
{
    let (admit, now) = shared.with(|executor, now| (executor.admit(run, now), now));
    match admit {
        Admit::Go { permit, deadline } => {
            Step::Call { guard: Guard::new(shared, permit), limit: deadline.map(|deadline| deadline - now) }
        }
        Admit::Wait { until } => Step::Wait(until - now),
        Admit::Stop(cause) => Step::Stop { failure: Failure::of(last.take(), cause), cause, now },
    }
}

/// Makes `call` on this thread, with retries, through the breaker.
///
/// Do not use it on a thread of tokio's: the waits block it. A call cannot be interrupted: let it
/// limit itself; of the time limits, only the end of `total_timeout` matters, after which no further
/// call is made. A call that panics gives its permit back.
pub fn execute_blocking<S, M, T, E>(
    shared: &S,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M>>,
    M: Mode,
{
    let mut run = shared.with(Executor::start);
    let mut last = None;
    loop {
        let guard = match ask(shared, &mut run, &mut last) {
            Step::Call { guard, .. } => guard,
            Step::Wait(length) => {
                thread::sleep(length.into());
                continue;
            }
            Step::Stop { failure, cause, now } => return run.finish(Err(failure), Some(cause), now),
        };
        let error = match call() {
            Ok(value) => {
                let now = guard.on_success(&mut run);
                return run.finish(Ok(value), None, now);
            }
            Err(error) => error,
        };
        let (next, now) = guard.on_failure(&mut run, classify(&error));
        match next {
            Next::Retry { at } => {
                last = Some(Failure::Error(error));
                thread::sleep((at - now).into());
            }
            Next::Stop(cause) => return run.finish(Err(Failure::Error(error)), Some(cause), now),
        }
    }
}

/// Awaits `call` on tokio, with retries and time limits, through the breaker.
///
/// A call that outlasts its deadline is dropped and counts as a transient failure; one that is ready
/// together with its deadline has made it. Dropped while a call runs, it gives the permit back and
/// records nothing.
#[cfg(feature = "tokio")]
pub async fn execute<S, M, T, E, F>(
    shared: &S,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    let mut run = shared.with(Executor::start);
    let mut last = None;
    loop {
        let (guard, limit) = match ask(shared, &mut run, &mut last) {
            Step::Call { guard, limit } => (guard, limit),
            Step::Wait(length) => {
                tokio::time::sleep(length.into()).await;
                continue;
            }
            Step::Stop { failure, cause, now } => return run.finish(Err(failure), Some(cause), now),
        };
        let answer = match limit {
            None => Ok(call().await),
            Some(limit) => tokio::time::timeout(limit.into(), call()).await,
        };
        let (failure, class) = match answer {
            Ok(Ok(value)) => {
                let now = guard.on_success(&mut run);
                return run.finish(Ok(value), None, now);
            }
            Ok(Err(error)) => {
                let class = classify(&error);
                (Failure::Error(error), class)
            }
            Err(_elapsed) => (Failure::TimedOut, Class::Transient),
        };
        let (next, now) = guard.on_failure(&mut run, class);
        match next {
            Next::Retry { at } => {
                last = Some(failure);
                tokio::time::sleep((at - now).into()).await;
            }
            Next::Stop(cause) => return run.finish(Err(failure), Some(cause), now),
        }
    }
}
