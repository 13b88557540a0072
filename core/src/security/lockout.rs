//! How often may be guessed.

use core::fmt;

use zeroize::Zeroize;

use super::keys::HmacKey;
use crate::reliability::limiter::{self, Gcra, Quota};
use crate::time::{Duration, Instant};

/// The most failures that a lock may wait for (NIST SP 800-63B, 3.2.2).
pub const MAX_ATTEMPTS: u32 = 100;
/// The longest that a lock may last: a permanent one would let anybody shut anybody out.
pub const MAX_LOCK: Duration = Duration::from_secs(24 * 3_600);

/// Sets how many failures lock a name, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Failures until a name is locked: the seed's `max_login_attempts`. Default 3; at most [`MAX_ATTEMPTS`].
    pub max_attempts: u32,
    /// How long the first lock lasts; each further one doubles it. Default 30 s.
    pub first_lock: Duration,
    /// The longest lock. Default 15 min; at most [`MAX_LOCK`].
    pub max_lock: Duration,
    /// After this long without a failure or a lock a name is forgotten. Default 15 min.
    pub forget_after: Duration,
    /// Failures allowed to all names together that find no place in the table. Default 10 a minute.
    pub overflow: limiter::Config,
}

/// Says which setting cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_attempts` is 0.
    NoAttempts,
    /// `max_attempts` is above [`MAX_ATTEMPTS`].
    TooManyAttempts,
    /// `first_lock` is 0 or above `max_lock`, or that is above [`MAX_LOCK`].
    Lock,
    /// `forget_after` is 0: every failure would be forgotten at once.
    Forget,
    /// What is wrong with `overflow`.
    Overflow(limiter::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAttempts => "lockout: `max_attempts` is 0; at least 1 is needed",
            Self::TooManyAttempts => "lockout: `max_attempts` is above 100",
            Self::Lock => "lockout: `first_lock` must be above 0 and at most `max_lock`, and that at most 24h",
            Self::Forget => "lockout: `forget_after` is 0; nothing would be counted",
            Self::Overflow(_) => "lockout: `overflow` must let at least 1 pass, in as many nanoseconds as its rate",
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
        overflow: limiter::Config { rate: 10, period: Duration::from_secs(60), burst: 10 },
    };

    /// Whether the settings can be.
    ///
    /// # Errors
    /// [`ConfigError`]: the first that cannot.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::NoAttempts);
        }
        if self.max_attempts > MAX_ATTEMPTS {
            return Err(ConfigError::TooManyAttempts);
        }
        let (first, longest) = (self.first_lock.as_nanos(), self.max_lock.as_nanos());
        if first == 0 || first > longest || longest > MAX_LOCK.as_nanos() {
            return Err(ConfigError::Lock);
        }
        if self.forget_after.is_zero() {
            return Err(ConfigError::Forget);
        }
        match self.overflow.validate() {
            Ok(()) => Ok(()),
            Err(error) => Err(ConfigError::Overflow(error)),
        }
    }

    /// How long the lock after `locks` earlier ones lasts.
    fn lock(&self, locks: u32) -> Duration {
        let factor = 1_u64.checked_shl(locks).unwrap_or(u64::MAX);
        self.first_lock.times(factor).min(self.max_lock)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says that a name is locked. Its text is the same for every name, known or not.
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

/// Counts the failures of up to `N` names and locks those that fail too often (`max_login_attempts`).
///
/// For logins; for a rate of successful requests use the limiter. On a host give known users a table of their own,
/// at least as large as there are users, and unknown names another: then a flood of invented names locks out no user.
///
/// # Rules
/// 1. `max_attempts` failures lock a name; it is refused just before `retry_at` and looked at exactly then.
/// 2. Each further lock lasts twice as long, up to `max_lock`; a success, or `forget_after` of peace, starts afresh.
///    A success of a locked name does not, and neither does a token's refresh, which is no success of a password.
/// 3. A name that is remembered, locked or not, never gives way to another.
/// 4. When no place is free, unseen names share one bucket, which takes failures at the rate `overflow` and refuses
///    them all beyond it: the safe side, for as long as the flood goes on and no longer.
/// 5. Time that steps back unlocks nothing.
/// 6. The time of an answer tells nothing of the table.
///
/// Rule 6 holds by construction: every call makes one HMAC, whose time is that of the name's length, and then looks at
/// every place, whether or not it has found the name. Names themselves are not kept, but 64 bits of their HMAC. That
/// two names share them, and so a place, has a chance of `N / 2^64` for a new name: with a million places and ten
/// million names, one in two million that any ever do. To make it happen one would have to know the key.
///
/// # Cost
/// 40 bytes a name and 128 more: 448 bytes of RAM and 13,976 of flash on thumbv6m (image `lockout`, 792 bytes of
/// stack; 8 names, SHA-256 within); four compressions of SHA-256 and a walk over all places a call.
///
/// # Errors
/// [`Locked`] says until when.
///
/// # Sharing
/// Behind a `Shared`; no call waits. Where passwords are checked side by side, ask [`check`](Lockout::check) again when
/// the answer is there, and say nothing of it to who is locked by then: or a hundred attempts that begin together
/// would be a hundred guesses.
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
///
/// # References
/// NIST SP 800-63B rev. 4, section 3.2.2; ASVS 5, 6.1.1 and 6.3.1.
#[doc(alias = "max_login_attempts")]
pub struct Lockout<const N: usize> {
    config: Config,
    key: [u8; KEY_LEN],
    slots: [Option<Slot>; N],
    quota: Quota,
    overflow: Gcra,
    refused: u64,
    locks: u64,
    overflowed: u64,
}

/// Bytes of the key of a table.
const KEY_LEN: usize = 32;

/// Where a name is to be counted.
#[derive(Clone, Copy)]
enum Place {
    /// In its slot.
    Own(usize),
    /// In this one, which nobody needs.
    Free(usize),
    /// With all others that find none.
    Overflow,
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
    /// `key` is random bytes of this process: who does not know them cannot choose names that share a place. Of a key
    /// longer than 32 bytes, what is beyond is mixed in.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config, key: &[u8]) -> Self {
        assert!(config.validate().is_ok(), "invalid lockout::Config: see Config::validate");
        Self::of(config, Quota::new(config.overflow), key)
    }

    /// As [`new`](Lockout::new), if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config, key: &[u8]) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        match Quota::try_new(config.overflow) {
            Ok(quota) => Ok(Self::of(config, quota, key)),
            Err(error) => Err(ConfigError::Overflow(error)),
        }
    }

    const fn of(config: Config, quota: Quota, key: &[u8]) -> Self {
        // The key itself, not an `HmacKey`, which a `static` could not make.
        let (mut mixed, mut at) = ([0; KEY_LEN], 0);
        while at < key.len() {
            mixed[at % KEY_LEN] ^= key[at];
            at += 1;
        }
        let slots = [None; N];
        Self { config, key: mixed, slots, quota, overflow: Gcra::NEW, refused: 0, locks: 0, overflowed: 0 }
    }

    /// Whether an attempt is looked at; ask before the password is.
    ///
    /// # Errors
    /// [`Locked`]
    pub fn check(&mut self, name: &str, now: Instant) -> Result<(), Locked> {
        let locked = match self.place(self.hash(name), now) {
            Place::Own(at) => self.slots.get(at).copied().flatten().and_then(|slot| slot.locked(now)),
            Place::Free(_) => None,
            Place::Overflow => self.crowded(now),
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
        let locked = match self.place(hash, now) {
            Place::Own(at) | Place::Free(at) => self.slots.get_mut(at).and_then(|place| {
                let mut slot = place.filter(|slot| slot.name == hash).unwrap_or(Slot::new(hash));
                let locked = slot.fail(&config, now);
                *place = Some(slot);
                locked
            }),
            Place::Overflow => {
                self.overflowed = self.overflowed.saturating_add(1);
                // One failure too many counts for nothing: it is refused already.
                let _ = self.overflow.check(&self.quota, now);
                self.crowded(now)
            }
        };
        self.locks = self.locks.saturating_add(u64::from(locked.is_some()));
        self.invariants();
        locked
    }

    /// A right password of a name that was not locked: the name is forgotten. Not for a token's refresh.
    pub fn on_success(&mut self, name: &str, now: Instant) {
        if let Place::Own(at) = self.place(self.hash(name), now)
            && let Some(place) = self.slots.get_mut(at)
        {
            *place = place.filter(|slot| slot.locked(now).is_some());
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
        let tag = HmacKey::new(&self.key).tag(&[name.as_bytes()]);
        tag.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// Where a name is counted. Looks at every place, for the sake of rule 6.
    fn place(&self, hash: u64, now: Instant) -> Place {
        self.slots.iter().enumerate().fold(Place::Overflow, |found, (at, slot)| match (found, slot) {
            (_, Some(slot)) if slot.name == hash => Place::Own(at),
            (Place::Overflow, None) => Place::Free(at),
            (Place::Overflow, Some(slot)) if slot.over(&self.config) <= now => Place::Free(at),
            (found, _) => found,
        })
    }

    /// Whether those without a place have failed too often together.
    fn crowded(&self, now: Instant) -> Option<Locked> {
        self.overflow.peek(&self.quota, now).err().map(|limited| Locked { retry_at: limited.retry_at })
    }

    fn invariants(&self) {
        debug_assert!(
            self.slots.iter().flatten().all(|slot| slot.failures < self.config.max_attempts),
            "a name with that many failures is locked and counts afresh"
        );
    }
}

impl<const N: usize> Drop for Lockout<N> {
    fn drop(&mut self) {
        self.key.zeroize();
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
    fn rule_1_a_locked_name_is_refused_just_before_retry_at_and_looked_at_exactly_then() {
        let mut lockout: Lockout<2> = Lockout::new(Config::DEFAULT, &[1]);
        let locked = fail(&mut lockout, "a", 3, at(10)).unwrap();
        assert_eq!(locked.retry_at, at(40));
        assert_eq!(lockout.check("a", Instant::from_nanos(at(40).as_nanos() - 1)), Err(locked));
        assert_eq!(lockout.check("a", at(40)), Ok(()));
        assert_eq!(lockout.snapshot(at(39)).locked, 1);
        assert_eq!(lockout.snapshot(at(40)).locked, 0);
    }

    #[test]
    fn rule_2_each_lock_lasts_twice_as_long_up_to_the_longest() {
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
    fn rule_2_peace_for_long_enough_starts_afresh() {
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
    fn rule_3_a_flood_of_names_takes_no_room_and_evicts_nobody() {
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
        assert!(lockout.check("victim", at(2)).is_ok());
        assert!(fail(&mut lockout, "victim", 1, at(3)).is_some(), "the victim's two failures still count");
    }

    #[test]
    fn rule_5_time_that_steps_back_unlocks_nothing() {
        let mut lockout: Lockout<1> = Lockout::new(Config::DEFAULT, &[1]);
        let locked = fail(&mut lockout, "a", 3, at(1_000)).unwrap();
        assert_eq!(lockout.check("a", at(5)), Err(locked));
        assert_eq!(fail(&mut lockout, "a", 3, at(5)).unwrap(), locked);
        lockout.on_success("a", at(5));
        assert!(lockout.check("a", at(1_029)).is_err());
    }

    #[test]
    fn rule_4_unseen_names_share_one_bucket_at_its_own_rate() {
        // One in 6 s, 10 at once.
        let mut lockout: Lockout<1> = Lockout::new(Config::DEFAULT, &[1]);
        lockout.on_failure("first", at(100));
        for i in 0..9_u8 {
            let name = char::from(b'a' + i);
            assert_eq!(lockout.on_failure(name.encode_utf8(&mut [0; 4]), at(100)), None);
        }
        assert_eq!(lockout.check("unseen", at(100)), Ok(()));
        let locked = lockout.on_failure("j", at(100)).unwrap();
        assert_eq!(locked.retry_at, at(106));
        assert_eq!(lockout.check("unseen", Instant::from_nanos(at(106).as_nanos() - 1)), Err(locked));
        assert_eq!(lockout.check("unseen", at(106)), Ok(()), "a flood locks nobody out for longer than its rate");
        assert_eq!(lockout.on_failure("unseen", at(106)).unwrap().retry_at, at(112));
        assert_eq!(lockout.check("first", at(106)), Ok(()), "who has a place does not share");
        assert_eq!(lockout.check("unseen", at(1_000)), Ok(()), "a place is free again");
        let mut none: Lockout<0> = Lockout::new(Config::DEFAULT, &[1]);
        assert_eq!(fail(&mut none, "a", 9, at(100)), None);
        assert_eq!(fail(&mut none, "a", 1, at(100)), Some(Locked { retry_at: at(106) }));
    }

    #[test]
    fn rule_2_a_success_of_a_locked_name_starts_nothing_afresh() {
        let mut lockout: Lockout<2> = Lockout::new(Config::DEFAULT, &[1]);
        let locked = fail(&mut lockout, "a", 3, at(10)).unwrap();
        lockout.on_success("a", at(39));
        assert_eq!(lockout.check("a", at(39)), Err(locked));
        assert_eq!(fail(&mut lockout, "a", 3, at(40)).unwrap().retry_at, at(100));
    }

    #[test]
    fn a_place_is_found_by_the_key_and_the_whole_key_counts() {
        let hash = |key: &[u8]| Lockout::<0>::new(Config::DEFAULT, key).hash("name");
        let long = [7; 40];
        assert_eq!(hash(&long), hash(&long.clone()));
        for (a, b) in [(&[1][..], &[2][..]), (&long[..39], &long), (&[][..], &[1])] {
            assert_ne!(hash(a), hash(b));
        }
    }

    #[test]
    fn a_config_that_cannot_be_is_named() {
        const GOOD: Config = Config::DEFAULT;
        static IN_A_STATIC: std::sync::Mutex<Lockout<1>> = std::sync::Mutex::new(Lockout::new(GOOD, &[1]));
        assert!(IN_A_STATIC.lock().unwrap().check("a", at(1)).is_ok());
        let no_rate = limiter::Config { rate: 0, ..GOOD.overflow };
        for (config, error) in [
            (Config { max_attempts: 0, ..GOOD }, ConfigError::NoAttempts),
            (Config { max_attempts: 101, ..GOOD }, ConfigError::TooManyAttempts),
            (Config { first_lock: Duration::ZERO, ..GOOD }, ConfigError::Lock),
            (Config { first_lock: Duration::from_secs(901), ..GOOD }, ConfigError::Lock),
            (Config { max_lock: Duration::from_secs(86_401), ..GOOD }, ConfigError::Lock),
            (Config { forget_after: Duration::ZERO, ..GOOD }, ConfigError::Forget),
            (Config { overflow: no_rate, ..GOOD }, ConfigError::Overflow(limiter::ConfigError::NoRate)),
        ] {
            assert_eq!(config.validate(), Err(error));
            assert_eq!(Lockout::<1>::try_new(config, &[1]).err(), Some(error));
        }
    }

    #[test]
    fn it_takes_the_bytes_that_its_doc_says() {
        assert_eq!(size_of::<Lockout<1>>() - size_of::<Lockout<0>>(), 40);
        assert_eq!(size_of::<Lockout<0>>(), 128);
    }

    #[test]
    fn the_text_is_the_same_for_every_name() {
        use std::string::ToString;
        let texts = [1, 2].map(|secs| Locked { retry_at: at(secs) }.to_string());
        assert_eq!(texts[0], texts[1]);
    }
}
