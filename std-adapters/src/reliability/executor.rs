//! Runs calls through a shared executor: retry, budget, breaker, bulkhead and time limits in one.
//!
//! The decisions are [`daur_core::reliability::executor`]'s; these runners wait, interrupt, and give
//! permit and place back when a call panics or is cancelled. A fallback goes around them: hand the
//! [`Execution`] to one.
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

use std::sync::LazyLock;
use std::thread;

use daur_core::reliability::breaker::Mode;
use daur_core::reliability::budget::{Funds, Unlimited};
use daur_core::reliability::executor::{Config, ConfigError, Driver, Execution, Executor, Failure, Step};
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;

use super::bulkhead::thread_waker;
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

/// The one executor of this process, for calls that all go to the same thing (the seed's
/// `get_resilient_executor`).
///
/// Made at its first use with [`Config::DEFAULT`]: 3 calls with waits that grow from 100 ms and a full
/// jitter, a breaker that opens on 5 failures in a row and probes after 60 s, no time limits, no budget,
/// no bulkhead. Whatever calls two things makes two of its own with [`shared`]: one that is down would
/// otherwise stop the calls to the other.
///
/// ```
/// use daur_std::core::reliability::retry::Class;
/// use daur_std::reliability::executor::execute_blocking;
/// use daur_std::reliability::resilient_executor;
///
/// let run = execute_blocking(resilient_executor(), |_: &&str| Class::Transient, || Ok(42));
/// assert!(run.success());
/// assert_eq!(run.attempts, 1);
/// ```
#[doc(alias = "get_resilient_executor")]
pub fn resilient_executor() -> &'static StdShared<Executor> {
    static EXECUTOR: LazyLock<StdShared<Executor>> =
        LazyLock::new(|| StdShared::new(Executor::new(Config::DEFAULT, os_seed())));
    &EXECUTOR
}

/// Makes `call` on this thread, with retries, through the breaker and the bulkhead.
///
/// Do not use it on a thread of tokio's: the waits block it. A call cannot be interrupted: let it
/// limit itself; of the time limits, only the end of `total_timeout` matters, after which no further
/// call is made. A call that panics gives its permit and its place back.
pub fn execute_blocking<S, M, T, E, const WAITING: usize>(
    shared: &S,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    execute_blocking_with(shared, Unlimited, classify, call)
}

/// As [`execute_blocking`], with retries that `funds` pay for: a budget that is shared with others.
pub fn execute_blocking_with<S, M, T, E, const WAITING: usize>(
    shared: &S,
    funds: impl Funds,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    let mut driver = Driver::new(shared, funds);
    // Costs an allocation, which a run that need not stand in line does without.
    let mut waker = None;
    loop {
        match driver.next(waker.as_ref()) {
            Step::Call { guard, .. } => match call() {
                Ok(value) => return driver.succeed(guard, value),
                Err(error) => {
                    let class = classify(&error);
                    driver.fail(guard, Failure::Error(error), class);
                }
            },
            Step::Wait(length) => thread::sleep(length.into()),
            // Asked again with a waker before it parks, or nobody would wake it.
            Step::Line(_) if waker.is_none() => waker = Some(thread_waker()),
            Step::Line(None) => thread::park(),
            Step::Line(Some(longest)) => thread::park_timeout(longest.into()),
            Step::End(execution) => return execution,
        }
    }
}

/// Awaits `call` on tokio, with retries and time limits, through the breaker and the bulkhead.
///
/// A call that outlasts its deadline is dropped and counts as a transient failure; one that is ready
/// together with its deadline has made it. Dropped while a call runs, it gives permit and place back and
/// records nothing; dropped in line, it leaves the line.
#[cfg(feature = "tokio")]
pub async fn execute<S, M, T, E, F, const WAITING: usize>(
    shared: &S,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    execute_with(shared, Unlimited, classify, call).await
}

/// As [`execute`], with retries that `funds` pay for: a budget that is shared with others.
#[cfg(feature = "tokio")]
pub async fn execute_with<S, M, T, E, F, const WAITING: usize>(
    shared: &S,
    funds: impl Funds,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    use std::future::poll_fn;
    use std::task::Poll;

    let mut driver = Driver::new(shared, funds);
    loop {
        let step = match poll_fn(|context| Poll::Ready(driver.poll_next(context))).await {
            Poll::Ready(step) => step,
            // In line: until it is woken, or its time is over.
            Poll::Pending => match driver.longest_wait() {
                None => poll_fn(|context| driver.poll_next(context)).await,
                Some(longest) => {
                    let turn = poll_fn(|context| driver.poll_next(context));
                    match tokio::time::timeout(longest.into(), turn).await {
                        Ok(step) => step,
                        Err(_over) => continue,
                    }
                }
            },
        };
        match step {
            Step::Call { guard, limit } => {
                let answer = match limit {
                    None => Ok(call().await),
                    Some(limit) => tokio::time::timeout(limit.into(), call()).await,
                };
                let (failure, class) = match answer {
                    Ok(Ok(value)) => return driver.succeed(guard, value),
                    Ok(Err(error)) => {
                        let class = classify(&error);
                        (Failure::Error(error), class)
                    }
                    Err(_elapsed) => (Failure::TimedOut, Class::Transient),
                };
                driver.fail(guard, failure, class);
            }
            Step::Wait(length) => tokio::time::sleep(length.into()).await,
            // A turn that is not awaited above is looked for again.
            Step::Line(_) => {}
            Step::End(execution) => return execution,
        }
    }
}
