//! Lets so many through per period, and says when the next one may come.

use core::fmt;

use crate::time::{Duration, Instant};

/// Says how many may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How many pass per `period` in the long run; at least 1.
    pub rate: u32,
    /// The period that `rate` is counted in; at least `rate` nanoseconds.
    pub period: Duration,
    /// How many may pass at once after a rest; at least 1.
    pub burst: u32,
}

impl Config {
    /// 10 a second, 10 at once.
    pub const DEFAULT: Self = Self { rate: 10, period: Duration::from_secs(1), burst: 10 };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.rate == 0 {
            return Err(ConfigError::NoRate);
        }
        if self.burst == 0 {
            return Err(ConfigError::NoBurst);
        }
        if self.period.as_nanos() < self.rate as u64 {
            return Err(ConfigError::PeriodTooShort);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `rate` is 0.
    NoRate,
    /// `burst` is 0.
    NoBurst,
    /// `period` has fewer nanoseconds than `rate`.
    PeriodTooShort,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRate => "limiter: `rate` is 0; at least 1 is needed",
            Self::NoBurst => "limiter: `burst` is 0; at least 1 is needed",
            Self::PeriodTooShort => "limiter: `period` must have at least as many nanoseconds as `rate`",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says that one may not pass, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limited {
    /// The first moment at which one passes (or so many, for a `check_n`) if nobody else asks before.
    /// [`Instant::MAX`]: so many never pass together.
    pub retry_at: Instant,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rate limit is reached")
    }
}

impl core::error::Error for Limited {}

/// Holds a [`Config`] in the form that a check needs: two lengths of time, divided once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quota {
    /// The time that one passage uses up.
    interval: Duration,
    /// How far passages may run ahead of time: `burst - 1` intervals.
    ahead: Duration,
}

impl Quota {
    /// The quota of `config`.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(quota) => quota,
            Err(_) => panic!("invalid limiter::Config: see Config::validate"),
        }
    }

    /// The quota of `config`, if that is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        // Rounded up: a rate that does not divide the period is kept, never exceeded.
        let floor = config.period.per(config.rate as u64);
        let exact = floor.times(config.rate as u64).as_nanos() == config.period.as_nanos();
        let interval = if exact { floor } else { Duration::from_nanos(floor.as_nanos() + 1) };
        Ok(Self { interval, ahead: interval.times(config.burst as u64 - 1) })
    }

    /// The time that one passage uses up: `period / rate`, rounded up.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}

/// Counts what passed for one key, in one `u64`; the [`Quota`] is shared by all keys.
///
/// The state is the moment at which all that passed is paid for (the theoretical arrival time).
/// A fresh one has its whole burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gcra(u64);

impl Gcra {
    /// One that nothing has passed yet.
    pub const NEW: Self = Self(0);

    /// Lets one pass, if the quota allows it.
    ///
    /// # Errors
    /// [`Limited`] if it does not; this then counts for nothing.
    #[inline]
    pub fn check(&mut self, quota: &Quota, now: Instant) -> Result<(), Limited> {
        self.peek(quota, now)?;
        self.0 = self.paid().max(now).after(quota.interval).as_nanos();
        Ok(())
    }

    /// Lets `n` pass together or none of them: a request that weighs `n`, a block of `n` bytes.
    ///
    /// `n == 0` passes always.
    ///
    /// # Errors
    /// [`Limited`] if the quota does not allow it; this then counts for nothing. Its `retry_at` is
    /// [`Instant::MAX`] if `n` is above the burst: so many never pass together.
    pub fn check_n(&mut self, quota: &Quota, n: u32, now: Instant) -> Result<(), Limited> {
        let Some(others) = n.checked_sub(1) else { return Ok(()) };
        let more = quota.interval.times(u64::from(others));
        if more > quota.ahead {
            return Err(Limited { retry_at: Instant::MAX });
        }
        let retry_at = self.paid() - (quota.ahead - more);
        if retry_at > now {
            return Err(Limited { retry_at });
        }
        self.0 = self.paid().max(now).after(more).after(quota.interval).as_nanos();
        Ok(())
    }

    /// Whether one would pass; uses nothing up.
    ///
    /// # Errors
    /// [`Limited`] if it would not.
    #[inline]
    pub fn peek(&self, quota: &Quota, now: Instant) -> Result<(), Limited> {
        let retry_at = self.retry_at(quota);
        if retry_at > now { Err(Limited { retry_at }) } else { Ok(()) }
    }

    /// From when the next one passes; in the past if it passes now.
    #[must_use]
    #[inline]
    pub fn retry_at(&self, quota: &Quota) -> Instant {
        self.paid() - quota.ahead
    }

    /// Whether it is as good as new: a table of keys may forget it.
    #[must_use]
    pub const fn is_idle(&self, now: Instant) -> bool {
        self.0 <= now.as_nanos()
    }

    /// From when it is as good as new.
    #[must_use]
    pub const fn idle_at(&self) -> Instant {
        self.paid()
    }

    const fn paid(&self) -> Instant {
        Instant::from_nanos(self.0)
    }
}

/// Lets `rate` per `period` pass, and `burst` at once after a rest.
///
/// For one thing to limit. For many, by user or address, keep a [`Gcra`] of 8 bytes for each and one
/// [`Quota`]; on a host, `KeyedLimiter` of `daur-std` does that. To limit how many calls are under way
/// rather than how many begin, use a bulkhead. The seed's `SecurityManager` limits requests with it
/// (`check_rate_limit`).
///
/// # Rules
/// 1. `burst` pass at once after a rest of `burst` intervals; then one passes per `period / rate`.
/// 2. Refused just before `retry_at`, accepted exactly at it.
/// 3. A refusal uses nothing up, and neither does a peek.
/// 4. A clock that steps backwards lets nothing more through.
/// 5. `n` pass together or not at all; more than `burst` never do, and are told so.
/// 6. A rate that does not divide its period is rounded down, so never exceeded.
///
/// # Cost
/// 32 bytes of RAM and 156 of flash on thumbv6m (image `limiter`); with [`check_n`](Limiter::check_n) and its
/// 64-bit multiplication 32 bytes of RAM and 364 of flash on thumbv6m (image `limiter_n`). A [`Gcra`] alone is
/// 8 bytes. A check is a few 64-bit additions and comparisons, no division.
///
/// # Errors
/// [`Limited`], with the moment to come back at.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared). A check is all there is: nothing to cancel.
///
/// # Example
/// ```
/// use daur_core::reliability::limiter::{Config, Limiter};
/// use daur_core::time::{Duration, Instant};
///
/// let mut limiter = Limiter::new(Config { rate: 1, period: Duration::from_secs(10), burst: 2 });
/// let now = Instant::from_secs(100);
/// assert!(limiter.check(now).is_ok());
/// assert!(limiter.check(now).is_ok());
/// assert_eq!(limiter.check(now).unwrap_err().retry_at, Instant::from_secs(110));
/// assert!(limiter.check(Instant::from_secs(110)).is_ok());
/// ```
///
/// # References
/// ITU-T I.371, the Generic Cell Rate Algorithm in its virtual scheduling form.
#[derive(Clone, Debug)]
pub struct Limiter {
    quota: Quota,
    state: Gcra,
    refused: u32,
}

impl Limiter {
    /// A rested limiter.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { quota: Quota::new(config), state: Gcra::NEW, refused: 0 }
    }

    /// A rested limiter, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match Quota::try_new(config) {
            Ok(quota) => Ok(Self { quota, state: Gcra::NEW, refused: 0 }),
            Err(error) => Err(error),
        }
    }

    /// Lets one pass, if the rate allows it.
    ///
    /// # Errors
    /// [`Limited`] if it does not.
    #[doc(alias = "check_rate_limit")]
    pub fn check(&mut self, now: Instant) -> Result<(), Limited> {
        let checked = self.state.check(&self.quota, now);
        if checked.is_err() {
            self.refused = self.refused.saturating_add(1);
        }
        checked
    }

    /// Lets `n` pass together or none of them: a request that weighs `n`, a block of `n` bytes.
    ///
    /// `n == 0` passes always.
    ///
    /// # Errors
    /// [`Limited`] if the rate does not allow it, with [`Instant::MAX`] if `n` is above the burst.
    pub fn check_n(&mut self, n: u32, now: Instant) -> Result<(), Limited> {
        let checked = self.state.check_n(&self.quota, n, now);
        if checked.is_err() {
            self.refused = self.refused.saturating_add(1);
        }
        checked
    }

    /// Whether one would pass; uses nothing up and counts nothing.
    ///
    /// # Errors
    /// [`Limited`] if it would not.
    pub fn peek(&self, now: Instant) -> Result<(), Limited> {
        self.state.peek(&self.quota, now)
    }

    /// From when the next one passes; in the past if it passes now.
    #[must_use]
    pub fn retry_at(&self) -> Instant {
        self.state.retry_at(&self.quota)
    }

    /// Forgets what has passed: the whole burst is there again.
    pub const fn reset(&mut self) {
        self.state = Gcra::NEW;
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { refused: self.refused, retry_at: self.retry_at() }
    }
}

/// Shows a [`Limiter`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// How often it has said no.
    pub refused: u32,
    /// From when the next one passes; in the past if it passes now.
    pub retry_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rule_1_a_burst_passes_at_once_then_one_per_interval() {
        let mut limiter = Limiter::new(Config { rate: 4, period: SECOND, burst: 3 });
        let now = Instant::from_secs(5);
        let passed = (0..10).filter(|_| limiter.check(now).is_ok()).count();
        assert_eq!(passed, 3);
        let mut passed = 0;
        for ms in 1..=10_000 {
            passed += u32::from(limiter.check(now + Duration::from_millis(ms)).is_ok());
        }
        assert_eq!(passed, 40);
    }

    #[test]
    fn rule_2_refused_just_before_and_accepted_exactly_at_retry_at() {
        let mut limiter = Limiter::new(Config { rate: 3, period: SECOND, burst: 2 });
        let mut now = Instant::ZERO;
        for _ in 0..100 {
            let Err(refused) = limiter.check(now) else { continue };
            assert!(limiter.check(refused.retry_at - Duration::from_nanos(1)).is_err());
            now = refused.retry_at;
            assert!(limiter.check(now).is_ok());
        }
    }

    #[test]
    fn rule_3_a_refusal_uses_nothing_up() {
        let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 1 });
        assert!(limiter.check(Instant::from_secs(1)).is_ok());
        for _ in 0..1_000 {
            assert_eq!(limiter.check(Instant::from_secs(1)), Err(Limited { retry_at: Instant::from_secs(2) }));
        }
        assert!(limiter.check(Instant::from_secs(2)).is_ok());
    }

    #[test]
    fn rule_4_a_clock_that_steps_back_lets_nothing_more_through() {
        let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 1 });
        assert!(limiter.check(Instant::from_secs(100)).is_ok());
        assert!(limiter.check(Instant::from_secs(50)).is_err());
        assert!(limiter.check(Instant::ZERO).is_err());
        assert!(limiter.check(Instant::from_secs(101)).is_ok());
    }

    #[test]
    fn rule_5_so_many_pass_together_or_not_at_all() {
        let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 5 });
        let now = Instant::from_secs(100);
        assert_eq!(limiter.check_n(6, now), Err(Limited { retry_at: Instant::MAX }));
        assert!(limiter.check_n(0, now).is_ok());
        assert!(limiter.check_n(3, now).is_ok());
        assert_eq!(limiter.check_n(3, now), Err(Limited { retry_at: now + SECOND }));
        assert!(limiter.check_n(2, now).is_ok());
        assert_eq!(limiter.check_n(5, now), Err(Limited { retry_at: now + SECOND.times(5) }));
        assert!(limiter.check_n(5, now + SECOND.times(5)).is_ok());
        assert_eq!(limiter.snapshot().refused, 3);
    }

    #[test]
    fn a_reset_gives_the_burst_back() {
        let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 1 });
        assert!(limiter.check(Instant::from_secs(5)).is_ok());
        assert_eq!(limiter.peek(Instant::from_secs(5)), Err(Limited { retry_at: Instant::from_secs(6) }));
        limiter.reset();
        assert_eq!(limiter.peek(Instant::from_secs(5)), Ok(()));
        assert_eq!(limiter.retry_at(), Instant::ZERO);
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let mut limiter = Limiter::new(Config { rate: 1, period: Duration::MAX, burst: u32::MAX });
        for now in [Instant::MAX, Instant::ZERO, Instant::MAX] {
            let _ = limiter.check(now);
            let _ = limiter.check_n(u32::MAX, now);
        }
    }

    #[test]
    fn a_config_that_means_nothing_is_refused() {
        assert_eq!(Config { rate: 0, ..Config::DEFAULT }.validate(), Err(ConfigError::NoRate));
        assert_eq!(Config { burst: 0, ..Config::DEFAULT }.validate(), Err(ConfigError::NoBurst));
        let short = Config { rate: 10, period: Duration::from_nanos(9), burst: 1 };
        assert_eq!(short.validate(), Err(ConfigError::PeriodTooShort));
    }
}
