//! A 32-bit counter as a clock, for interrupts and tasks.

use core::cell::Cell;

use critical_section::Mutex;

use super::{TickExtender, moment};
use crate::time::{Clock, Instant};

/// Makes a clock of a function that reads a 32-bit counter of `HZ` ticks a second.
///
/// The counter is read in a critical section, so that its readings stay in order whoever asks. Ask at
/// least once per half period ([`TickExtender::half_period`]): from the timer's own interrupt, or
/// from any loop.
///
/// # Example
/// ```
/// use daur_core::hal::clock::TickClock;
/// use daur_core::time::{Clock, Instant};
///
/// fn read_timer() -> u32 {
///     2_500 // the hardware's register
/// }
///
/// static CLOCK: TickClock<1_000_000> = TickClock::new(read_timer);
/// assert_eq!(CLOCK.now(), Instant::from_micros(2_500));
/// ```
pub struct TickClock<const HZ: u32, F = fn() -> u32> {
    read: F,
    ticks: Mutex<Cell<TickExtender>>,
}

impl<const HZ: u32, F: Fn() -> u32> TickClock<HZ, F> {
    /// The clock of the counter that `read` reads, which started at 0.
    pub const fn new(read: F) -> Self {
        Self { read, ticks: Mutex::new(Cell::new(TickExtender::new())) }
    }
}

impl<const HZ: u32, F: Fn() -> u32> Clock for TickClock<HZ, F> {
    fn now(&self) -> Instant {
        critical_section::with(|cs| {
            let cell = self.ticks.borrow(cs);
            let mut ticks = cell.get();
            let total = ticks.extend((self.read)());
            cell.set(ticks);
            moment::<HZ>(total)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_counter_that_wraps_makes_a_clock_that_does_not() {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static CLOCK: TickClock<1_000> = TickClock::new(|| COUNTER.load(Ordering::Relaxed));
        let mut last = CLOCK.now();
        for _ in 0..10 {
            COUNTER.fetch_add(1 << 31, Ordering::Relaxed);
            let now = CLOCK.now();
            assert_eq!(now - last, TickExtender::half_period::<1_000>());
            last = now;
        }
    }
}
