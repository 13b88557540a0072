//! Who is logged in, for how long, and until when without a sign of life.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::permission::Permissions;
use crate::text::Text;
use crate::time::{Duration, Instant};

/// Says how long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// A session that was not resumed for this long is over; above 0.
    pub idle: Duration,
    /// A session is over this long after the login, whatever happened in between; not below `idle`.
    pub absolute: Duration,
    /// Sessions of one user at a time; at least 1. One more ends the one that was resumed longest ago.
    pub per_user: u32,
}

impl Config {
    /// 15 minutes idle, 12 hours in all, 5 sessions a user.
    pub const DEFAULT: Self =
        Self { idle: Duration::from_secs(15 * 60), absolute: Duration::from_secs(12 * 3_600), per_user: 5 };

    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.idle.is_zero() {
            return Err(ConfigError::NoIdle);
        }
        if self.absolute.as_nanos() < self.idle.as_nanos() {
            return Err(ConfigError::AbsoluteBelowIdle);
        }
        if self.per_user == 0 {
            return Err(ConfigError::NonePerUser);
        }
        Ok(())
    }

    /// Whether a session lasts still: for one that is kept elsewhere, such as in a database.
    ///
    /// # Errors
    /// [`NoSession::Expired`], [`NoSession::Idle`].
    pub fn state(&self, begun: Instant, seen: Instant, now: Instant) -> Result<(), NoSession> {
        if now - begun >= self.absolute {
            return Err(NoSession::Expired);
        }
        if now - seen >= self.idle {
            return Err(NoSession::Idle);
        }
        Ok(())
    }

    /// The moment at which a session is over if nobody resumes it: the first at which [`Config::state`] refuses.
    #[must_use]
    pub fn ends_at(&self, begun: Instant, seen: Instant) -> Instant {
        (seen + self.idle).min(begun + self.absolute)
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
    /// `idle` is 0.
    NoIdle,
    /// `absolute` is shorter than `idle`.
    AbsoluteBelowIdle,
    /// `per_user` is 0.
    NonePerUser,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoIdle => "session: `idle` is 0; it must be longer than a pause between requests",
            Self::AbsoluteBelowIdle => "session: `absolute` must not be shorter than `idle`",
            Self::NonePerUser => "session: `per_user` is 0; at least 1 is needed",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Names a session to its owner: a secret of 128 random bits.
///
/// It shows nothing of itself, is compared in constant time and wiped when dropped.
#[derive(Clone)]
pub struct Id([u8; 16]);

impl Id {
    /// The id of random bytes: from the operating system, or a device's entropy source.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Id {}

impl Drop for Id {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

/// Shows one session, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it to those who list and end sessions; not a secret, and not used again while the table lives.
    pub number: u32,
    /// Whose it is.
    pub user: Text<32>,
    /// What they may.
    pub permissions: Permissions,
    /// When it began.
    pub begun: Instant,
    /// When it was last resumed.
    pub seen: Instant,
}

/// Says why a session does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// Every place is taken; the first may be free at that moment.
    Full {
        /// When one of them is over if nobody resumes it.
        retry_at: Instant,
    },
    /// The user's name has more than 32 bytes.
    NameTooLong,
    /// The id is in use: it was not random.
    IdInUse,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full { .. } => "no further session can begin until one of them ends",
            Self::NameTooLong => "a user's name has at most 32 bytes",
            Self::IdInUse => "a session of that id exists: ids must be random",
        })
    }
}

impl core::error::Error for Refused {}

/// Says why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NoSession {
    /// None of that id; it may have ended.
    Unknown,
    /// It was not resumed for too long.
    Idle,
    /// Its time is over.
    Expired,
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "there is no such session",
            Self::Idle => "the session was idle for too long",
            Self::Expired => "the session has lasted as long as it may",
        })
    }
}

impl core::error::Error for NoSession {}

struct Slot {
    id: Id,
    session: Session,
}

/// Ends the session where it stands. Not by `take`, which would move the id away and leave its bytes behind.
fn end(place: &mut Option<Slot>) -> Option<Session> {
    let session = place.as_ref()?.session;
    *place = None;
    Some(session)
}

/// Keeps up to `N` sessions (the seed's session timeout of the `SecurityPolicy`, with all that goes with it).
///
/// For logins that must be able to end at once. A [`token`](super::token) needs no memory instead, but ends
/// by its own time.
///
/// # Rules
/// 1. A session that was not resumed for `idle` is over; exactly then, not just before.
/// 2. `absolute` after its beginning it is over, however busy it was.
/// 3. A change of what the user may do takes a new id: the old one names nothing from then on.
/// 4. A session too many for one user ends that user's least recently resumed one, and says which.
/// 5. When no place is free, no session begins; nobody else's is ended for it.
/// 6. Ids are compared in constant time, all of them at each look.
/// 7. A clock that steps backwards ends no session early and brings none back.
///
/// # Cost
/// 744 bytes of RAM and 4,548 of flash on thumbv6m (image `session`: eight of them); every verb looks at all `N`.
///
/// # Errors
/// [`Refused`] where none begins, [`NoSession`] where there is none.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared).
///
/// # Example
/// ```
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::session::{Config, Id, NoSession, Sessions};
/// use daur_core::time::{Duration, Instant};
///
/// let mut sessions = Sessions::<8>::new(Config { idle: Duration::from_secs(60), ..Config::DEFAULT });
/// let id = Id::from_random([7; 16]); // from a source of entropy
/// sessions.begin(id.clone(), "ada", Permissions::READ, Instant::from_secs(10))?;
///
/// assert_eq!(sessions.resume(&id, Instant::from_secs(69)).unwrap().user.as_str(), "ada");
/// assert_eq!(sessions.resume(&id, Instant::from_secs(129)), Err(NoSession::Idle));
/// assert_eq!(sessions.resume(&id, Instant::from_secs(129)), Err(NoSession::Unknown));
/// # Ok::<(), daur_core::security::session::Refused>(())
/// ```
///
/// # References
/// OWASP ASVS 5, V7; NIST SP 800-63B-4, 5.
pub struct Sessions<const N: usize> {
    config: Config,
    slots: [Option<Slot>; N],
    next: u32,
    expired: u32,
    refused: u32,
}

impl<const N: usize> Sessions<N> {
    /// No sessions.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is read at
    /// run time goes to [`Sessions::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "invalid session::Config: see Config::validate");
        Self::of(config)
    }

    /// No sessions, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        config.validate().map(|()| Self::of(config))
    }

    const fn of(config: Config) -> Self {
        Self { config, slots: [const { None }; N], next: 0, expired: 0, refused: 0 }
    }

    /// Begins a session after a login; gives the user's session that had to end for it.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then but what time had ended.
    pub fn begin(
        &mut self,
        id: Id,
        user: &str,
        permissions: Permissions,
        now: Instant,
    ) -> Result<Option<Session>, Refused> {
        self.poll(now);
        let placed = self.place(id, user, permissions, now);
        self.refused = self.refused.saturating_add(u32::from(placed.is_err()));
        self.invariants();
        placed
    }

    fn place(
        &mut self,
        id: Id,
        user: &str,
        permissions: Permissions,
        now: Instant,
    ) -> Result<Option<Session>, Refused> {
        let user = Text::new(user).map_err(|_| Refused::NameTooLong)?;
        if self.find(&id).is_some() {
            return Err(Refused::IdInUse);
        }
        let of_user = || self.slots.iter().flatten().filter(|slot| slot.session.user == user).map(|slot| slot.session);
        let too_many = of_user().count() >= usize::try_from(self.config.per_user).unwrap_or(usize::MAX);
        // Of several resumed at the same moment, the one that began first.
        let ended = if too_many { of_user().min_by_key(|session| (session.seen, session.number)) } else { None };
        let number = self.next;
        let free = match ended {
            Some(ended) => self.slot_of(ended.number),
            None => self.slots.iter_mut().find(|slot| slot.is_none()),
        };
        let Some(free) = free else {
            // A table without any place has no moment at which one is free.
            return Err(Refused::Full { retry_at: self.poll_at().unwrap_or(Instant::MAX) });
        };
        *free = Some(Slot { id, session: Session { number, user, permissions, begun: now, seen: now } });
        self.next = self.next.wrapping_add(1);
        Ok(ended)
    }

    /// Resumes a session: it is there, and no longer idle.
    ///
    /// # Errors
    /// [`NoSession`]. One that time has ended is forgotten by this.
    pub fn resume(&mut self, id: &Id, now: Instant) -> Result<Session, NoSession> {
        let config = self.config;
        let Some(place) = self.find(id).and_then(|place| self.slots.get_mut(place)) else {
            return Err(NoSession::Unknown);
        };
        let Some(slot) = place else { return Err(NoSession::Unknown) };
        if let Err(why) = config.state(slot.session.begun, slot.session.seen, now) {
            *place = None;
            self.expired = self.expired.saturating_add(1);
            return Err(why);
        }
        slot.session.seen = slot.session.seen.max(now);
        Ok(slot.session)
    }

    /// Gives a session a new id, and other permissions: after each change of what its user may do.
    ///
    /// # Errors
    /// [`NoSession`], as for [`Sessions::resume`]; also if the new id is in use, which random ones are not.
    pub fn rotate(&mut self, old: &Id, new: Id, permissions: Permissions, now: Instant) -> Result<Session, NoSession> {
        let session = self.resume(old, now)?;
        if self.find(&new).is_some() {
            return Err(NoSession::Unknown);
        }
        let Some(slot) = self.slot_of(session.number).and_then(Option::as_mut) else {
            return Err(NoSession::Unknown);
        };
        slot.id = new;
        slot.session.permissions = permissions;
        Ok(slot.session)
    }

    /// Ends a session by its id: a logout.
    pub fn end(&mut self, id: &Id) -> Option<Session> {
        let place = self.find(id)?;
        end(self.slots.get_mut(place)?)
    }

    /// Ends a session by its number: by the user, or by who administers.
    pub fn end_number(&mut self, number: u32) -> Option<Session> {
        end(self.slot_of(number)?)
    }

    /// Ends all sessions of a user; says how many.
    pub fn end_user(&mut self, user: &str) -> usize {
        let mut ended = 0;
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|slot| slot.session.user.as_str() == user) {
                *slot = None;
                ended += 1;
            }
        }
        ended
    }

    /// Ends all other sessions of the user whose session `id` is; says how many. After a change of the password.
    pub fn end_others(&mut self, id: &Id) -> usize {
        let Some(kept) = self.find(id).and_then(|place| self.slots.get(place)?.as_ref()).map(|slot| slot.session)
        else {
            return 0;
        };
        let other = |slot: &Slot| slot.session.user == kept.user && slot.session.number != kept.number;
        let mut ended = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.as_ref().is_some_and(other)) {
            *slot = None;
            ended += 1;
        }
        ended
    }

    /// The sessions that are not over, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = &Session> {
        self.slots
            .iter()
            .flatten()
            .map(|slot| &slot.session)
            .filter(move |session| self.config.state(session.begun, session.seen, now).is_ok())
    }

    /// Forgets what time has ended; says how many.
    pub fn poll(&mut self, now: Instant) -> usize {
        let (config, mut ended) = (self.config, 0_u32);
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|slot| config.state(slot.session.begun, slot.session.seen, now).is_err()) {
                *slot = None;
                ended = ended.saturating_add(1);
            }
        }
        self.expired = self.expired.saturating_add(ended);
        ended as usize
    }

    /// The moment at which [`Sessions::poll`] has something to do.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        let ends = |slot: &Slot| self.config.ends_at(slot.session.begun, slot.session.seen);
        self.slots.iter().flatten().map(ends).min()
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let len = u32::try_from(self.slots.iter().flatten().count()).unwrap_or(u32::MAX);
        let capacity = u32::try_from(N).unwrap_or(u32::MAX);
        Snapshot { len, capacity, begun: self.next, expired: self.expired, refused: self.refused }
    }

    /// Where an id stands. Compares with every one, so that the time does not tell which.
    fn find(&self, id: &Id) -> Option<usize> {
        let mut found = None;
        for (place, slot) in self.slots.iter().enumerate() {
            if slot.as_ref().is_some_and(|slot| slot.id == *id) {
                found = Some(place);
            }
        }
        found
    }

    fn slot_of(&mut self, number: u32) -> Option<&mut Option<Slot>> {
        self.slots.iter_mut().find(|slot| slot.as_ref().is_some_and(|slot| slot.session.number == number))
    }

    fn invariants(&self) {
        debug_assert!(
            self.slots.iter().flatten().all(|slot| slot.session.begun <= slot.session.seen),
            "a session is seen when it begins"
        );
    }
}

impl<const N: usize> fmt::Debug for Sessions<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Shows [`Sessions`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Sessions kept; some of them may be over.
    pub len: u32,
    /// Places.
    pub capacity: u32,
    /// Sessions begun.
    pub begun: u32,
    /// Sessions that time has ended.
    pub expired: u32,
    /// Sessions that did not begin.
    pub refused: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_shows_nothing_of_itself() {
        assert_eq!(std::format!("{:?}", Id::from_random([0xAB; 16])), "Id(..)");
    }

    #[test]
    fn a_config_that_means_nothing_is_refused() {
        let idle = Config { idle: Duration::ZERO, ..Config::DEFAULT };
        assert_eq!(idle.validate(), Err(ConfigError::NoIdle));
        let absolute = Config { absolute: Duration::from_secs(1), ..Config::DEFAULT };
        assert_eq!(absolute.validate(), Err(ConfigError::AbsoluteBelowIdle));
        assert_eq!(Config { per_user: 0, ..Config::DEFAULT }.validate(), Err(ConfigError::NonePerUser));
    }

    #[test]
    fn a_session_kept_elsewhere_ends_at_the_same_moments() {
        let config = Config { idle: Duration::from_secs(10), absolute: Duration::from_secs(60), ..Config::DEFAULT };
        let at = Instant::from_secs;
        let just_before = |at: Instant| Instant::from_nanos(at.as_nanos() - 1);
        for (seen, ends, why) in [(0, 10, NoSession::Idle), (45, 55, NoSession::Idle), (55, 60, NoSession::Expired)] {
            let ends_at = config.ends_at(at(0), at(seen));
            assert_eq!(ends_at, at(ends));
            assert_eq!(config.state(at(0), at(seen), just_before(ends_at)), Ok(()));
            assert_eq!(config.state(at(0), at(seen), ends_at), Err(why));
        }
        assert_eq!(config.state(at(100), at(100), at(0)), Ok(()), "a clock that steps back ends nothing");
    }

    #[test]
    fn all_others_of_the_same_user_end_and_nobody_elses() {
        let mut sessions = Sessions::<4>::new(Config::DEFAULT);
        for (id, user) in [(1, "ada"), (2, "ada"), (3, "bob"), (4, "ada")] {
            sessions.begin(Id::from_random([id; 16]), user, Permissions::READ, Instant::ZERO).unwrap();
        }
        assert_eq!(sessions.end_others(&Id::from_random([9; 16])), 0, "an id that is nobody's ends nothing");
        assert_eq!(sessions.end_others(&Id::from_random([2; 16])), 2);
        let mut resumed = |id| sessions.resume(&Id::from_random([id; 16]), Instant::ZERO).is_ok();
        assert_eq!([1, 2, 3, 4].map(&mut resumed), [false, true, true, false]);
    }

    #[test]
    fn a_table_without_places_refuses_and_names_no_moment() {
        let mut none = Sessions::<0>::new(Config::DEFAULT);
        let refused = none.begin(Id::from_random([1; 16]), "ada", Permissions::READ, Instant::ZERO);
        assert_eq!(refused, Err(Refused::Full { retry_at: Instant::MAX }));
    }
}
