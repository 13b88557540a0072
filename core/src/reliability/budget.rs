//! Lets many callers retry a little, and not all of them at once.

use core::fmt;

mod funds;

pub use funds::{Funds, Unlimited};

use super::retry::{Decision, Reason};

/// Says what pays for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Config {
    /// A full bucket that retries empty and successes fill: generous while things go well, and
    /// strict after a stretch of failures.
    TokenBucket {
        /// What it holds, and begins with; at least `retry_cost`.
        capacity: u32,
        /// What a retry takes, and gets back if its call succeeds; at least 1.
        retry_cost: u32,
        /// What a call brings that succeeds at the first try; at least 1, since nothing else brings
        /// back what failed retries took.
        first_try_gain: u32,
    },
    /// So many retries for a hundred first tries, counted from none: the load that retries add is
    /// never above this share.
    Ratio {
        /// From 1 to 1,000; 60 lets 10 first tries fund 6 retries.
        percent: u16,
        /// How many retries may be saved up, so that a good day does not fund a storm; from 1 to
        /// 1,000,000.
        max_saved: u32,
    },
}

impl Config {
    /// As the AWS SDKs: a bucket of 500 tokens, 5 for a retry, 1 back for a success at the first try.
    pub const DEFAULT: Self = Self::TokenBucket { capacity: 500, retry_cost: 5, first_try_gain: 1 };

    /// So many percent of the first tries, of which up to 100 retries may be saved up.
    #[must_use]
    pub const fn ratio(percent: u16) -> Self {
        Self::Ratio { percent, max_saved: 100 }
    }

    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::TokenBucket { retry_cost: 0, .. } => Err(ConfigError::NoCost),
            Self::TokenBucket { first_try_gain: 0, .. } => Err(ConfigError::NoGain),
            Self::TokenBucket { capacity, retry_cost, .. } if capacity < retry_cost => Err(ConfigError::Capacity),
            Self::Ratio { percent: 0 | 1_001.., .. } => Err(ConfigError::Percent),
            Self::Ratio { max_saved: 0 | 1_000_001.., .. } => Err(ConfigError::MaxSaved),
            Self::TokenBucket { .. } | Self::Ratio { .. } => Ok(()),
        }
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
    /// `retry_cost` is 0.
    NoCost,
    /// `first_try_gain` is 0.
    NoGain,
    /// `capacity` is below `retry_cost`.
    Capacity,
    /// `percent` is 0 or above 1,000.
    Percent,
    /// `max_saved` is 0 or above 1,000,000.
    MaxSaved,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCost => "budget: `retry_cost` is 0; at least 1 is needed",
            Self::NoGain => "budget: `first_try_gain` is 0; at least 1 is needed, or an empty bucket stays empty",
            Self::Capacity => "budget: `capacity` is below `retry_cost`, so that there would never be a retry",
            Self::Percent => "budget: `percent` must be from 1 to 1000",
            Self::MaxSaved => "budget: `max_saved` must be from 1 to 1000000",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says that nothing pays for a retry now. There is no moment to come back at: other callers'
/// calls fill a budget, not time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the retry budget is used up")
    }
}

impl core::error::Error for Exhausted {}

/// Limits the retries of many callers together (beside `RetryConfig`, which limits those of one).
///
/// When everything fails, a thousand callers with three attempts each are three thousand calls: the
/// retries keep down what they wait for. One budget, shared by all who call the same thing, takes
/// that multiplication away; a [`breaker`](super::breaker) then stops the first tries as well.
///
/// # Rules
/// 1. A token bucket begins full; a retry takes `retry_cost`, and is refused if there is less.
/// 2. A success after retries brings the cost of the last one back, a success at the first try
///    `first_try_gain`; a bucket never holds more than `capacity`.
/// 3. A ratio begins empty and is exact: 10 first tries at 60 percent fund 6 retries, never 7.
/// 4. A ratio saves up to `max_saved` retries, and no more.
/// 5. A refusal takes nothing, and is counted.
/// 6. A retry that was paid for and not made gives all of it back.
/// 7. Time has no part in it: after a long idle it holds what it held, and is as quick.
///
/// # Cost
/// 32 bytes of RAM and 100 of flash on thumbv6m (image `budget`). Every verb is a few 32-bit additions
/// and comparisons, O(1), no division.
///
/// # Errors
/// [`Exhausted`].
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), which then is a [`Funds`] that the runners take.
/// They give a retry back whose wait is cancelled; who waits himself calls [`Budget::cancel_retry`].
///
/// # Example
/// ```
/// use daur_core::reliability::budget::{Budget, Config, Exhausted};
///
/// let mut budget = Budget::new(Config::ratio(60));
/// for _ in 0..10 {
///     budget.on_first_try();
/// }
/// let made = (0..10).filter(|_| budget.try_retry().is_ok()).count();
/// assert_eq!(made, 6);
/// assert_eq!(budget.try_retry(), Err(Exhausted));
/// ```
///
/// # References
/// AWS SDK, *Retry behavior*, standard mode; *Site Reliability Engineering*, chapter 21.
#[doc(alias("RetryBudget", "retry_quota", "TpsBudget"))]
#[derive(Clone, Debug)]
pub struct Budget {
    tokens: u32,
    capacity: u32,
    retry_cost: u32,
    /// Both modes are one bucket; they differ in when it is filled.
    first_try: u32,
    first_success: u32,
    retry_success: u32,
    funded: u32,
    refused: u32,
}

/// A ratio counts in hundredths of a retry: then a percentage is a whole number of them.
const HUNDREDTHS: u32 = 100;

impl Budget {
    /// A budget as `config` begins it.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Budget::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(budget) => budget,
            Err(_) => panic!("invalid budget::Config: see Config::validate"),
        }
    }

    /// A budget as `config` begins it, if that is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        Ok(match config {
            Config::TokenBucket { capacity, retry_cost, first_try_gain } => Self {
                tokens: capacity,
                capacity,
                retry_cost,
                first_try: 0,
                first_success: first_try_gain,
                retry_success: retry_cost,
                funded: 0,
                refused: 0,
            },
            Config::Ratio { percent, max_saved } => Self {
                tokens: 0,
                // At most 100,000,000, as `validate` has seen to.
                capacity: max_saved.saturating_mul(HUNDREDTHS),
                retry_cost: HUNDREDTHS,
                first_try: percent as u32,
                first_success: 0,
                retry_success: 0,
                funded: 0,
                refused: 0,
            },
        })
    }

    /// A call is made for the first time. Fills a ratio.
    pub fn on_first_try(&mut self) {
        self.fill(self.first_try);
    }

    /// Pays for a retry, before it is waited for.
    ///
    /// # Errors
    /// [`Exhausted`] if nothing does; do not retry.
    pub fn try_retry(&mut self) -> Result<(), Exhausted> {
        match self.tokens.checked_sub(self.retry_cost) {
            Some(left) => {
                self.tokens = left;
                self.funded = self.funded.saturating_add(1);
                Ok(())
            }
            None => {
                self.refused = self.refused.saturating_add(1);
                Err(Exhausted)
            }
        }
    }

    /// The last of so many calls of one run succeeded. Fills a token bucket.
    pub fn on_success(&mut self, attempts: u32) {
        self.fill(if attempts > 1 { self.retry_success } else { self.first_success });
    }

    /// A retry that was paid for is not made: its wait was cancelled.
    pub fn cancel_retry(&mut self) {
        self.funded = self.funded.saturating_sub(1);
        self.fill(self.retry_cost);
    }

    /// `decision` if it is no retry or a retry that is paid for; else to stop.
    pub fn decide(&mut self, decision: Decision) -> Decision {
        match decision {
            Decision::Retry { .. } if self.try_retry().is_err() => Decision::Stop { reason: Reason::Budget },
            decision => decision,
        }
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot {
            tokens: self.tokens,
            capacity: self.capacity,
            retry_cost: self.retry_cost,
            funded: self.funded,
            refused: self.refused,
        }
    }

    fn fill(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(self.capacity);
        self.invariants();
    }

    fn invariants(&self) {
        debug_assert!(self.tokens <= self.capacity && self.retry_cost > 0);
    }
}

/// Shows a [`Budget`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// What it holds; in a ratio, hundredths of a retry.
    pub tokens: u32,
    /// What it can hold.
    pub capacity: u32,
    /// What a retry takes.
    pub retry_cost: u32,
    /// Retries it has paid for.
    pub funded: u32,
    /// Retries it has refused.
    pub refused: u32,
}

impl Snapshot {
    /// How many retries it would pay for at once.
    #[must_use]
    pub const fn retries_left(&self) -> u32 {
        match self.tokens.checked_div(self.retry_cost) {
            Some(retries) => retries,
            None => 0,
        }
    }
}
