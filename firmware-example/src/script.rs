//! What QEMU's machines lack, by script: a watchdog, a wire that stalls, a bus that hangs. Not in what runs on a board.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cortex_m::peripheral::SCB;
use daur_core::time::Duration;

use crate::{boot, uart};

/// Milliseconds until the watchdog bites; 0: it has not been started.
static BITES_IN: AtomicU32 = AtomicU32::new(0);
/// Milliseconds until the wire takes bytes again.
static STALLED_FOR: AtomicU32 = AtomicU32::new(0);
static BUS_HANGS: AtomicBool = AtomicBool::new(false);

/// Feeds the watchdog: it bites when this has passed. Never nothing.
pub(crate) fn bite_in(time: Duration) {
    BITES_IN.store(millis(time).max(1), Ordering::Relaxed);
}

/// From now on the wire takes no byte for so long, as with a host that has stopped it.
pub fn stall(time: Duration) {
    STALLED_FOR.store(millis(time), Ordering::Relaxed);
}

/// Whether the wire takes no byte now.
pub(crate) fn is_stalled() -> bool {
    STALLED_FOR.load(Ordering::Relaxed) != 0
}

/// From now on the bus never ends a transfer: a sensor that holds the clock line.
pub fn hang() {
    BUS_HANGS.store(true, Ordering::Relaxed);
}

/// Ends never if the bus hangs.
pub(crate) fn transfer() {
    while BUS_HANGS.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}

/// A millisecond has passed. By the timer's interrupt, which alone counts down.
pub(crate) fn tick() {
    match BITES_IN.load(Ordering::Relaxed) {
        0 => {}
        1 => {
            boot::note(boot::End::Watchdog);
            SCB::sys_reset();
        }
        left => BITES_IN.store(left - 1, Ordering::Relaxed),
    }
    match STALLED_FOR.load(Ordering::Relaxed) {
        0 => {}
        left => {
            STALLED_FOR.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                uart::resume();
            }
        }
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
