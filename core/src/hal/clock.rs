//! Clocks made of what the hardware has: a counter that wraps.

use crate::time::{Clock, Duration, Instant};

/// Makes a clock of a function that tells the present moment.
///
/// For time that is already wide: a 64-bit timer, an operating system, a test. For a 32-bit counter
/// take `TickClock` (feature `critical-section`).
///
/// # Example
/// ```
/// use daur_core::hal::clock::FnClock;
/// use daur_core::time::{Clock, Instant};
///
/// static CLOCK: FnClock<fn() -> Instant> = FnClock::new(|| Instant::from_millis(5));
/// assert_eq!(CLOCK.now(), Instant::from_millis(5));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FnClock<F>(F);

impl<F: Fn() -> Instant> FnClock<F> {
    /// The clock that `read` tells.
    pub const fn new(read: F) -> Self {
        Self(read)
    }
}

impl<F: Fn() -> Instant> Clock for FnClock<F> {
    fn now(&self) -> Instant {
        (self.0)()
    }
}

/// Widens a 32-bit counter that wraps to 64 bits.
///
/// A counter of fewer bits is shifted up to 32 first, and its rate with it.
///
/// # Rules
/// 1. Shown the counter at least once per half period, it misses no wrap. It has a whole period of
///    patience, half of it being the margin of whoever is late: a millisecond counter may be left
///    alone for 25 days and loses nothing.
/// 2. Left alone for longer than a whole period, it cannot know how many have passed: it falls behind
///    by them, but never goes backwards.
/// 3. Shown a reading that is up to 2^20 ticks older than the last, it stands still: a timer that is
///    read while its interrupt is pending steps back by a tick, and that is not a whole period.
///
/// Read the counter while the extender is held, so that no task shows it a reading that is older still.
///
/// # Cost
/// 8 bytes, one subtraction, one comparison and one 64-bit addition.
///
/// # Example
/// ```
/// use daur_core::hal::clock::TickExtender;
///
/// let mut ticks = TickExtender::new();
/// assert_eq!(ticks.extend(0x8000_0000), 0x8000_0000);
/// assert_eq!(ticks.extend(0xFFFF_FFFF), 0xFFFF_FFFF);
/// assert_eq!(ticks.extend(0x0000_0001), 0x1_0000_0001);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TickExtender {
    total: u64,
}

impl TickExtender {
    /// The largest step back that is not taken for a wrap: a second of a microsecond counter, and a
    /// 4,096th of what rule 1 gives to whoever is late.
    const STEP_BACK: u32 = 1 << 20;

    /// One that has seen the counter at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { total: 0 }
    }

    /// The ticks since the start, given what the counter shows now.
    #[expect(clippy::cast_possible_truncation, reason = "the counter's 32 bits are the total's lower ones")]
    pub const fn extend(&mut self, counter: u32) -> u64 {
        let passed = counter.wrapping_sub(self.total as u32);
        if passed <= u32::MAX - Self::STEP_BACK {
            self.total = self.total.wrapping_add(passed as u64);
        }
        self.total
    }

    /// How often a counter of `HZ` ticks a second must be shown at least: half of its period.
    #[must_use]
    pub const fn half_period<const HZ: u32>() -> Duration {
        moment::<HZ>(1 << 31).since(Instant::ZERO)
    }
}

/// The moment after so many ticks of `HZ` a second; saturates after 584 years.
#[must_use]
pub const fn moment<const HZ: u32>(ticks: u64) -> Instant {
    const { assert!(HZ > 0, "a clock of 0 Hz stands still") }
    let hz = HZ as u64;
    if NANOS_PER_SEC.is_multiple_of(hz) {
        // Most timers: one multiplication, no division at run time.
        return Instant::from_nanos(ticks.saturating_mul(NANOS_PER_SEC / hz));
    }
    // The remainder is below 2^32 and the product below 2^62.
    let nanos = ticks % hz * NANOS_PER_SEC / hz;
    Instant::from_secs(ticks / hz).after(Duration::from_nanos(nanos))
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(feature = "critical-section")]
pub use tick::TickClock;

#[cfg(feature = "critical-section")]
mod tick;

#[cfg(feature = "embassy-time")]
pub use embassy::EmbassyClock;

#[cfg(feature = "embassy-time")]
mod embassy;

#[cfg(test)]
mod tests {
    use super::*;

    /// A millisecond counter `days` days after the start.
    fn counter_after(days: u64) -> (u32, u64) {
        let millis = days * 24 * 3_600 * 1_000;
        (u32::try_from(millis % (1 << 32)).unwrap(), millis)
    }

    #[test]
    fn rule_1_shown_once_per_half_period_it_misses_no_wrap() {
        let mut ticks = TickExtender::new();
        let half = 1_u64 << 31;
        for n in 1..1_000 {
            let total = n * half - n % 7;
            assert_eq!(ticks.extend((total % (1 << 32)) as u32), total);
        }
    }

    #[test]
    fn rule_1_left_alone_for_25_days_a_millisecond_tick_loses_nothing() {
        let mut ticks = TickExtender::new();
        for days in (0..=200).step_by(25) {
            let (counter, total) = counter_after(days);
            assert_eq!(ticks.extend(counter), total);
        }
    }

    #[test]
    fn rule_2_left_alone_for_50_days_it_falls_behind_but_never_goes_back() {
        let mut ticks = TickExtender::new();
        let mut last = 0;
        for days in (0..=200).step_by(50) {
            let (counter, total) = counter_after(days);
            let seen = ticks.extend(counter);
            assert!(seen >= last && seen <= total);
            assert_eq!(seen % (1 << 32), u64::from(counter));
            last = seen;
        }
    }

    #[test]
    fn rule_3_a_counter_that_steps_back_a_little_stands_still() {
        for start in [5, 1 << 20, u64::from(u32::MAX), (7 << 32) + 3] {
            let mut ticks = TickExtender { total: start };
            let show = |total: u64| (total % (1 << 32)) as u32;
            assert_eq!(ticks.extend(show(start.wrapping_sub(1))), start);
            assert_eq!(ticks.extend(show(start.wrapping_sub(1 << 20))), start);
            assert_eq!(ticks.extend(show(start + 2)), start + 2);
        }
    }

    #[test]
    fn ticks_of_any_rate_become_moments() {
        assert_eq!(moment::<1_000>(1_500), Instant::from_millis(1_500));
        assert_eq!(moment::<32_768>(32_768 * 7 + 16_384), Instant::from_millis(7_500));
        assert_eq!(moment::<{ u32::MAX }>(u64::from(u32::MAX) * 3 - 1), Instant::from_nanos(2_999_999_999));
        assert_eq!(moment::<1>(u64::MAX), Instant::MAX);
        assert_eq!(TickExtender::half_period::<1_000>(), Duration::from_millis(1 << 31));
    }
}
