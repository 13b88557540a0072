//! Sharing by a mutex.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use daur_core::shared::Shared;
use daur_core::time::{Clock, Instant};

use crate::clock::StdClock;

/// Shares a machine between threads and tasks by a standard mutex.
///
/// Serves blocking and asynchronous code alike: the lock is held for one call of the machine and
/// never across an `await`. On a device use `CsShared` of `daur-core`.
///
/// # Rules
/// 1. The clock is read while the lock is held, so no caller sees an older moment than the one before it.
/// 2. A panic inside a closure does not lock the others out.
/// 3. As with every lock, a closure must not call `with` on the same value again.
///
/// # Cost
/// The machine, one futex word and a flag; uncontended, a call costs two atomic operations and a
/// clock reading.
///
/// # Sharing
/// `Send` and `Sync` if the machine is `Send`. Nothing is held between calls, so a dropped future
/// leaves nothing locked.
///
/// # Example
/// ```
/// use daur_std::core::shared::Shared;
/// use daur_std::shared::StdShared;
///
/// static SERVED: StdShared<u64> = StdShared::new(0);
/// SERVED.with(|served, _now| *served += 1);
/// assert_eq!(SERVED.with(|served, _now| *served), 1);
/// ```
#[derive(Default)]
pub struct StdShared<M, C = StdClock> {
    clock: C,
    machine: Mutex<M>,
}

impl<M> StdShared<M> {
    /// Shares `machine` by the operating system's monotonic clock.
    pub const fn new(machine: M) -> Self {
        Self::with_clock(machine, StdClock)
    }
}

impl<M, C> StdShared<M, C> {
    /// Shares `machine`, whose moments `clock` tells.
    pub const fn with_clock(machine: M, clock: C) -> Self {
        Self { clock, machine: Mutex::new(machine) }
    }

    /// The clock that the machine lives by.
    pub const fn clock(&self) -> &C {
        &self.clock
    }

    /// Gives the machine back.
    pub fn into_inner(self) -> M {
        self.machine.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M, C: Clock> Shared for StdShared<M, C> {
    type Machine = M;

    fn with<R>(&self, f: impl FnOnce(&mut M, Instant) -> R) -> R {
        // Machines do not panic, so a poisoned lock tells of the caller's closure, not of a machine
        // left half-done: between two verbs every machine is whole.
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        f(&mut machine, now)
    }
}

impl<M, C> fmt::Debug for StdShared<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdShared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn rule_1_no_caller_sees_an_older_moment_than_the_one_before_it() {
        /// Steps at every reading, so that the order of readings shows.
        struct Steps(AtomicU64);
        impl Clock for Steps {
            fn now(&self) -> Instant {
                Instant::from_nanos(self.0.fetch_add(1, Ordering::SeqCst))
            }
        }
        let last = StdShared::with_clock(Instant::ZERO, Steps(AtomicU64::new(1)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        last.with(|last, now| {
                            assert!(now > *last);
                            *last = now;
                        });
                    }
                });
            }
        });
        assert_eq!(last.into_inner(), Instant::from_nanos(8_000));
    }

    #[test]
    fn rule_2_a_panic_inside_a_closure_does_not_lock_the_others_out() {
        let count = StdShared::with_clock(1_u32, Instant::ZERO);
        let panicked = catch_unwind(AssertUnwindSafe(|| count.with(|_, _| panic!("the caller's"))));
        assert!(panicked.is_err());
        assert_eq!(count.with(|count, _| *count), 1);
        assert_eq!(count.into_inner(), 1);
    }
}
