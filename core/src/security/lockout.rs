//! How often may be guessed.

use crate::time::{Duration, Instant};
use core::fmt;

/// Settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Failures until a name is locked. Default 3.
    pub max_attempts: u32,
    /// The first lock. Default 30 s; each further one doubles it.
    pub first_lock: Duration,
    /// The longest lock. Default 15 min.
    pub max_lock: Duration,
    /// After this time without a failure a name is forgotten. Default 15 min.
    pub forget_after: Duration,
}

impl Config {
    /// As above.
    pub const DEFAULT: Self = Self {
        max_attempts: 3,
        first_lock: Duration::from_secs(30),
        max_lock: Duration::from_secs(900),
        forget_after: Duration::from_secs(900),
    };
}

/// Says that a name is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Locked {
    /// When the next attempt is looked at.
    pub retry_at: Instant,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many failed attempts")
    }
}
impl core::error::Error for Locked {}

/// Counts failures of up to `N` names and locks those that fail too often.
pub struct Lockout<const N: usize> {
    config: Config,
}

/// A copy of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Names remembered.
    pub tracked: u32,
    /// Of these, locked now.
    pub locked: u32,
    /// Names that fit.
    pub capacity: u32,
    /// Attempts refused.
    pub refused: u64,
    /// Locks begun.
    pub locks: u64,
    /// Failures counted on the shared slot, because no other was free.
    pub overflowed: u64,
}

impl<const N: usize> Lockout<N> {
    /// `key`: random bytes, so that nobody chooses names that fall on one slot.
    #[must_use]
    pub fn new(config: Config, key: &[u8]) -> Self {
        let _ = key;
        Self { config }
    }
    /// Whether an attempt is looked at.
    ///
    /// # Errors
    /// [`Locked`].
    pub fn check(&mut self, name: &str, now: Instant) -> Result<(), Locked> {
        let _ = (name, now, self.config);
        todo!()
    }
    /// A failed attempt; says when this one began a lock.
    pub fn on_failure(&mut self, name: &str, now: Instant) -> Option<Locked> {
        let _ = (name, now);
        todo!()
    }
    /// A right password: the name is forgotten.
    pub fn on_success(&mut self, name: &str, now: Instant) {
        let _ = (name, now);
        todo!()
    }
    /// Forgets what is over.
    pub fn poll(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
    /// When something is forgotten or unlocked next.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        todo!()
    }
    /// The counters.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let _ = now;
        todo!()
    }
}
