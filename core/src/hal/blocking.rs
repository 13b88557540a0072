//! Runners that block: over `embedded_hal::delay::DelayNs`.

use embedded_hal::delay::DelayNs;

use crate::time::Duration;

mod execute;
mod retry;

pub use execute::{execute, execute_with};
pub use retry::{retry, retry_with};

/// The longest delay asked for at once: far below the 4.29 s that u32 nanoseconds hold, and also
/// within what drivers survive that compute in 32 bits themselves.
const LONGEST_NANOS: u32 = 1_000_000_000;

/// Waits for at least `length`, however long, in delays that fit u32 nanoseconds.
pub fn wait(delay: &mut impl DelayNs, length: Duration) {
    let mut left = length.as_nanos();
    while left > 0 {
        let nanos = u32::try_from(left).map_or(LONGEST_NANOS, |left| left.min(LONGEST_NANOS));
        delay.delay_ns(nanos);
        left -= u64::from(nanos);
    }
}

#[cfg(test)]
mod tests;
