//! The clock of `embassy-time`.

use super::moment;
use crate::time::{Clock, Instant};

/// Reads the clock of `embassy-time`, whose driver counts 64 bits already.
///
/// The delay that goes with it is `embassy_time::Delay`: the runners of [`hal`](crate::hal) take it as
/// it is, blocking and async. For `time = PATH` of an attribute it is a delay itself.
///
/// # Rules
/// 1. A moment is exact for each rate that `embassy-time` knows below 4.29 GHz; after 584 years it
///    stands still.
/// 2. By this clock a wait is over no earlier than asked for: it is rounded up to whole ticks.
///
/// # Cost
/// No RAM. A reading is one multiplication if the rate divides a second's nanoseconds, as most do; else
/// 64-bit divisions by the rate, as for 32,768 Hz.
///
/// # Errors
/// None. A driver must be linked, as for all of `embassy-time`.
///
/// # Sharing
/// It has no state: name it wherever a clock is asked for.
///
/// # Example
/// ```
/// use daur_core::hal::clock::EmbassyClock;
/// use daur_core::time::{Clock, Duration};
///
/// let before = EmbassyClock.now();
/// # // On a device the driver's timer does this.
/// embassy_time::MockDriver::get().advance(embassy_time::Duration::from_millis(5));
/// assert_eq!(EmbassyClock.now() - before, Duration::from_millis(5));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

/// What `embassy-time` was built for.
const HZ: u32 = {
    assert!(embassy_time::TICK_HZ <= u32::MAX as u64, "EmbassyClock knows rates below 4.29 GHz");
    embassy_time::TICK_HZ as u32
};

impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        moment::<HZ>(embassy_time::Instant::now().as_ticks())
    }
}

#[cfg(feature = "macros")]
mod sleep;

#[cfg(test)]
mod tests;
