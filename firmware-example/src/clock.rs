//! Time: the chip's counter of microseconds, 64 bits wide, and a delay that sleeps.

use daur_core::hal::clock::TickClock;
use daur_core::time::{Clock, Instant};

#[cfg(not(daur_chip = "nrf51"))]
pub use crate::chip::timer::reading;
pub use crate::chip::timer::{micros, start};

/// Time since the start, in 64 bits. Looked at each time round the main loop, it misses no wrap.
static CLOCK: TickClock<1_000_000> = TickClock::new(micros);

/// The node's clock: a name without size for what machines in statics keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        CLOCK.now()
    }
}

/// Waits in sleep, for drivers that want a delay. At least as long as asked, at most a millisecond longer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay;

impl embedded_hal::delay::DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        let start = micros();
        let wait = ns.div_ceil(1_000);
        while micros().wrapping_sub(start) < wait {
            cortex_m::asm::wfi();
        }
    }
}
