//! How often may be guessed.

use core::fmt;

use super::keys::HmacKey;
use crate::time::{Duration, Instant};

/// Sets how many failures lock a name, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Failures until a name is locked: the seed's `max_login_attempts`. Default 3.
    pub max_attempts: u32,
    /// How long the first lock lasts; each further one doubles it. Default 30 s.
    pub first_lock: Duration,
    /// The longest lock: a permanent one would let anybody shut anybody out. Default 15 min.
    pub max_lock: Duration,
    /// After this long without a failure or a lock a name is forgotten. Default 15 min.
    pub forget_after: Duration,
}

/// Says which setting cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_attempts` is 0.
    NoAttempts,
    /// `first_lock` is 0 or above `max_lock`.
    Lock,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAttempts => "max_attempts must be at least 1",
            Self::Lock => "first_lock must be above 0 and at most max_lock",
        })
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// The defaults above.
    pub const DEFAULT: Self = Self {
        max_attempts: 3,
        first_lock: Duration::from_secs(30),
        max_lock: Duration::from_secs(900),
        forget_after: Duration::from_secs(900),
    };

    /// Whether the settings can be.
    ///
    /// # Errors
    /// [`ConfigError`]: the first that cannot.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::NoAttempts);
        }
        if self.first_lock.is_zero() || self.first_lock.as_nanos() > self.max_lock.as_nanos() {
            return Err(ConfigError::Lock);
        }
        Ok(())
    }

    /// How long the lock after `locks` earlier ones lasts.
    fn lock(&self, locks: u32) -> Duration {
        let factor = 1_u64.checked_shl(locks).unwrap_or(u64::MAX);
        self.first_lock.times(factor).min(self.max_lock)
    }
}

/// Says that a name is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Locked {
    /// When an attempt is looked at again.
    pub retry_at: Instant,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many failed attempts: locked for a while")
    }
}

impl core::error::Error for Locked {}

#[derive(Clone, Copy)]
struct Slot {
    /// Keyed hash of the name; nothing else of it is kept.
    name: u64,
    failures: u32,
    locks: u32,
    last: Instant,
    until: Option<Instant>,
}

impl Slot {
    const fn new(name: u64) -> Self {
        Self { name, failures: 0, locks: 0, last: Instant::ZERO, until: None }
    }

    fn locked(&self, now: Instant) -> Option<Locked> {
        self.until.filter(|until| now < *until).map(|retry_at| Locked { retry_at })
    }

    /// When the name is forgotten.
    fn over(&self, config: &Config) -> Instant {
        self.until.unwrap_or(self.last).max(self.last) + config.forget_after
    }

    fn fail(&mut self, config: &Config, now: Instant) -> Option<Locked> {
        if self.over(config) <= now {
            *self = Self::new(self.name);
        }
        // A clock that steps back must not make a failure look older than it is.
        self.last = self.last.max(now);
        self.failures = self.failures.saturating_add(1);
        if self.failures < config.max_attempts {
            return None;
        }
        let retry_at = now + config.lock(self.locks);
        // What was locked longer stays so.
        let retry_at = self.until.map_or(retry_at, |until| until.max(retry_at));
        self.until = Some(retry_at);
        self.locks = self.locks.saturating_add(1);
        self.failures = 0;
        Some(Locked { retry_at })
    }
}

/// Counts the failures of up to `N` names and locks those that fail too often.
///
/// For logins; for a rate of successful requests use the limiter. On a host give known users a table of their own,
/// at least as large as there are users, and unknown names another: then a flood of invented names locks out no user.
///
/// # Rules
/// 1. `max_attempts` failures lock a name; it is refused just before `retry_at` and looked at exactly then.
/// 2. Each further lock lasts twice as long, up to `max_lock`; a success, or `forget_after` of peace, starts afresh.
/// 3. A name that is remembered never gives way to another. When no place is free, further names share one: they
///    fail together, which is the safe side.
/// 4. Time that steps back unlocks nothing.
///
/// # Cost
/// 48 bytes a name; an HMAC and a walk over all places for each call.
///
/// # Errors
/// [`Locked`] says until when.
///
/// # Sharing
/// Behind a `Shared`; no call waits.
///
/// # Example
/// ```
/// use daur_core::security::lockout::{Config, Lockout};
/// use daur_core::time::Instant;
///
/// let mut logins: Lockout<8> = Lockout::new(Config::DEFAULT, b"random bytes of this process");
/// let now = Instant::from_secs(100);
/// assert!(logins.on_failure("alice", now).is_none());
/// assert!(logins.on_failure("alice", now).is_none());
/// let locked = logins.on_failure("alice", now).unwrap();
/// assert_eq!(locked.retry_at, Instant::from_secs(130));
/// assert_eq!(logins.check("alice", Instant::from_secs(129)), Err(locked));
/// assert!(logins.check("alice", locked.retry_at).is_ok() && logins.check("bob", now).is_ok());
/// ```
pub struct Lockout<const N: usize> {
    config: Config,
    key: HmacKey,
    slots: [Option<Slot>; N],
    overflow: Slot,
    refused: u64,
    locks: u64,
    overflowed: u64,
}

/// Copies the counters of a [`Lockout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Names remembered.
    pub tracked: u32,
    /// Of these, locked now.
    pub locked: u32,
    /// Names that can be remembered.
    pub capacity: u32,
    /// Attempts refused.
    pub refused: u64,
    /// Locks begun.
    pub locks: u64,
    /// Failures counted on the shared place, because no other was free.
    pub overflowed: u64,
}

impl<const N: usize> Lockout<N> {
    /// `key` is random bytes of this process: who does not know them cannot choose names that share a place.
    ///
    /// A config that cannot be is brought to the nearest that can: one attempt, a lock of one second.
    #[must_use]
    pub fn new(config: Config, key: &[u8]) -> Self {
        let first_lock = if config.first_lock.is_zero() { Duration::from_secs(1) } else { config.first_lock };
        let config = Config {
            max_attempts: config.max_attempts.max(1),
            first_lock,
            max_lock: config.max_lock.max(first_lock),
            ..config
        };
        let overflow = Slot::new(0);
        Self { config, key: HmacKey::new(key), slots: [None; N], overflow, refused: 0, locks: 0, overflowed: 0 }
    }

    /// Whether an attempt is looked at; ask before the password is.
    ///
    /// # Errors
    /// [`Locked`]
    pub fn check(&mut self, name: &str, now: Instant) -> Result<(), Locked> {
        let hash = self.hash(name);
        let full = self.free(now).is_none();
        let locked = match self.find(hash) {
            Some(slot) => slot.locked(now),
            None if full => self.overflow.locked(now),
            None => None,
        };
        match locked {
            Some(locked) => {
                self.refused = self.refused.saturating_add(1);
                Err(locked)
            }
            None => Ok(()),
        }
    }

    /// A failed attempt; says so if it began a lock.
    pub fn on_failure(&mut self, name: &str, now: Instant) -> Option<Locked> {
        let (hash, config) = (self.hash(name), self.config);
        if self.find(hash).is_none() {
            match self.free(now) {
                Some(free) => *free = Some(Slot::new(hash)),
                None => self.overflowed = self.overflowed.saturating_add(1),
            }
        }
        let slot = self.slots.iter_mut().flatten().find(|slot| slot.name == hash).unwrap_or(&mut self.overflow);
        let locked = slot.fail(&config, now);
        self.locks = self.locks.saturating_add(u64::from(locked.is_some()));
        self.invariants();
        locked
    }

    /// A right password of a name that was not locked: the name is forgotten. Not for a token's refresh.
    pub fn on_success(&mut self, name: &str, now: Instant) {
        let hash = self.hash(name);
        for slot in &mut self.slots {
            if slot.is_some_and(|slot| slot.name == hash && slot.locked(now).is_none()) {
                *slot = None;
            }
        }
    }

    /// Forgets whom it is time to forget.
    pub fn poll(&mut self, now: Instant) {
        let config = self.config;
        for slot in &mut self.slots {
            if slot.is_some_and(|slot| slot.over(&config) <= now) {
                *slot = None;
            }
        }
    }

    /// When somebody is forgotten next.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|slot| slot.over(&self.config)).min()
    }

    /// The counters.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Snapshot {
            tracked: count(self.slots.iter().flatten().count()),
            locked: count(self.slots.iter().flatten().filter(|slot| slot.locked(now).is_some()).count()),
            capacity: count(N),
            refused: self.refused,
            locks: self.locks,
            overflowed: self.overflowed,
        }
    }

    fn hash(&self, name: &str) -> u64 {
        let tag = self.key.tag(&[name.as_bytes()]);
        tag.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    fn find(&self, hash: u64) -> Option<&Slot> {
        self.slots.iter().flatten().find(|slot| slot.name == hash)
    }

    /// A place that is empty or whose name it is time to forget.
    fn free(&mut self, now: Instant) -> Option<&mut Option<Slot>> {
        let config = self.config;
        self.slots.iter_mut().find(|slot| slot.is_none_or(|slot| slot.over(&config) <= now))
    }

    fn invariants(&self) {
        debug_assert!(
            self.slots.iter().flatten().all(|slot| slot.failures < self.config.max_attempts),
            "a name with that many failures is locked and counts afresh"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    fn fail<const N: usize>(lockout: &mut Lockout<N>, name: &str, times: u32, now: Instant) -> Option<Locked> {
        (0..times).filter_map(|_| lockout.on_failure(name, now)).last()
    }

    #[test]
    fn a_locked_name_is_refused_just_before_retry_at_and_looked_at_exactly_then() {
        let mut lockout: Lockout<2> = Lockout::new(Config::DEFAULT, &[1]);
        let locked = fail(&mut lockout, "a", 3, at(10)).unwrap();
        assert_eq!(locked.retry_at, at(40));
        assert_eq!(lockout.check("a", Instant::from_nanos(at(40).as_nanos() - 1)), Err(locked));
        assert_eq!(lockout.check("a", at(40)), Ok(()));
        assert_eq!(lockout.snapshot(at(39)).locked, 1);
        assert_eq!(lockout.snapshot(at(40)).locked, 0);
    }

    #[test]
    fn each_lock_lasts_twice_as_long_up_to_the_longest() {
        let mut lockout: Lockout<2> = Lockout::new(Config::DEFAULT, &[1]);
        let mut now = at(1_000);
        for secs in [30, 60, 120, 240, 480, 900, 900] {
            let locked = fail(&mut lockout, "a", 3, now).unwrap();
            assert_eq!(locked.retry_at.since(now), Duration::from_secs(secs));
            now = locked.retry_at;
        }
        lockout.on_success("a", now);
        assert_eq!(fail(&mut lockout, "a", 3, now).unwrap().retry_at.since(now), Duration::from_secs(30));
    }

    #[test]
    fn peace_for_long_enough_starts_afresh() {
        let mut lockout: Lockout<2> = Lockout::new(Config::DEFAULT, &[1]);
        fail(&mut lockout, "a", 2, at(0));
        assert_eq!(lockout.poll_at(), Some(at(900)));
        assert!(fail(&mut lockout, "a", 1, at(900)).is_none());
        assert!(fail(&mut lockout, "a", 2, at(901)).is_some());
        lockout.poll(at(901 + 30 + 899));
        assert_eq!(lockout.snapshot(at(0)).tracked, 1);
        lockout.poll(at(901 + 30 + 900));
        assert_eq!(lockout.snapshot(at(0)).tracked, 0);
        assert_eq!(lockout.poll_at(), None);
    }

    #[test]
    fn a_flood_of_names_takes_no_room_and_evicts_nobody() {
        let mut lockout: Lockout<4> = Lockout::new(Config::DEFAULT, &[1]);
        fail(&mut lockout, "victim", 2, at(1));
        let mut name = std::string::String::new();
        for i in 0..10_000 {
            use core::fmt::Write;
            name.clear();
            write!(name, "bot{i}").unwrap();
            lockout.on_failure(&name, at(2));
        }
        let snapshot = lockout.snapshot(at(2));
        assert_eq!((snapshot.tracked, snapshot.capacity), (4, 4));
        assert_eq!(snapshot.overflowed, 10_000 - 3);
        assert!(lockout.check("another", at(2)).is_err(), "those that found no place fail together");
        assert!(lockout.check("victim", at(2)).is_ok());
        assert!(fail(&mut lockout, "victim", 1, at(3)).is_some(), "the victim's two failures still count");
    }

    #[test]
    fn time_that_steps_back_unlocks_nothing() {
        let mut lockout: Lockout<1> = Lockout::new(Config::DEFAULT, &[1]);
        let locked = fail(&mut lockout, "a", 3, at(1_000)).unwrap();
        assert_eq!(lockout.check("a", at(5)), Err(locked));
        assert_eq!(fail(&mut lockout, "a", 3, at(5)).unwrap(), locked);
        lockout.on_success("a", at(5));
        assert!(lockout.check("a", at(1_029)).is_err());
    }

    #[test]
    fn a_config_that_cannot_be_is_named_and_does_not_unlock() {
        let zero = Config { max_attempts: 0, first_lock: Duration::ZERO, ..Config::DEFAULT };
        assert_eq!(zero.validate(), Err(ConfigError::NoAttempts));
        assert_eq!(Config { max_attempts: 1, ..zero }.validate(), Err(ConfigError::Lock));
        assert_eq!(Config::DEFAULT.validate(), Ok(()));
        let mut lockout: Lockout<1> = Lockout::new(zero, &[1]);
        assert_eq!(lockout.on_failure("a", at(1)), Some(Locked { retry_at: at(2) }));
    }
}
