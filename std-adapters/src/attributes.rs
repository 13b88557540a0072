//! What the attributes of this crate expand to, beside `daur_core::attributes`.

use daur_core::attributes::Sleep;
use daur_core::reliability::breaker::{Mode, Open};
use daur_core::reliability::retry::Class;
use daur_core::time::{Clock, Duration};

use crate::clock::StdClock;
use crate::reliability::breaker::{Guard, SharedBreaker};

impl Sleep for StdClock {
    fn sleep(&self, length: Duration) {
        std::thread::sleep(length.into());
    }
}

#[cfg(feature = "tokio")]
impl daur_core::attributes::AsyncSleep for crate::clock::TokioClock {
    fn sleep(&self, length: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(length.into())
    }
}

/// Asks a breaker to run a body.
///
/// # Errors
/// [`Open`] if it must not.
pub fn admit<M: Mode, C: Clock>(breaker: &SharedBreaker<M, C>) -> Result<Guard<'_, M, C>, Open> {
    breaker.admit()
}

/// Reports what a body gave, and gives it on.
///
/// # Errors
/// The body's.
pub fn settle<M: Mode, C: Clock, T, E>(
    guard: Guard<'_, M, C>,
    result: Result<T, E>,
    classify: impl FnOnce(&E) -> Class,
) -> Result<T, E> {
    match &result {
        Ok(_) => {
            guard.on_success();
        }
        // Dropped without a report, the guard gives the permit back.
        Err(error) if classify(error) == Class::Ignored => {}
        Err(_) => {
            guard.on_failure();
        }
    }
    result
}
