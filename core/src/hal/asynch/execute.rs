//! Calls through an executor, awaited.

use core::future::{Future, poll_fn};
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;

use super::{wait, within};
use crate::reliability::breaker::Mode;
use crate::reliability::budget::{Funds, Unlimited};
use crate::reliability::executor::{Driver, Execution, Executor, Failure, Step};
use crate::reliability::retry::Class;
use crate::shared::Shared;

/// Makes `call` through a shared executor: retry, breaker, bulkhead and time limits.
///
/// A call that outlasts its deadline is dropped and counts as a transient failure. Dropped while a
/// call runs, it gives permit and place back and records nothing; dropped in line, it leaves the line.
pub async fn execute<S, M, T, E, F, const WAITING: usize>(
    shared: &S,
    delay: &mut impl DelayNs,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    execute_with(shared, Unlimited, delay, classify, call).await
}

/// As [`execute`], with retries that `funds` pay for: a budget that is shared with others.
pub async fn execute_with<S, M, T, E, F, const WAITING: usize>(
    shared: &S,
    funds: impl Funds,
    delay: &mut impl DelayNs,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> F,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
    F: Future<Output = Result<T, E>>,
{
    let mut driver = Driver::new(shared, funds);
    loop {
        let step = match poll_fn(|context| Poll::Ready(driver.poll_next(context))).await {
            Poll::Ready(step) => step,
            // In line: until it is woken, or its time is over.
            Poll::Pending => match driver.longest_wait() {
                None => poll_fn(|context| driver.poll_next(context)).await,
                Some(longest) => match within(delay, longest, poll_fn(|context| driver.poll_next(context))).await {
                    Some(step) => step,
                    None => continue,
                },
            },
        };
        match step {
            Step::Call { guard, limit } => {
                let answer = match limit {
                    None => Some(call().await),
                    Some(limit) => within(delay, limit, call()).await,
                };
                let (failure, class) = match answer {
                    Some(Ok(value)) => return driver.succeed(guard, value),
                    Some(Err(error)) => {
                        let class = classify(&error);
                        (Failure::Error(error), class)
                    }
                    None => (Failure::TimedOut, Class::Transient),
                };
                driver.fail(guard, failure, class);
            }
            Step::Wait(length) => wait(delay, length).await,
            // A turn that is not awaited above is looked for again.
            Step::Line(_) => {}
            Step::End(execution) => return execution,
        }
    }
}
