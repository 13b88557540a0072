//! The coarse clock where there is none.

use daur_core::time::{Clock, Instant};

use super::StdClock;

#[inline]
pub(super) fn now() -> Instant {
    StdClock.now()
}
