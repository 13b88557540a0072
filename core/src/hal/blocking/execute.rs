//! Calls through an executor, with waits that block.

use embedded_hal::delay::DelayNs;

use super::wait;
use crate::reliability::breaker::Mode;
use crate::reliability::budget::{Funds, Unlimited};
use crate::reliability::executor::{Driver, Execution, Executor, Failure, Step};
use crate::reliability::retry::Class;
use crate::shared::Shared;
use crate::time::Duration;

/// How often a run in line looks whether its turn has come: a delay cannot be woken.
const LOOK: Duration = Duration::from_millis(1);

/// Makes `call` through a shared executor: retry, breaker, bulkhead and time limits.
///
/// A blocking call cannot be interrupted: of the time limits, only the end of `total_timeout`
/// matters, after which no further call is made. A call that panics gives its permit back.
pub fn execute<S, M, T, E, const WAITING: usize>(
    shared: &S,
    delay: &mut impl DelayNs,
    classify: impl FnMut(&E) -> Class,
    call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    execute_with(shared, Unlimited, delay, classify, call)
}

/// As [`execute`], with retries that `funds` pay for: a budget that is shared with others.
pub fn execute_with<S, M, T, E, const WAITING: usize>(
    shared: &S,
    funds: impl Funds,
    delay: &mut impl DelayNs,
    mut classify: impl FnMut(&E) -> Class,
    mut call: impl FnMut() -> Result<T, E>,
) -> Execution<T, E>
where
    S: Shared<Machine = Executor<M, WAITING>>,
    M: Mode,
{
    let mut driver = Driver::new(shared, funds);
    loop {
        match driver.next(None) {
            Step::Call { guard, .. } => match call() {
                Ok(value) => return driver.succeed(guard, value),
                Err(error) => {
                    let class = classify(&error);
                    driver.fail(guard, Failure::Error(error), class);
                }
            },
            Step::Wait(length) => wait(delay, length),
            Step::Line(longest) => wait(delay, longest.map_or(LOOK, |longest| longest.min(LOOK))),
            Step::End(execution) => return execution,
        }
    }
}
