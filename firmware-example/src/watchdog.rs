//! The watchdog: resets a chip whose program has gone astray.

use daur_core::time::Duration;

/// Resets the chip unless it is fed in time. Fed only while [`Health`](daur_core::reliability::health::Health) says that
/// the node is live, never by an interrupt, which runs on where the program hangs.
///
/// Nothing stops it once it runs, and the next start says that it was the cause.
pub trait Watchdog {
    /// Starts it: it bites when it is not fed for `timeout`; never earlier, and by a slow oscillator up to three times
    /// as late. What is longer than the chip can count becomes the longest that it can.
    fn start(&mut self, timeout: Duration);

    /// Begins its time anew.
    fn feed(&mut self);
}

/// The watchdog of what this is built for: the chip's own.
#[cfg(daur_board)]
pub use crate::chip::Dog;

/// The watchdog of what this is built for: QEMU's machines have none, so the timer's interrupt counts.
#[cfg(not(daur_board))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Dog {
    timeout: Duration,
}

#[cfg(not(daur_board))]
impl Watchdog for Dog {
    fn start(&mut self, timeout: Duration) {
        self.timeout = timeout;
        crate::script::bite_in(timeout);
    }

    fn feed(&mut self) {
        crate::script::bite_in(self.timeout);
    }
}
