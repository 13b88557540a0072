//! What a balancer may be told.

use core::fmt;

use crate::time::Duration;

/// Says how many workers there are, and when one is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Workers at first, each of weight 1; at most the balancer's `N`, which is what `None` says.
    pub workers: Option<u16>,
    /// How long a ticket counts as load at least if nobody reports it; more than 0.
    pub lease: Duration,
    /// Tickets that one worker has at most; at least 1, `None` for no limit.
    pub max_load: Option<u32>,
    /// When a worker that fails gets no more work for a while; `None` for never.
    pub eject: Option<Eject>,
    /// If less than this share of the workers, in percent, is not ejected, those that are count again;
    /// 0 for never.
    pub panic_pct: u8,
}

impl Config {
    /// A lease of a minute, no limit, [`Eject::DEFAULT`], panic below 50 %.
    pub const DEFAULT: Self = Self {
        workers: None,
        lease: Duration::from_secs(60),
        max_load: None,
        eject: Some(Eject::DEFAULT),
        panic_pct: 50,
    };

    /// Checks the fields for a balancer with `places` places.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, places: usize) -> Result<(), ConfigError> {
        if let Some(workers) = self.workers
            && workers as usize > places
        {
            return Err(ConfigError::Workers);
        }
        if self.lease.is_zero() {
            return Err(ConfigError::NoLease);
        }
        if let Some(0) = self.max_load {
            return Err(ConfigError::NoLoad);
        }
        if self.panic_pct > 100 {
            return Err(ConfigError::PanicPct);
        }
        match self.eject {
            Some(eject) => eject.validate(),
            None => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says when a worker that fails is left out, for how long, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Eject {
    /// Failures in a row that eject it; at least 1.
    pub failures: u32,
    /// How long it is left out the first time; more than 0. Doubles with each ejection in a row.
    pub base: Duration,
    /// The longest that it is left out; not below `base`.
    pub max: Duration,
    /// Share of the workers, in percent, that may be left out at once; 1 to 100. Rounded down, but one
    /// of two or more in any case.
    pub max_pct: u8,
    /// How long its share of the work then takes to grow from an eighth to all of it; 0 for at once.
    pub ramp: Duration,
}

impl Eject {
    /// 5 failures, 30 s doubling up to 5 minutes, half of the workers at most, 10 s to come back.
    pub const DEFAULT: Self = Self {
        failures: 5,
        base: Duration::from_secs(30),
        max: Duration::from_secs(300),
        max_pct: 50,
        ramp: Duration::from_secs(10),
    };

    const fn validate(&self) -> Result<(), ConfigError> {
        if self.failures == 0 {
            return Err(ConfigError::NoFailures);
        }
        if self.base.is_zero() {
            return Err(ConfigError::NoBase);
        }
        if self.max.as_nanos() < self.base.as_nanos() {
            return Err(ConfigError::Max);
        }
        if self.max_pct == 0 || self.max_pct > 100 {
            return Err(ConfigError::MaxPct);
        }
        Ok(())
    }
}

impl Default for Eject {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `workers` is more than there are places.
    Workers,
    /// `lease` is zero.
    NoLease,
    /// `max_load` is 0.
    NoLoad,
    /// `panic_pct` is above 100.
    PanicPct,
    /// `failures` is 0.
    NoFailures,
    /// `base` is zero.
    NoBase,
    /// `max` is below `base`.
    Max,
    /// `max_pct` is not within 1 to 100.
    MaxPct,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workers => "balancer: `workers` is more than the type's `N` places",
            Self::NoLease => "balancer: `lease` is zero, so that no ticket would ever count",
            Self::NoLoad => "balancer: `max_load` is 0; at least 1 is needed",
            Self::PanicPct => "balancer: `panic_pct` is above 100 percent",
            Self::NoFailures => "balancer: `failures` is 0; at least 1 is needed",
            Self::NoBase => "balancer: the ejection's `base` is zero; without ejection `eject` is `None`",
            Self::Max => "balancer: the ejection's `max` is shorter than its `base`",
            Self::MaxPct => "balancer: the ejection's `max_pct` is not within 1 to 100",
        })
    }
}

impl core::error::Error for ConfigError {}
