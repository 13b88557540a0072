//! Sleep, and how much of it there was: the only place where the processor stops.

use core::cell::Cell;

use critical_section::Mutex;
use daur_core::time::{Clock, Duration};

use crate::clock::Timer;

/// Time asleep since the start.
static ASLEEP: Mutex<Cell<Duration>> = Mutex::new(Cell::new(Duration::ZERO));

/// Sleeps until `is_over`, which is asked after each interrupt; the timer's comes each millisecond.
///
/// It is asked with interrupts masked, and they stay so until the processor sleeps: one that comes in between is not
/// slept through, since it ends the sleep, masked or not, and is handled after it.
pub fn until(mut is_over: impl FnMut() -> bool) {
    let mut nap = || {
        critical_section::with(|cs| {
            if is_over() {
                return false;
            }
            let before = Timer.now();
            cortex_m::asm::wfi();
            let asleep = ASLEEP.borrow(cs);
            asleep.set(asleep.get() + (Timer.now() - before));
            true
        })
    };
    while nap() {}
}

/// How long the processor has slept since the start.
pub fn asleep() -> Duration {
    critical_section::with(|cs| ASLEEP.borrow(cs).get())
}
