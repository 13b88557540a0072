//! The coarse clock of Linux.

use std::sync::OnceLock;

use daur_core::time::{Clock, Instant, UnixTime};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::StdClock;

#[inline]
pub(super) fn now() -> Instant {
    Instant::from_nanos(nanos(clock_gettime(ClockId::MonotonicCoarse)).wrapping_add_signed(-ahead()))
}

#[inline]
pub(super) fn unix_now() -> Option<UnixTime> {
    let at = clock_gettime(ClockId::RealtimeCoarse);
    let millis =
        u64::try_from(at.tv_sec).ok()?.saturating_mul(1_000).saturating_add(at.tv_nsec.cast_unsigned() / 1_000_000);
    Some(UnixTime::from_millis(millis))
}

/// How far the operating system's clock is ahead of [`StdClock`], which reads it too but counts from another moment. A
/// little too much, by the time between two readings, and so no moment is ever ahead.
#[inline]
fn ahead() -> i64 {
    static AHEAD: OnceLock<i64> = OnceLock::new();
    *AHEAD.get_or_init(|| {
        let between = |_| {
            let ours = StdClock.now().as_nanos();
            nanos(clock_gettime(ClockId::Monotonic)).wrapping_sub(ours).cast_signed()
        };
        // The least of several, since the thread may lose the processor between the two.
        (0..16).map(between).min().unwrap_or(0)
    })
}

/// The clock counts from the start of the machine: neither part is negative.
#[inline]
const fn nanos(at: Timespec) -> u64 {
    at.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(at.tv_nsec.cast_unsigned())
}
