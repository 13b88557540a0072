//! Any of the modes, by a config that is read at run time.

use super::backoff::Waits;
use super::mode::sealed::{self, Verdict};
use super::{
    Cause, ConfigError, Consecutive, CountWindow, Counts, Growth, Mode, Slow, SlowCalls, Span, TimeWindow, Window,
};
use crate::time::{Duration, Instant};

/// Names what opens a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Opens {
    /// So many failures in a row: the `failures` of the breaker's [`Config`](super::Config).
    #[default]
    Consecutive,
    /// A rate of the latest calls.
    CountWindow(Window),
    /// A rate of the latest time.
    TimeWindow(Span),
}

/// Says which mode an [`Any`] is.
///
/// With the feature `serde` it reads from a text such as `opens = { count_window = { calls = 100 } }`;
/// what is left out has its default, a field that it does not know is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModeConfig {
    /// What opens it.
    pub opens: Opens,
    /// Whether slow calls open it too; a window's only.
    pub slow: Option<SlowCalls>,
    /// How the open wait grows; `None` doubles it up to `recovery_timeout_max`.
    pub growth: Option<Growth>,
}

impl ModeConfig {
    /// So many failures in a row, nothing else.
    pub const DEFAULT: Self = Self { opens: Opens::Consecutive, slow: None, growth: None };

    /// Checks the parts, for windows of so many words and buckets.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, words: usize, buckets: usize) -> Result<(), ConfigError> {
        let opens = match (self.opens, self.slow) {
            (Opens::Consecutive, None) => Ok(()),
            (Opens::Consecutive, Some(_)) => Err(ConfigError::SlowNeedsWindow),
            (Opens::CountWindow(window), _) => window.validate(words),
            (Opens::TimeWindow(span), _) => span.validate(buckets),
        };
        if let Err(error) = opens {
            return Err(error);
        }
        if let Some(slow) = self.slow
            && let Err(error) = slow.validate()
        {
            return Err(error);
        }
        match self.growth {
            Some(growth) => growth.validate(),
            None => Ok(()),
        }
    }
}

/// Is any of the modes, as a config that is read at run time says.
///
/// For hosts. A device knows its mode when it is built: there name the mode itself, which links
/// nothing of the others.
///
/// # Rules
/// 1. It does what the mode that [`ModeConfig::opens`] names does, with `slow` inside [`Slow`].
/// 2. Its wait grows as `growth` says, as with [`Backoff`](super::Backoff), or else doubles.
/// 3. What one of its parts would refuse, it refuses; so it does `slow` without a window.
///
/// It is as large as the largest of its modes, two windows, and its waits: some 350 bytes, and 8 for each
/// word or 16 for each bucket, whichever is more. A call costs what the mode's does and a branch; only
/// with `slow` is a call timed.
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Any, Breaker, Config, ModeConfig, Opens, SlowCalls, Span};
///
/// let mode = ModeConfig {
///     opens: Opens::TimeWindow(Span::DEFAULT),
///     slow: Some(SlowCalls::DEFAULT),
///     ..ModeConfig::DEFAULT
/// };
/// let seed = 7;
/// let breaker = Breaker::<Any<4, 10>>::try_any(Config::DEFAULT, mode, seed)?;
/// assert!(breaker.fast().times_calls);
/// # Ok::<(), daur_core::reliability::breaker::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Any<const WORDS: usize, const BUCKETS: usize> {
    kind: Kind<WORDS, BUCKETS>,
    waits: Option<Waits>,
}

#[derive(Clone, Debug)]
enum Kind<const WORDS: usize, const BUCKETS: usize> {
    Consecutive(Consecutive),
    CountWindow(CountWindow<WORDS>),
    TimeWindow(TimeWindow<BUCKETS>),
    SlowCount(Slow<CountWindow<WORDS>>),
    SlowTime(Slow<TimeWindow<BUCKETS>>),
}

impl<const WORDS: usize, const BUCKETS: usize> Any<WORDS, BUCKETS> {
    /// The mode that `config` names, if it is valid; `failures` are the breaker's, `seed` decides the
    /// jitter of the waits.
    ///
    /// # Errors
    /// What [`ModeConfig::validate`] says.
    pub fn try_new(config: ModeConfig, failures: u32, seed: u64) -> Result<Self, ConfigError> {
        config.validate(WORDS, BUCKETS)?;
        let kind = match (config.opens, config.slow) {
            (Opens::Consecutive, _) => Kind::Consecutive(Consecutive::new(failures)),
            (Opens::CountWindow(window), None) => Kind::CountWindow(CountWindow::try_new(window)?),
            (Opens::CountWindow(window), Some(slow)) => Kind::SlowCount(Slow::try_of_calls(window, slow)?),
            (Opens::TimeWindow(span), None) => Kind::TimeWindow(TimeWindow::try_new(span)?),
            (Opens::TimeWindow(span), Some(slow)) => Kind::SlowTime(Slow::try_of_time(span, slow)?),
        };
        Ok(Self { kind, waits: config.growth.map(|growth| Waits::new(growth, seed)) })
    }

    pub(super) const fn reseed(&mut self, seed: u64) {
        if let Some(waits) = &mut self.waits {
            waits.reseed(seed);
        }
    }
}

/// Asks the mode that it is.
macro_rules! delegate {
    ($self:ident.$verb:ident($($argument:expr),*)) => {
        match &$self.kind {
            Kind::Consecutive(mode) => mode.$verb($($argument),*),
            Kind::CountWindow(mode) => mode.$verb($($argument),*),
            Kind::TimeWindow(mode) => mode.$verb($($argument),*),
            Kind::SlowCount(mode) => mode.$verb($($argument),*),
            Kind::SlowTime(mode) => mode.$verb($($argument),*),
        }
    };
    (mut $self:ident.$verb:ident($($argument:expr),*)) => {
        match &mut $self.kind {
            Kind::Consecutive(mode) => mode.$verb($($argument),*),
            Kind::CountWindow(mode) => mode.$verb($($argument),*),
            Kind::TimeWindow(mode) => mode.$verb($($argument),*),
            Kind::SlowCount(mode) => mode.$verb($($argument),*),
            Kind::SlowTime(mode) => mode.$verb($($argument),*),
        }
    };
}

impl<const WORDS: usize, const BUCKETS: usize> Mode for Any<WORDS, BUCKETS> {
    const TIMES_CALLS: bool = true;
}

impl<const WORDS: usize, const BUCKETS: usize> sealed::Mode for Any<WORDS, BUCKETS> {
    fn on_success(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        delegate!(mut self.on_success(took, now))
    }

    fn on_failure(&mut self, took: Duration, now: Instant) -> Option<Cause> {
        delegate!(mut self.on_failure(took, now))
    }

    fn on_probe(&mut self, took: Duration) {
        delegate!(mut self.on_probe(took));
    }

    fn clear(&mut self) {
        delegate!(mut self.clear());
    }

    fn consecutive_failures(&self) -> u32 {
        delegate!(self.consecutive_failures())
    }

    fn ignores_success(&self) -> bool {
        delegate!(self.ignores_success())
    }

    fn times_calls(&self) -> bool {
        delegate!(self.times_calls())
    }

    fn counts(&self) -> Option<Counts> {
        delegate!(self.counts())
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, success_threshold: u32) -> Verdict {
        delegate!(self.judge(good, bad, probes, success_threshold))
    }

    fn wait(&mut self, base: Duration, max: Duration, openings: u8, now: Instant) -> Duration {
        match &mut self.waits {
            Some(waits) => waits.next(base, max, openings, now),
            None => delegate!(mut self.wait(base, max, openings, now)),
        }
    }
}
