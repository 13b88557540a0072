//! An open wait that grows by a strategy and is not in step with others.

use super::mode::sealed::{self, Verdict};
use super::{Cause, ConfigError, Counts, Mode};
use crate::reliability::retry::{self, Attempts, Decision, Jitter, Retry, Strategy};
use crate::time::{Duration, Instant};

/// Says how the open wait grows with each opening in a row, and how chance changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Growth {
    /// How the wait grows, from `recovery_timeout` up to `recovery_timeout_max`.
    pub strategy: Strategy,
    /// How chance changes it. [`Jitter::Full`] may choose no wait at all, [`Jitter::Equal`] and
    /// [`Jitter::Factor`] keep most of it.
    pub jitter: Jitter,
}

impl Growth {
    /// Doubles, and takes up to a fifth off or puts it on.
    pub const DEFAULT: Self = Self { strategy: Strategy::EXPONENTIAL, jitter: Jitter::Factor(20) };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self.retry(Duration::from_nanos(1), Duration::MAX).validate() {
            Ok(()) => Ok(()),
            Err(error) => Err(ConfigError::Growth(error)),
        }
    }

    /// The retries whose waits are the breaker's.
    const fn retry(self, initial_delay: Duration, max_delay: Duration) -> retry::Config {
        retry::Config {
            max_attempts: Attempts::Forever,
            initial_delay,
            max_delay,
            strategy: self.strategy,
            jitter: self.jitter,
            ..retry::Config::DEFAULT
        }
    }
}

impl Default for Growth {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The waits of one run of openings.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    growth: Growth,
    seed: u64,
    run: Option<Retry>,
}

/// 2^64 divided by the golden ratio: seeds that follow each other by it are all different and far apart.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Waits {
    pub(super) const fn new(growth: Growth, seed: u64) -> Self {
        Self { growth, seed, run: None }
    }

    pub(super) const fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        self.run = None;
    }

    pub(super) fn next(&mut self, base: Duration, max: Duration, openings: u8, now: Instant) -> Duration {
        if openings == 0 {
            self.run = None;
        }
        if self.run.is_none() {
            self.seed = self.seed.wrapping_add(SEED_STEP);
        }
        let run = self.run.get_or_insert_with(|| Retry::new(self.growth.retry(base, max), self.seed, now));
        match run.next(now) {
            Decision::Retry { after } => after,
            // Does not come: it may go on for ever.
            Decision::Stop { .. } => max,
        }
    }
}

/// Lets the open wait of any mode grow by a strategy of [`retry`], with jitter.
///
/// For a fleet: without jitter, all that saw one outage probe at the same moment. Where doubling
/// alone will do, `recovery_timeout_max` in the [`Config`](super::Config) does it in less flash.
///
/// # Rules
/// 1. The n-th opening in a row waits as long as the n-th retry would, with `recovery_timeout` for the
///    initial delay and `recovery_timeout_max` for the longest (without it, the wait does not grow).
/// 2. No wait exceeds `recovery_timeout_max`, jitter included.
/// 3. A success after closing starts it over.
/// 4. The waits follow from the config, the seed and the openings alone. There is no default seed: a
///    fleet with one seed probes in step.
///
/// # Cost
/// Around [`Consecutive`](super::Consecutive), 248 bytes of RAM and 2,328 of flash on thumbv6m (image
/// `breaker_backoff`), the breaker included. Calls cost what the mode's do, an opening what a decision
/// of [`Retry`] does.
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Backoff, Breaker, Config, Consecutive, Growth};
/// use daur_core::reliability::retry::{Jitter, Strategy};
/// use daur_core::time::{Duration, Instant};
///
/// const CONFIG: Config = Config { recovery_timeout_max: Some(Duration::from_secs(600)), ..Config::DEFAULT };
/// const GROWTH: Growth = Growth { strategy: Strategy::Fibonacci, jitter: Jitter::Equal };
/// let device_id = 7;
/// let mut breaker = Breaker::with_mode(CONFIG, Backoff::new(Consecutive::new(1), GROWTH, device_id));
///
/// let now = Instant::ZERO;
/// let permit = breaker.try_acquire(now)?;
/// breaker.on_failure(permit, now);
/// let retry_at = breaker.try_acquire(now).unwrap_err().retry_at;
/// assert!(retry_at >= Instant::from_secs(30) && retry_at <= Instant::from_secs(60));
/// # Ok::<(), daur_core::reliability::breaker::Open>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backoff<M> {
    mode: M,
    waits: Waits,
}

impl<M: Mode> Backoff<M> {
    /// `mode`, with a wait that grows. `seed` decides the jitter: the device's id, an entropy source.
    ///
    /// # Panics
    /// If `growth` is invalid: in a `static` or `const`, an error of the compiler. One that is read at
    /// run time goes to [`Backoff::try_new`].
    #[must_use]
    pub const fn new(mode: M, growth: Growth, seed: u64) -> Self {
        assert!(growth.validate().is_ok(), "invalid breaker::Growth: see Growth::validate");
        Self { mode, waits: Waits::new(growth, seed) }
    }

    /// `mode`, with a wait that grows, if `growth` is valid.
    ///
    /// # Errors
    /// What [`Growth::validate`] says.
    pub fn try_new(mode: M, growth: Growth, seed: u64) -> Result<Self, ConfigError> {
        growth.validate()?;
        Ok(Self { mode, waits: Waits::new(growth, seed) })
    }

    /// Replaces the seed: where it is not known yet when a `static` is made.
    pub(super) const fn reseed(&mut self, seed: u64) {
        self.waits.reseed(seed);
    }
}

impl<M: Mode> Mode for Backoff<M> {
    const TIMES_CALLS: bool = M::TIMES_CALLS;
}

impl<M: Mode> sealed::Mode for Backoff<M> {
    fn on_success(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        self.mode.on_success(took, now)
    }

    fn on_failure(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        self.mode.on_failure(took, now)
    }

    fn on_probe(&mut self, took: Duration) {
        self.mode.on_probe(took);
    }

    fn clear(&mut self) {
        self.mode.clear();
    }

    fn consecutive_failures(&self) -> u32 {
        self.mode.consecutive_failures()
    }

    fn ignores_success(&self) -> bool {
        self.mode.ignores_success()
    }

    fn times_calls(&self) -> bool {
        self.mode.times_calls()
    }

    fn counts(&self) -> Option<Counts> {
        self.mode.counts()
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict {
        self.mode.judge(good, bad, probes, success_threshold)
    }

    fn wait(&mut self, base: Duration, max: Duration, openings: u8, now: Instant) -> Duration {
        self.waits.next(base, max, openings, now)
    }
}
