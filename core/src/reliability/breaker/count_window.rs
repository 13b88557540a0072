//! The latest calls, and how many of them failed.

use super::mode::sealed::{self, Rate, Verdict, Windowed};
use super::{Cause, ConfigError, Counts, Mode};
use crate::time::{Duration, Instant};

/// Says at which rate of failures a [`CountWindow`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
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
}

impl Default for Window {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Opens when too many of the latest calls have failed, up to 32 calls a word.
///
/// For traffic that always has some failures, where a row of them says little. The oldest outcome
/// leaves as the newest comes: a long good past hides nothing. Where calls are rare, so that the
/// latest may be hours old, use a [`TimeWindow`](super::TimeWindow); to count slow ones too, put
/// [`Slow`](super::Slow) around it.
///
/// # Rules
/// 1. Each outcome pushes out the one of `calls` calls before. The rate is that of what is left.
/// 2. Below `min_calls` there is no rate. From then on every outcome is judged: a success, too, can
///    open the breaker, as the one that makes the rate known.
/// 3. The rate is compared in whole numbers: `failed * 100 >= failure_pct * calls`.
/// 4. Half-open, the same rate is judged as soon as `min_calls` probes have reported, or all of them
///    if they are fewer; `success_threshold` has no part in it.
/// 5. Each change of state empties it.
///
/// # Cost
/// With 4 words, 120 bytes of RAM and 1,008 of flash on thumbv6m (image `breaker_window`), the breaker
/// included; 4 bytes of RAM for each word. Every call is O(1).
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Breaker, Config, CountWindow, Event, Window};
/// use daur_core::time::Instant;
///
/// const HALF: Window = Window { calls: 20, failure_pct: 50, min_calls: 4 };
/// let mut breaker = Breaker::<CountWindow<1>>::windowed(Config::DEFAULT, HALF);
///
/// let now = Instant::ZERO;
/// for failed in [false, true, false] {
///     let permit = breaker.try_acquire(now)?;
///     let event = if failed { breaker.on_failure(permit, now) } else { breaker.on_success(permit, now) };
///     assert_eq!(event, None);
/// }
/// let permit = breaker.try_acquire(now)?;
/// assert!(matches!(breaker.on_failure(permit, now), Some(Event::Opened { .. }))); // 2 of 4
/// # Ok::<(), daur_core::reliability::breaker::Open>(())
/// ```
///
/// # References
/// Resilience4j's count-based sliding window.
#[derive(Clone, Debug)]
pub struct CountWindow<const WORDS: usize> {
    window: Window,
    /// One bit for each call, 1 for a hit; the first `total` of them mean something.
    bits: [u32; WORDS],
    /// Where the next outcome goes.
    next: u32,
    total: u32,
    hits: u32,
    consecutive: u32,
}

impl<const WORDS: usize> CountWindow<WORDS> {
    /// An empty window.
    ///
    /// # Panics
    /// If `window` is invalid: in a `static` or `const`, an error of the compiler. One that is read
    /// at run time goes to [`CountWindow::try_new`].
    #[must_use]
    pub const fn new(window: Window) -> Self {
        match Self::try_new(window) {
            Ok(window) => window,
            Err(_) => panic!("invalid breaker::Window: see Window::validate"),
        }
    }

    /// An empty window, if the config is valid.
    ///
    /// # Errors
    /// What [`Window::validate`] says.
    pub const fn try_new(window: Window) -> Result<Self, ConfigError> {
        match window.validate(WORDS) {
            Ok(()) => Ok(Self { window, bits: [0; WORDS], next: 0, total: 0, hits: 0, consecutive: 0 }),
            Err(error) => Err(error),
        }
    }
}

impl<const WORDS: usize> Windowed for CountWindow<WORDS> {
    fn record(&mut self, hit: bool, _now: Instant) -> bool {
        let hit = u32::from(hit);
        if let Some(word) = self.bits.get_mut(self.next as usize / 32) {
            let shift = self.next % 32;
            if self.total == self.window.calls {
                self.hits -= (*word >> shift) & 1;
            } else {
                self.total += 1;
            }
            *word = (*word & !(1 << shift)) | (hit << shift);
            self.hits += hit;
        }
        self.next += 1;
        if self.next == self.window.calls {
            self.next = 0;
        }
        self.rate().is_reached(self.hits, self.total)
    }

    fn tally(&self) -> Counts {
        Counts { calls: self.total, failed: self.hits, slow: 0 }
    }

    fn rate(&self) -> Rate {
        Rate { pct: self.window.failure_pct, min_calls: self.window.min_calls }
    }
}

impl<const WORDS: usize> Mode for CountWindow<WORDS> {}

impl<const WORDS: usize> sealed::Mode for CountWindow<WORDS> {
    fn on_success(&mut self, _took: Duration, now: Instant) -> Option<Cause> {
        self.consecutive = 0;
        if self.record(false, now) { Some(Cause::Failures) } else { None }
    }

    fn on_failure(&mut self, _took: Duration, now: Instant) -> Option<Cause> {
        self.consecutive = self.consecutive.saturating_add(1);
        if self.record(true, now) { Some(Cause::Failures) } else { None }
    }

    fn clear(&mut self) {
        (self.next, self.total, self.hits, self.consecutive) = (0, 0, 0, 0);
    }

    fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    fn ignores_success(&self) -> bool {
        false
    }

    fn counts(&self) -> Option<Counts> {
        Some(self.tally())
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, _success_threshold: u32) -> Verdict {
        self.rate().judge(good, bad, probes)
    }
}
