//! When a closed breaker opens, and what a half-open one makes of its probes.

/// Decides when a closed [`Breaker`](super::Breaker) opens, and for how long.
///
/// Sealed: [`Consecutive`], [`CountWindow`](super::CountWindow), [`TimeWindow`](super::TimeWindow),
/// around a window [`Slow`](super::Slow), around any mode [`Backoff`](super::Backoff), and
/// [`Any`](super::Any) of them by a config that is read at run time.
pub trait Mode: sealed::Mode {
    /// Whether it may want to know how long a call took. Where it does, a permit notes when it was
    /// given: a second reading of the clock for whoever answers the closed path from an atomic.
    const TIMES_CALLS: bool = false;
}

pub(super) mod sealed {
    use super::Counts;
    use crate::reliability::breaker::Cause;
    use crate::time::{Duration, Instant};

    /// What the probes' reports so far say.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Verdict {
        /// Too few of them.
        Undecided,
        /// Close.
        Works,
        /// Open again.
        Fails,
    }

    /// What a breaker asks of its mode.
    pub trait Mode {
        /// A call of this length succeeded: why the breaker must open, if it must. With a success, a
        /// rate may be known for the first time.
        fn on_success(&mut self, took: Duration, now: Instant) -> Option<Cause>;
        /// A call of this length failed: why the breaker must open, if it must.
        fn on_failure(&mut self, took: Duration, now: Instant) -> Option<Cause>;
        /// A probe of this length has reported, either way.
        fn on_probe(&mut self, _took: Duration) {}
        /// Forgets all reports: the state has changed.
        fn clear(&mut self);
        /// Failures since the last success.
        fn consecutive_failures(&self) -> u32;
        /// Whether a success leaves it as it is.
        fn ignores_success(&self) -> bool;
        /// Whether it wants to know how long a call took. Never without `TIMES_CALLS`.
        fn times_calls(&self) -> bool {
            false
        }
        /// What is in its window, if it has one.
        fn counts(&self) -> Option<Counts> {
            None
        }
        /// What the probes say: so many good and bad ones, of so many admitted at most.
        fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict;
        /// How long to stay open, after so many openings in a row before this one.
        fn wait(&mut self, base: Duration, max: Duration, openings: u8, _now: Instant) -> Duration {
            let mut wait = base;
            let mut doublings = openings;
            while doublings > 0 && wait < max {
                wait = wait + wait;
                doublings -= 1;
            }
            wait.min(max)
        }
    }

    /// A window of outcomes, whose hits may be failures or slow calls.
    pub trait Windowed: Mode {
        /// Takes in one outcome: whether the rate of hits is reached with it.
        fn record(&mut self, hit: bool, now: Instant) -> bool;
        /// What is in it, a hit being a failure.
        fn tally(&self) -> Counts;
        /// Which rate of hits is too high.
        fn rate(&self) -> Rate;
    }

    /// A rate that is too high.
    #[derive(Clone, Copy, Debug)]
    pub struct Rate {
        pub pct: u8,
        pub min_calls: u32,
    }

    impl Rate {
        /// Whether so many hits among so many calls are too many.
        pub fn is_reached(self, hits: u32, calls: u32) -> bool {
            calls >= self.min_calls && self.is_exceeded(hits, calls)
        }

        /// Likewise, however few the calls are. In whole numbers, so that nothing is rounded.
        pub fn is_exceeded(self, hits: u32, calls: u32) -> bool {
            u64::from(hits) * 100 >= u64::from(self.pct) * u64::from(calls)
        }

        /// What the probes say: judged once `min_calls` have reported, or all of them if they are fewer.
        pub fn judge(self, good: u32, bad: u32, probes: u32) -> Verdict {
            let calls = good + bad;
            if calls < self.min_calls.min(probes) {
                Verdict::Undecided
            } else if self.is_exceeded(bad, calls) {
                Verdict::Fails
            } else {
                Verdict::Works
            }
        }
    }
}

use super::Cause;
use crate::time::{Duration, Instant};
use sealed::Verdict;

/// Shows what is in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Calls whose outcome is in it.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Those of them that took too long, failed or not; 0 if nobody times them.
    pub slow: u32,
}

/// Opens on so many failures in a row; a success starts the count over.
///
/// The smallest mode, and the seed's. It keeps no total of successes: on a host, a success while
/// nothing has failed must not have to write.
///
/// It takes 8 of the breaker's bytes, and every call is O(1).
#[derive(Clone, Debug)]
pub struct Consecutive {
    limit: u32,
    count: u32,
}

impl Consecutive {
    /// So many failures in a row; 0 is taken for 1.
    ///
    /// Where a mode is named, as with [`Backoff`](super::Backoff). [`Breaker::new`](super::Breaker::new)
    /// takes the number from the config.
    #[must_use]
    pub const fn new(failures: u32) -> Self {
        Self { limit: failures, count: 0 }
    }
}

impl Mode for Consecutive {}

impl sealed::Mode for Consecutive {
    fn on_success(&mut self, _took: Duration, _now: Instant) -> Option<Cause> {
        self.count = 0;
        None
    }

    fn on_failure(&mut self, _took: Duration, _now: Instant) -> Option<Cause> {
        self.count = self.count.saturating_add(1);
        if self.count >= self.limit { Some(Cause::Failures) } else { None }
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    fn consecutive_failures(&self) -> u32 {
        self.count
    }

    fn ignores_success(&self) -> bool {
        self.count == 0
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict {
        if good >= success_threshold {
            Verdict::Works
        } else if bad > probes - success_threshold {
            Verdict::Fails
        } else {
            Verdict::Undecided
        }
    }
}
