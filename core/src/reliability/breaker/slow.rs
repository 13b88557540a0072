//! Calls that take too long, counted beside those that fail.

use super::mode::sealed::{self, Rate, Verdict, Windowed};
use super::{Cause, ConfigError, CountWindow, Counts, Mode, Span, TimeWindow, Window};
use crate::time::{Duration, Instant};

/// Says which calls are slow, and how many of them open a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SlowCalls {
    /// A call that takes longer is slow; one of exactly this length is not. More than 0.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
    pub slow_call: Duration,
    /// The percentage of slow calls that opens; from 1 to 100.
    pub slow_pct: u8,
}

impl SlowCalls {
    /// Opens if all calls take more than 60 s.
    pub const DEFAULT: Self = Self { slow_call: Duration::from_secs(60), slow_pct: 100 };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.slow_call.is_zero() {
            return Err(ConfigError::SlowCall);
        }
        if self.slow_pct == 0 || self.slow_pct > 100 {
            return Err(ConfigError::SlowPct);
        }
        Ok(())
    }
}

impl Default for SlowCalls {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Opens when too many calls of a window have failed, or too many have taken too long.
///
/// For a callee that answers, but so late that its callers pile up. Each permit then notes when it was
/// given, which on a host is a second reading of the clock. To cut a call short instead, use a
/// timeout.
///
/// # Rules
/// 1. A call is slow if it took longer than `slow_call`: strictly. Failed or not makes no difference,
///    and a slow failure counts in both rates.
/// 2. Both rates are of the same calls, below `min_calls` neither is known. If both are reached at
///    once, the cause is [`Cause::Failures`].
/// 3. Half-open, both rates are judged.
/// 4. A clock that steps backwards during a call makes it short, never slow.
///
/// # Cost
/// Around a [`CountWindow`] of 4 words, 176 bytes of RAM and 1,516 of flash on thumbv6m (image
/// `breaker_slow`), the breaker included. It keeps two windows, and a report costs that of both.
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Breaker, Cause, Config, CountWindow, Event, Slow, SlowCalls, Window};
/// use daur_core::time::{Duration, Instant};
///
/// const WINDOW: Window = Window { calls: 10, failure_pct: 50, min_calls: 2 };
/// const SLOW: SlowCalls = SlowCalls { slow_call: Duration::from_secs(2), slow_pct: 100 };
/// let mut breaker = Breaker::with_mode(Config::DEFAULT, Slow::<CountWindow<1>>::of_calls(WINDOW, SLOW));
///
/// let mut event = None;
/// for secs in [0, 10] {
///     let permit = breaker.try_acquire(Instant::from_secs(secs))?;
///     event = breaker.on_success(permit, Instant::from_secs(secs + 3));
/// }
/// assert_eq!(event, Some(Event::Opened { cause: Cause::SlowCalls }));
/// # Ok::<(), daur_core::reliability::breaker::Open>(())
/// ```
///
/// # References
/// Resilience4j's slow call rate.
#[derive(Clone, Debug)]
pub struct Slow<W> {
    calls: W,
    /// The same calls, with the slow ones for hits.
    slow: W,
    slow_call: Duration,
    /// Slow probes that have reported.
    probes: u32,
}

impl<W> Slow<W> {
    const fn of(calls: W, slow: W, slow_call: Duration) -> Self {
        Self { calls, slow, slow_call, probes: 0 }
    }
}

impl<const WORDS: usize> Slow<CountWindow<WORDS>> {
    /// Slow and failed ones among the latest calls.
    ///
    /// # Panics
    /// If a config is invalid: in a `static` or `const`, an error of the compiler. Configs that are
    /// read at run time go to [`Slow::try_of_calls`].
    #[must_use]
    pub const fn of_calls(window: Window, slow: SlowCalls) -> Self {
        match Self::try_of_calls(window, slow) {
            Ok(mode) => mode,
            Err(_) => panic!("invalid breaker::Window or breaker::SlowCalls: see their validate"),
        }
    }

    /// Slow and failed ones among the latest calls, if both configs are valid.
    ///
    /// # Errors
    /// What [`Window::validate`] and [`SlowCalls::validate`] say.
    pub const fn try_of_calls(window: Window, slow: SlowCalls) -> Result<Self, ConfigError> {
        if let Err(error) = slow.validate() {
            return Err(error);
        }
        match (CountWindow::try_new(window), CountWindow::try_new(Window { failure_pct: slow.slow_pct, ..window })) {
            (Ok(calls), Ok(slow_calls)) => Ok(Self::of(calls, slow_calls, slow.slow_call)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<const BUCKETS: usize> Slow<TimeWindow<BUCKETS>> {
    /// Slow and failed ones among the calls of the latest time.
    ///
    /// # Panics
    /// If a config is invalid: in a `static` or `const`, an error of the compiler. Configs that are
    /// read at run time go to [`Slow::try_of_time`].
    #[must_use]
    pub const fn of_time(span: Span, slow: SlowCalls) -> Self {
        match Self::try_of_time(span, slow) {
            Ok(mode) => mode,
            Err(_) => panic!("invalid breaker::Span or breaker::SlowCalls: see their validate"),
        }
    }

    /// Slow and failed ones among the calls of the latest time, if both configs are valid.
    ///
    /// # Errors
    /// What [`Span::validate`] and [`SlowCalls::validate`] say.
    pub const fn try_of_time(span: Span, slow: SlowCalls) -> Result<Self, ConfigError> {
        if let Err(error) = slow.validate() {
            return Err(error);
        }
        match (TimeWindow::try_new(span), TimeWindow::try_new(Span { failure_pct: slow.slow_pct, ..span })) {
            (Ok(calls), Ok(slow_calls)) => Ok(Self::of(calls, slow_calls, slow.slow_call)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<W: Windowed> Slow<W> {
    fn judged(&mut self, took: Duration, failed: Option<Cause>, now: Instant) -> Option<Cause> {
        // Always, so that both windows hold the same calls.
        let slow = self.slow.record(took > self.slow_call, now);
        failed.or(if slow { Some(Cause::SlowCalls) } else { None })
    }
}

impl<W: Windowed> Mode for Slow<W> {
    const TIMES_CALLS: bool = true;
}

impl<W: Windowed> sealed::Mode for Slow<W> {
    fn on_success(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        let failed = self.calls.on_success(took, now);
        self.judged(took, failed, now)
    }

    fn on_failure(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        let failed = self.calls.on_failure(took, now);
        self.judged(took, failed, now)
    }

    fn on_probe(&mut self, took: Duration) {
        if took > self.slow_call {
            self.probes = self.probes.saturating_add(1);
        }
    }

    fn clear(&mut self) {
        self.calls.clear();
        self.slow.clear();
        self.probes = 0;
    }

    fn consecutive_failures(&self) -> u32 {
        self.calls.consecutive_failures()
    }

    fn ignores_success(&self) -> bool {
        false
    }

    fn times_calls(&self) -> bool {
        true
    }

    fn counts(&self) -> Option<Counts> {
        Some(Counts { slow: self.slow.tally().failed, ..self.calls.tally() })
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict {
        let slow: Rate = self.slow.rate();
        match self.calls.judge(good, bad, probes, success_threshold) {
            Verdict::Works if slow.is_exceeded(self.probes, good + bad) => Verdict::Fails,
            verdict => verdict,
        }
    }
}
