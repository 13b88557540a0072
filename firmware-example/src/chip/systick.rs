//! Time from SysTick: microseconds made of the interrupt's count and the timer's value.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;

use super::SYSCLK_HZ;

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
        if let Some(micros) = reading(millis, before, pending, after)
            && MILLIS.load(Ordering::Relaxed) == millis
        {
            return micros;
        }
    }
}

/// The microseconds that the timer's two readings mean, between which its interrupt was `pending` or
/// not; `None` if its period ended between the two, since nobody can say then to which it belongs.
///
/// The timer counts down, and its period ends where it comes to 0, with the interrupt: 0 is the
/// beginning of the next one. Taken for the end, it would be a step back a moment later, which
/// `TickExtender` sees as 71 minutes forward.
pub const fn reading(millis: u32, before: u32, pending: bool, after: u32) -> Option<u32> {
    let (before, after) = (since_end(before), since_end(after));
    if after < before {
        return None;
    }
    Some(millis.wrapping_add(pending as u32).wrapping_mul(1_000).wrapping_add(after / TICKS_PER_MICRO))
}

/// Ticks since the timer was at 0.
const fn since_end(value: u32) -> u32 {
    if value == 0 { 0 } else { TICKS_PER_MILLI.saturating_sub(value) }
}
