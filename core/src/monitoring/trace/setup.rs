//! Which machines there are, and with which configs they began.

use super::code::{Bytes, Get, Put, number};
use crate::monitoring::errors;
use crate::performance::cache;
use crate::reliability::retry::{Attempts, Jitter, Strategy};
use crate::reliability::{breaker, budget, bulkhead, executor, health, limiter, retry};
use crate::text::Text;

/// Names a machine in a trace.
pub type Name = Text<16>;

/// Says what a machine is and how it was made: all that is needed to make it again, as it was at its beginning.
///
/// Append-only, as [`Input`](super::Input) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Setup {
    /// An executor whose breaker counts failures in a row, with nobody in line: [`executor::Executor::new`].
    Executor {
        /// Its config.
        config: executor::Config,
        /// What its runs' jitter began from.
        seed: u64,
    },
    /// A breaker that counts failures in a row: [`breaker::Breaker::new`].
    Breaker {
        /// Its config.
        config: breaker::Config,
    },
    /// One run of retries; it begins when it is declared.
    Retry {
        /// Its config.
        config: retry::Config,
        /// What its jitter began from.
        seed: u64,
    },
    /// A limiter.
    Limiter {
        /// Its config.
        config: limiter::Config,
    },
    /// A cache of numbers by numbers, which drops the least recently used: [`cache::Lru`].
    Cache {
        /// Its config.
        config: cache::Config,
        /// Entries that it can hold.
        capacity: u16,
    },
    /// Health, without checks yet.
    Health {
        /// Its config.
        config: health::Config,
        /// Checks that it can hold.
        checks: u8,
    },
    /// A tracker of errors, with kinds and messages of the default lengths.
    Errors {
        /// Its config.
        config: errors::Config,
        /// Kinds that it counts at a time.
        kinds: u8,
        /// Errors that it keeps.
        last: u8,
    },
}

impl Setup {
    /// The kind of machine in small letters: `breaker`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Executor { .. } => "executor",
            Self::Breaker { .. } => "breaker",
            Self::Retry { .. } => "retry",
            Self::Limiter { .. } => "limiter",
            Self::Cache { .. } => "cache",
            Self::Health { .. } => "health",
            Self::Errors { .. } => "errors",
        }
    }
}

impl Put for Setup {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Executor { config, seed } => {
                out(0);
                config.put(out);
                seed.put(out);
            }
            Self::Breaker { config } => {
                out(1);
                config.put(out);
            }
            Self::Retry { config, seed } => {
                out(2);
                config.put(out);
                seed.put(out);
            }
            Self::Limiter { config } => {
                out(3);
                config.put(out);
            }
            Self::Cache { config, capacity } => {
                out(4);
                config.put(out);
                capacity.put(out);
            }
            Self::Health { config, checks } => {
                out(5);
                config.put(out);
                checks.put(out);
            }
            Self::Errors { config, kinds, last } => {
                out(6);
                config.put(out);
                kinds.put(out);
                last.put(out);
            }
        }
    }
}

impl Get for Setup {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::Executor { config: Get::get(from)?, seed: Get::get(from)? },
            1 => Self::Breaker { config: Get::get(from)? },
            2 => Self::Retry { config: Get::get(from)?, seed: Get::get(from)? },
            3 => Self::Limiter { config: Get::get(from)? },
            4 => Self::Cache { config: Get::get(from)?, capacity: Get::get(from)? },
            5 => Self::Health { config: Get::get(from)?, checks: Get::get(from)? },
            6 => Self::Errors { config: Get::get(from)?, kinds: Get::get(from)?, last: Get::get(from)? },
            _ => return None,
        })
    }
}

fields! {
    executor::Config { retry, budget, breaker, bulkhead, total_timeout, attempt_timeout, open_wait }
    breaker::Config { failures, recovery_timeout, recovery_timeout_max, probes, success_threshold, probe_lease }
    bulkhead::Config { max_concurrent, max_waiting, max_wait }
    retry::Config {
        max_attempts, initial_delay, max_delay, strategy, jitter, max_elapsed, reset_after, cap_hint,
    }
    limiter::Config { rate, period, burst }
    cache::Config { ttl, idle }
    health::Config { empty }
    health::CheckConfig { kind, success_threshold, failure_threshold, timeout, period, max_age }
    errors::Config { window }
}

choices! {
    health::Status { 0 = Healthy, 1 = Degraded, 2 = Unknown, 3 = Unhealthy }
    health::Kind { 0 = Liveness, 1 = Readiness, 2 = Startup }
    health::Outcome { 0 = Pass, 1 = Degraded, 2 = Fail, 3 = Panicked, 4 = TimedOut, 5 = Stale }
}

impl Put for Attempts {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Forever => out(0),
            Self::Limited(attempts) => {
                out(1);
                attempts.put(out);
            }
        }
    }
}

impl Get for Attempts {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::Forever,
            1 => Self::Limited(Get::get(from)?),
            _ => return None,
        })
    }
}

impl Put for Strategy {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Constant => out(0),
            Self::Linear => out(1),
            Self::Exponential { factor } => {
                out(2);
                factor.put(out);
            }
            Self::Fibonacci => out(3),
            Self::Random { min, max } => {
                out(4);
                min.put(out);
                max.put(out);
            }
        }
    }
}

impl Get for Strategy {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::Constant,
            1 => Self::Linear,
            2 => Self::Exponential { factor: Get::get(from)? },
            3 => Self::Fibonacci,
            4 => Self::Random { min: Get::get(from)?, max: Get::get(from)? },
            _ => return None,
        })
    }
}

impl Put for Jitter {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::None => out(0),
            Self::Full => out(1),
            Self::Equal => out(2),
            Self::Decorrelated => out(3),
            Self::Factor(percent) => {
                out(4);
                percent.put(out);
            }
        }
    }
}

impl Get for Jitter {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::None,
            1 => Self::Full,
            2 => Self::Equal,
            3 => Self::Decorrelated,
            4 => Self::Factor(Get::get(from)?),
            _ => return None,
        })
    }
}

impl Put for budget::Config {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        let mut numbers = |kind, numbers: &[u32]| {
            out(kind);
            for &each in numbers {
                number(each.into(), out);
            }
        };
        match *self {
            Self::TokenBucket { capacity, retry_cost, first_try_gain } => {
                numbers(0, &[capacity, retry_cost, first_try_gain]);
            }
            Self::Ratio { percent, max_saved } => numbers(1, &[percent.into(), max_saved]),
        }
    }
}

impl Get for budget::Config {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::TokenBucket {
                capacity: Get::get(from)?,
                retry_cost: Get::get(from)?,
                first_try_gain: Get::get(from)?,
            },
            1 => Self::Ratio { percent: Get::get(from)?, max_saved: Get::get(from)? },
            _ => return None,
        })
    }
}
