//! Tries again after a failure, with a wait that grows and is not in step with others.

use core::fmt;

mod config;
mod run;

pub use config::{Attempts, Config, ConfigError, Jitter, Strategy};
pub use run::{Run, Wait};

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Says what to make of a failure; a classifier over the caller's own error gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Class {
    /// The callee failed and may do better next time.
    Transient,
    /// Likewise, and it has said not to come back earlier (HTTP's `Retry-After`).
    TransientAfter(Duration),
    /// The callee failed and will not do better: no retry, but a breaker counts it.
    Permanent,
    /// The call was wrong, or nobody wants it any more: no retry, and a breaker does not count it.
    Ignored,
}

/// Says why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// `max_attempts` calls have been made.
    Exhausted,
    /// `max_elapsed` is over, or would be before the callee wants to be asked again.
    Elapsed,
    /// The failure is one that a retry does not help.
    NotRetryable,
    /// The [`budget`](super::budget) that is shared with others does not pay for a retry.
    Budget,
    /// Nobody wants the answer any more.
    Cancelled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "all attempts were used",
            Self::Elapsed => "no time was left",
            Self::NotRetryable => "a retry would not help",
            Self::Budget => "the retry budget is used up",
            Self::Cancelled => "it was cancelled",
        })
    }
}

/// Says what to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Decision {
    /// Wait, then call again.
    Retry {
        /// How long.
        after: Duration,
    },
    /// Give up.
    Stop {
        /// Why.
        reason: Reason,
    },
}

/// Gives back the last error of a run that a runner has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GaveUp<E> {
    /// The last call's error.
    pub error: E,
    /// Why there was no further call.
    pub reason: Reason,
    /// Calls made.
    pub attempts: u32,
}

impl<E: fmt::Display> fmt::Display for GaveUp<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} attempts: {})", self.error, self.attempts, self.reason)
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for GaveUp<E> {}

/// Decides after each failed call whether and when to try again (`retry`, `RetryConfig`).
///
/// One value is one run of calls; it waits for nothing itself. A [`Run`] adds a budget and
/// cancellation; the runners in [`hal`](crate::hal) and `daur-std` make the calls and the waits. To
/// stop calling what stays broken, use the [`executor`](super::executor), which adds a breaker.
///
/// # Rules
/// 1. The first call is made without asking; each failure is reported with `next`, which answers.
/// 2. No computed wait exceeds `max_delay`, jitter included; nothing wraps, however many attempts. What
///    chance decides is drawn from below `max_delay`, and not cut to it, which would put a fleet in step.
/// 3. `max_elapsed` counts calls and waits; the last wait is cut to what is left, and there is no
///    retry when nothing is.
/// 4. A hint replaces the computed wait, which is then never shorter; one beyond what is left of
///    `max_elapsed` stops with [`Reason::Elapsed`].
/// 5. After a stable period of `reset_after` everything starts over.
/// 6. The waits follow from the config, the seed and the failures alone. There is no default seed:
///    a fleet with one seed retries in step.
/// 7. A clock that steps backwards does not end a run early and never panics. Nor does an invalid
///    config: what [`Config::validate`] refuses merely makes little sense.
///
/// # Cost
/// 128 bytes of RAM and 1,744 of flash on thumbv6m (image `retry`), most of the RAM being the config. A
/// decision is O(1): `Exponential` takes at most 64 multiplications, `Fibonacci` 93 additions. The
/// generator for the jitter is made anew from seed and attempt at each decision, so that a run
/// without failures costs nothing.
///
/// # Errors
/// None: [`Decision::Stop`] gives the reason.
///
/// # Sharing
/// Each run has its own. Dropping it at any time loses nothing.
///
/// # Example
/// ```
/// use daur_core::reliability::retry::{Attempts, Config, Decision, Jitter, Reason, Retry};
/// use daur_core::time::{Duration, Instant};
///
/// const CONFIG: Config = Config {
///     max_attempts: Attempts::Limited(3),
///     initial_delay: Duration::from_millis(100),
///     jitter: Jitter::None,
///     ..Config::DEFAULT
/// }
/// .checked();
/// let mut now = Instant::ZERO;
/// let mut retry = Retry::new(CONFIG, 7, now);
/// // The first call failed, and the second, and the third.
/// assert_eq!(retry.next(now), Decision::Retry { after: Duration::from_millis(100) });
/// now += Duration::from_millis(100);
/// assert_eq!(retry.next(now), Decision::Retry { after: Duration::from_millis(200) });
/// now += Duration::from_millis(200);
/// assert_eq!(retry.next(now), Decision::Stop { reason: Reason::Exhausted });
/// ```
///
/// # References
/// M. Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015; RFC 9110, 10.2.3.
#[derive(Clone, Debug)]
pub struct Retry {
    config: Config,
    seed: u64,
    started: Instant,
    /// When the call that may fail next was due.
    due: Instant,
    /// The last wait as it was computed, for `Decorrelated`.
    previous: Duration,
    failures: u32,
}

impl Retry {
    /// A run that begins now. `seed` decides the jitter: give each run of each device another one.
    #[must_use]
    pub const fn new(config: Config, seed: u64, now: Instant) -> Self {
        Self { config, seed, started: now, due: now, previous: config.initial_delay, failures: 0 }
    }

    /// Replaces the seed: where it is asked for at the first failure only.
    pub const fn reseed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// A call failed: whether and when to make the next one.
    pub fn next(&mut self, now: Instant) -> Decision {
        self.decide(None, now)
    }

    /// A call failed and the callee said how long to stay away.
    pub fn next_after(&mut self, hint: Duration, now: Instant) -> Decision {
        self.decide(Some(hint), now)
    }

    /// A call failed in a way that no retry helps.
    pub fn not_retryable(&mut self) -> Decision {
        self.failures = self.failures.saturating_add(1);
        Decision::Stop { reason: Reason::NotRetryable }
    }

    /// A call failed, and a classifier has judged how.
    pub fn on_failure(&mut self, class: Class, now: Instant) -> Decision {
        match class {
            Class::Transient => self.next(now),
            Class::TransientAfter(hint) => self.next_after(hint, now),
            Class::Permanent | Class::Ignored => self.not_retryable(),
        }
    }

    /// Failures reported since the start, or since everything started over.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot { failures: self.failures, started: self.started, due: self.due }
    }

    fn decide(&mut self, hint: Option<Duration>, now: Instant) -> Decision {
        if self.config.reset_after.is_some_and(|stable| now - self.due >= stable) {
            *self = Self::new(self.config, self.seed.rotate_left(1), now);
        }
        self.failures = self.failures.saturating_add(1);
        if let Attempts::Limited(limit) = self.config.max_attempts
            && self.failures >= limit
        {
            return Decision::Stop { reason: Reason::Exhausted };
        }
        let computed = self.delay();
        let mut after = match hint {
            None => computed,
            Some(hint) if self.config.cap_hint => hint.min(self.config.max_delay),
            Some(hint) => hint,
        };
        if let Some(limit) = self.config.max_elapsed {
            let left = limit - (now - self.started);
            // A wait that was computed may end early; one that the callee asked for may not.
            if left.is_zero() || (hint.is_some() && after > left) {
                return Decision::Stop { reason: Reason::Elapsed };
            }
            after = after.min(left);
        }
        self.previous = computed;
        self.due = now + after;
        Decision::Retry { after }
    }

    fn delay(&self) -> Duration {
        let Config { initial_delay, max_delay, jitter, .. } = self.config;
        // Warmed up by `Rng::new`, so that neighbouring seeds and attempts have nothing in common.
        let mut rng = Rng::new(self.seed ^ (u64::from(self.failures) << 40));
        // Capped before the jitter too, and so is each range that is drawn from: what is drawn beyond the
        // cap would be cut to exactly the cap, and the fleet be in step again.
        let planned = self.planned(&mut rng).min(max_delay).as_nanos();
        let (low, high) = match jitter {
            Jitter::None => (planned, planned),
            Jitter::Full => (0, planned),
            Jitter::Equal => (planned / 2, planned / 2 * 2),
            Jitter::Decorrelated => {
                (initial_delay.as_nanos(), (self.previous + self.previous + self.previous).as_nanos())
            }
            Jitter::Factor(percent) => {
                let part = percent_of(planned, percent);
                (planned - part, planned.saturating_add(part))
            }
        };
        Duration::from_nanos(rng.between(low, high.min(max_delay.as_nanos()))).min(max_delay)
    }

    /// What the strategy alone would wait.
    fn planned(&self, rng: &mut Rng) -> Duration {
        let n = self.failures;
        let times = match self.config.strategy {
            Strategy::Constant => 1,
            Strategy::Linear => u64::from(n),
            Strategy::Exponential { factor } => power(factor, n.saturating_sub(1)),
            Strategy::Fibonacci => fibonacci(n),
            Strategy::Random { min, max } => {
                let max = max.min(self.config.max_delay);
                return Duration::from_nanos(rng.between(min.as_nanos(), max.as_nanos()));
            }
        };
        self.config.initial_delay.times(times)
    }
}

/// So many percent of `nanos`, rounded down by at most 1 in 65,536; never more than `nanos` itself.
///
/// Without a division: that of u64 by 100 alone would be 1.3 KB of flash on a Cortex-M0.
const fn percent_of(nanos: u64, percent: u8) -> u64 {
    let percent = if percent > 100 { 100 } else { percent as u64 };
    // percent * 65536 / 100, which is percent * 655.36: 23,594 / 65,536 is just above 0.36.
    let share = percent * 655 + ((percent * 23_594) >> 16);
    (nanos >> 16) * share + (((nanos & 0xFFFF) * share) >> 16)
}

/// `factor` to the power of `n`; saturates.
///
/// A factor of 2 or more has saturated after 64 steps, so that they are counted no further.
const fn power(factor: u32, n: u32) -> u64 {
    let mut product = 1_u64;
    let mut i = if n < 64 { n } else { 64 };
    while i > 0 {
        product = product.saturating_mul(factor as u64);
        i -= 1;
    }
    product
}

/// 1, 1, 2, 3, 5, ..; saturates from the 94th on.
const fn fibonacci(n: u32) -> u64 {
    let (mut a, mut b) = (0_u64, 1_u64);
    let mut i = 1;
    while i < n && b != u64::MAX {
        (a, b) = (b, a.saturating_add(b));
        i += 1;
    }
    b
}

/// Shows a [`Retry`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Failures so far.
    pub failures: u32,
    /// When the run began.
    pub started: Instant,
    /// When the next call is due, or the last one was.
    pub due: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_without_division_is_as_good_as_one_with_it() {
        for percent in 0..=u8::MAX {
            for nanos in [0, 1, 7, 99, 65_535, 65_536, 1_000_000_007, u64::MAX / 3, u64::MAX] {
                let exact = (u128::from(nanos) * u128::from(percent.min(100)) / 100) as u64;
                let fast = percent_of(nanos, percent);
                assert!(fast <= exact && exact - fast <= nanos / 65_536 + 1, "{percent} % of {nanos}: {fast}");
            }
        }
        assert_eq!((percent_of(200, 50), percent_of(u64::MAX, 100)), (100, u64::MAX));
    }

    #[test]
    fn a_power_by_steps_is_the_power() {
        for factor in [0, 1, 2, 3, 10, u32::MAX] {
            for n in [0, 1, 2, 5, 31, 32, 63, 64, 65, 100_000, u32::MAX] {
                assert_eq!(power(factor, n), u64::from(factor).saturating_pow(n), "{factor}^{n}");
            }
        }
    }

    #[test]
    fn fibonacci_saturates_instead_of_wrapping() {
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(fibonacci), [1, 1, 2, 3, 5, 8, 13]);
        assert_eq!(fibonacci(93), 12_200_160_415_121_876_738);
        assert_eq!((fibonacci(94), fibonacci(u32::MAX)), (u64::MAX, u64::MAX));
    }
}
