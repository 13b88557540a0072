//! As the `time = PATH` of an attribute.

use core::future::Future;

use embassy_time::Timer;

use super::{EmbassyClock, HZ};
use crate::attributes::{AsyncSleep, Sleep};
use crate::time::{Clock, Duration};

/// By its own moments, which are no further apart than its ticks.
impl Sleep for EmbassyClock {
    fn sleep(&self, length: Duration) {
        let end = self.now() + length;
        while self.now() < end {
            core::hint::spin_loop();
        }
    }
}

impl AsyncSleep for EmbassyClock {
    fn sleep(&self, length: Duration) -> impl Future<Output = ()> {
        Timer::after_ticks(ticks(length))
    }
}

/// Rounded up.
fn ticks(length: Duration) -> u64 {
    const NANOS_PER_SEC: u64 = 1_000_000_000;
    let nanos = length.as_nanos();
    let (secs, rest) = (nanos / NANOS_PER_SEC, nanos % NANOS_PER_SEC);
    // The rest is below 2^30, the rate below 2^32.
    let part = (rest * u64::from(HZ)).div_ceil(NANOS_PER_SEC);
    secs.saturating_mul(u64::from(HZ)).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_rounded_up_to_whole_ticks() {
        // The tests' driver counts microseconds.
        assert_eq!(ticks(Duration::ZERO), 0);
        assert_eq!(ticks(Duration::from_nanos(1)), 1);
        assert_eq!(ticks(Duration::from_micros(1)), 1);
        assert_eq!(ticks(Duration::from_nanos(1_000_001_001)), 1_000_002);
        assert_eq!(ticks(Duration::from_secs(90_000)), 90_000_000_000);
        assert!(ticks(Duration::MAX) > u64::MAX / 1_001);
    }
}
