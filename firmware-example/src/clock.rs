//! Time from SysTick: a 32-bit counter of microseconds, made of the interrupt's count and the timer's value.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;

use daur_core::hal::clock::TickClock;
use daur_core::time::{Clock, Instant};

use crate::board::SYSCLK_HZ;

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

/// Ticks of the timer in a microsecond, and in a millisecond, at which it interrupts.
const TICKS_PER_MICRO: u32 = SYSCLK_HZ / 1_000_000;
const TICKS_PER_MILLI: u32 = SYSCLK_HZ / 1_000;

static MILLIS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    MILLIS.fetch_add(1, Ordering::Relaxed);
}

/// Starts the timer; it interrupts each millisecond, which is also how long the node sleeps at most.
pub fn start(syst: &mut SYST) {
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(TICKS_PER_MILLI - 1);
    syst.clear_current();
    syst.enable_counter();
    syst.enable_interrupt();
}

/// Microseconds since [`start`], modulo 2^32: it wraps every 71 minutes, so `TickExtender` widens it.
///
/// Right with interrupts masked, too, for as long as one millisecond.
pub fn micros() -> u32 {
    loop {
        let millis = MILLIS.load(Ordering::Relaxed);
        let before = SYST::get_current();
        let pending = SCB::is_pendst_pending();
        let after = SYST::get_current();
        // The timer counts down: a larger second value means that it wrapped in between, and then
        // nobody can say which of the two the flag belongs to.
        if after <= before && MILLIS.load(Ordering::Relaxed) == millis {
            let millis = millis.wrapping_add(u32::from(pending));
            return millis.wrapping_mul(1_000).wrapping_add((TICKS_PER_MILLI - 1 - after) / TICKS_PER_MICRO);
        }
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
