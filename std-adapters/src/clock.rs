//! The host's clocks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};

/// The moment that all monotonic clocks of this process count from: a minute before the first
/// reading, since a clock of tokio's that was paused before it stands in the past.
fn epoch() -> StdInstant {
    static EPOCH: OnceLock<StdInstant> = OnceLock::new();
    *EPOCH.get_or_init(|| {
        let now = StdInstant::now();
        now.checked_sub(std::time::Duration::from_secs(60)).unwrap_or(now)
    })
}

/// Reads the operating system's monotonic clock, counted from a minute before the first reading in
/// this process.
///
/// All of them agree, so that moments can pass between machines; [`TokioClock`] agrees too while
/// tokio's time is not paused.
///
/// # Cost
/// No bytes; a reading is one `clock_gettime`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdClock;

impl Clock for StdClock {
    fn now(&self) -> Instant {
        moment(StdInstant::now())
    }
}

fn moment(at: StdInstant) -> Instant {
    Instant::ZERO + Duration::from(at.saturating_duration_since(epoch()))
}

/// Reads the operating system's monotonic clock at the resolution of its timer, which is cheaper.
///
/// Its moments are those of [`StdClock`], at most as old as the timer's last tick (1 to 10 ms on Linux, as the kernel is
/// built), and never ahead. For what is done millions of times a second and is good for seconds, such as the ttl of
/// a cache. Where the operating system has no such clock it is `StdClock`.
///
/// # Cost
/// No bytes; a reading on Linux is a load from a page that the kernel shares: a few nanoseconds, where the exact clock's took
/// 54 on the machine of the benchmarks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Instant {
        coarse::now()
    }
}

#[cfg_attr(target_os = "linux", path = "clock/coarse.rs")]
#[cfg_attr(not(target_os = "linux"), path = "clock/plain.rs")]
mod coarse;

/// Reads tokio's clock, which tests can pause and advance.
///
/// The asynchronous runners use it, so that what they sleep and what they measure is one time.
/// Outside a runtime it reads the operating system's.
///
/// # Cost
/// As [`StdClock`].
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

#[cfg(feature = "tokio")]
impl Clock for TokioClock {
    fn now(&self) -> Instant {
        moment(tokio::time::Instant::now().into_std())
    }
}

/// The moment of tokio's clock that [`TokioClock`] tells as `at`.
#[cfg(feature = "tokio")]
pub(crate) fn tokio_at(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::from_std(epoch() + std::time::Duration::from(at.since(Instant::ZERO)))
}

/// Reads the operating system's wall clock.
///
/// It may be set at any time: for expiry dates and logs, never for waiting.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    /// `None` for a clock that stands before 1970: a host that does not know the time yet.
    fn unix_now(&self) -> Option<UnixTime> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::from_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Reads the operating system's wall clock at the resolution of its timer, which is cheaper.
///
/// At most as old as the timer's last tick, as [`CoarseClock`]: for what is stamped often and read by people. Where the operating system
/// has no such clock it is [`SystemWallClock`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseWallClock;

impl WallClock for CoarseWallClock {
    /// `None` for a clock that stands before 1970.
    #[inline]
    fn unix_now(&self) -> Option<UnixTime> {
        coarse::unix_now()
    }
}

/// Tells the time that a test has set.
///
/// # Example
/// ```
/// use daur_std::clock::ManualClock;
/// use daur_std::core::time::{Clock, Duration, Instant};
///
/// let clock = ManualClock::new(Instant::from_secs(10));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Instant::from_secs(15));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self(AtomicU64::new(now.as_nanos()))
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Instant) {
        self.0.store(now.as_nanos(), Ordering::SeqCst);
    }

    /// Moves the clock forward; it stops at [`Instant::MAX`].
    pub fn advance(&self, by: Duration) {
        let forward = |nanos| Some((Instant::from_nanos(nanos) + by).as_nanos());
        // The closure never gives `None`, so this never fails.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, forward);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward() {
        let first = StdClock.now();
        assert!(StdClock.now() >= first);
    }

    #[test]
    fn the_coarse_clock_is_never_ahead_and_never_far_behind() {
        for _ in 0..1_000 {
            let before = StdClock.now();
            let coarse = CoarseClock.now();
            let after = StdClock.now();
            assert!(coarse <= after);
            assert!(before - coarse <= Duration::from_secs(1), "{:?}", before - coarse);
        }
    }

    #[test]
    fn the_wall_clock_stands_after_2020() {
        assert!(SystemWallClock.unix_now().unwrap() > UnixTime::from_secs(1_577_836_800));
    }

    #[test]
    fn the_coarse_wall_clock_is_that_of_the_system_give_or_take_a_tick() {
        // The system's may be set in between, so not each reading must agree.
        let agrees = || {
            let exact = SystemWallClock.unix_now().unwrap().as_millis();
            let coarse = CoarseWallClock.unix_now().unwrap().as_millis();
            coarse.abs_diff(exact) <= 60_000
        };
        assert!((0..10).any(|_| agrees()));
    }

    #[test]
    fn a_manual_clock_stops_at_the_last_moment_and_can_be_set_back() {
        let clock = ManualClock::default();
        clock.advance(Duration::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Instant::MAX);
        clock.set(Instant::ZERO);
        assert_eq!(clock.now(), Instant::ZERO);
    }

    #[test]
    fn a_moment_before_the_first_reading_is_told_too() {
        let early = StdInstant::now();
        epoch();
        assert!(moment(early) > Instant::from_secs(50));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn the_clock_of_tokio_follows_its_paused_time() {
        let start = TokioClock.now();
        tokio::time::advance(std::time::Duration::from_secs(3_600)).await;
        assert_eq!(TokioClock.now() - start, Duration::from_secs(3_600));
    }
}
