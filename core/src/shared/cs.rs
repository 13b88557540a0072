//! Sharing by critical section.

use core::cell::RefCell;

use critical_section::Mutex;

use super::Shared;
use crate::time::{Clock, Instant};

/// Shares a machine between interrupts and tasks by a critical section.
///
/// Works on every target, Cortex-M0 included, which has no compare-and-swap. Interrupts wait for as
/// long as the closure runs: keep it to one call of the machine. On a host use `StdShared` of
/// `daur-std` instead.
///
/// # Cost
/// The machine, the clock (nothing for a clock without state) and one `isize` of borrow flag.
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{self, Breaker};
/// use daur_core::shared::{CsShared, Shared};
/// use daur_core::time::{Clock, Instant};
///
/// struct Timer;
/// impl Clock for Timer {
///     fn now(&self) -> Instant {
///         Instant::from_millis(7) // the hardware's counter
///     }
/// }
///
/// static BUS: CsShared<Breaker, Timer> = CsShared::new(Breaker::new(breaker::Config::DEFAULT), Timer);
/// assert!(BUS.with(|breaker, now| breaker.try_acquire(now)).is_ok());
/// ```
pub struct CsShared<M, C> {
    clock: C,
    machine: Mutex<RefCell<M>>,
}

impl<M, C: Clock> CsShared<M, C> {
    /// Shares `machine`, whose moments `clock` tells.
    pub const fn new(machine: M, clock: C) -> Self {
        Self { clock, machine: Mutex::new(RefCell::new(machine)) }
    }

    /// The clock that the machine lives by.
    pub const fn clock(&self) -> &C {
        &self.clock
    }
}

impl<M, C: Clock> Shared for CsShared<M, C> {
    type Machine = M;

    fn with<R>(&self, f: impl FnOnce(&mut M, Instant) -> R) -> R {
        critical_section::with(|cs| {
            let cell = self.machine.borrow(cs);
            loop {
                if let Ok(mut machine) = cell.try_borrow_mut() {
                    return f(&mut machine, self.clock.now());
                }
                // Only a closure that calls `with` on its own machine comes here: a deadlock, as with
                // every lock, which the watchdog ends. A panic would bring its formatting into
                // every image for a case that no running program has.
                debug_assert!(false, "Shared::with must not nest");
                core::hint::spin_loop();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_lent_with_the_moment_of_its_clock() {
        static COUNT: CsShared<u32, Instant> = CsShared::new(0, Instant::from_secs(3));
        let now = COUNT.with(|count, now| {
            *count += 1;
            now
        });
        assert_eq!(now, Instant::from_secs(3));
        assert_eq!(COUNT.with(|count, _| *count), 1);
    }

    #[test]
    fn no_update_of_eight_threads_is_lost() {
        static COUNT: CsShared<u32, Instant> = CsShared::new(0, Instant::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        COUNT.with(|count, _| *count += 1);
                    }
                });
            }
        });
        assert_eq!(COUNT.with(|count, _| *count), 8_000);
    }
}
