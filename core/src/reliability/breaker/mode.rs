//! When a closed breaker opens, and what a half-open one makes of its probes.

use super::ConfigError;

/// Decides when a closed [`Breaker`](super::Breaker) opens. Sealed: [`Consecutive`] and [`CountWindow`].
pub trait Mode: sealed::Mode {}

pub(super) mod sealed {
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
        /// Whether this success must open the breaker: with it, a rate may be known for the first time.
        fn on_success(&mut self) -> bool;
        /// Whether this failure must open the breaker.
        fn on_failure(&mut self) -> bool;
        /// Forgets all reports: the state has changed.
        fn clear(&mut self);
        /// Failures since the last success.
        fn consecutive_failures(&self) -> u32;
        /// Whether a success leaves it as it is.
        fn ignores_success(&self) -> bool;
        /// What the probes say: so many good and bad ones, of so many admitted at most.
        fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict;
    }
}

use sealed::Verdict;

/// Opens on so many failures in a row; a success starts the count over.
///
/// The smallest mode, and the seed's. It keeps no total of successes: on a host, a success while
/// nothing has failed must not have to write.
#[derive(Clone, Debug)]
pub struct Consecutive {
    limit: u32,
    count: u32,
}

impl Consecutive {
    pub(super) const fn new(limit: u32) -> Self {
        Self { limit, count: 0 }
    }
}

impl Mode for Consecutive {}

impl sealed::Mode for Consecutive {
    fn on_success(&mut self) -> bool {
        self.count = 0;
        false
    }

    fn on_failure(&mut self) -> bool {
        self.count = self.count.saturating_add(1);
        self.count >= self.limit
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

/// Says at which rate of failures a [`CountWindow`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// How many of the latest calls count; at least 1, at most 32 for each of the window's words.
    pub calls: u32,
    /// The percentage of failures that opens; from 1 to 100. Compared exactly: 49.5 % is not 50 %.
    pub failure_pct: u8,
    /// With fewer calls there is no rate; from 1 to `calls`.
    pub min_calls: u32,
}

impl Window {
    /// Half of the last 100 calls, of 10 at least.
    pub const DEFAULT: Self = Self { calls: 100, failure_pct: 50, min_calls: 10 };

    /// Checks the fields for a window of so many words.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, words: usize) -> Result<(), ConfigError> {
        if self.calls == 0 || self.calls.div_ceil(32) as usize > words {
            return Err(ConfigError::WindowCalls);
        }
        if self.min_calls == 0 || self.min_calls > self.calls {
            return Err(ConfigError::WindowMinCalls);
        }
        if self.failure_pct == 0 || self.failure_pct > 100 {
            return Err(ConfigError::WindowFailurePct);
        }
        Ok(())
    }

    /// Whether so many failures of so many calls are too many.
    fn is_reached(self, failed: u32, total: u32) -> bool {
        total >= self.min_calls && self.rate_is_reached(failed, total)
    }

    /// In whole numbers, so that nothing is rounded.
    fn rate_is_reached(self, failed: u32, total: u32) -> bool {
        u64::from(failed) * 100 >= u64::from(self.failure_pct) * u64::from(total)
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Opens when too many of the latest calls have failed, up to 32 calls a word.
///
/// For traffic that always has some failures, where a row of them says little. The oldest outcome
/// leaves as the newest comes: a long good past hides nothing.
///
/// Half-open, the breaker judges the same rate as soon as `min_calls` probes have reported, or all of
/// them if they are fewer; `success_threshold` has no part in it.
#[derive(Clone, Debug)]
pub struct CountWindow<const WORDS: usize> {
    window: Window,
    /// One bit for each call, 1 for a failure; the first `total` of them mean something.
    bits: [u32; WORDS],
    /// Where the next outcome goes.
    next: u32,
    total: u32,
    failed: u32,
    consecutive: u32,
}

impl<const WORDS: usize> CountWindow<WORDS> {
    pub(super) const fn new(window: Window) -> Self {
        Self { window, bits: [0; WORDS], next: 0, total: 0, failed: 0, consecutive: 0 }
    }

    fn record(&mut self, failed: u32) -> bool {
        if let Some(word) = self.bits.get_mut(self.next as usize / 32) {
            let shift = self.next % 32;
            if self.total == self.window.calls {
                self.failed -= (*word >> shift) & 1;
            } else {
                self.total += 1;
            }
            *word = (*word & !(1 << shift)) | (failed << shift);
            self.failed += failed;
        }
        self.next += 1;
        if self.next == self.window.calls {
            self.next = 0;
        }
        self.window.is_reached(self.failed, self.total)
    }
}

impl<const WORDS: usize> Mode for CountWindow<WORDS> {}

impl<const WORDS: usize> sealed::Mode for CountWindow<WORDS> {
    fn on_success(&mut self) -> bool {
        self.consecutive = 0;
        self.record(0)
    }

    fn on_failure(&mut self) -> bool {
        self.consecutive = self.consecutive.saturating_add(1);
        self.record(1)
    }

    fn clear(&mut self) {
        (self.next, self.total, self.failed, self.consecutive) = (0, 0, 0, 0);
    }

    fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    fn ignores_success(&self) -> bool {
        false
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, _success_threshold: u32) -> Verdict {
        let total = good + bad;
        if total < self.window.min_calls.min(probes) {
            Verdict::Undecided
        } else if self.window.rate_is_reached(bad, total) {
            Verdict::Fails
        } else {
            Verdict::Works
        }
    }
}
