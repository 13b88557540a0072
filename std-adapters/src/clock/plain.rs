//! The coarse clock where there is none.

use daur_core::time::{Clock, Instant, UnixTime, WallClock};

use super::{StdClock, SystemWallClock};

#[inline]
pub(super) fn now() -> Instant {
    StdClock.now()
}

#[inline]
pub(super) fn unix_now() -> Option<UnixTime> {
    SystemWallClock.unix_now()
}
