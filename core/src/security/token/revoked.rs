//! Tokens that no longer count although their time has not come.

use core::fmt;

use super::{Claims, Config, Error, MAX_LEEWAY};
use crate::text::Text;
use crate::time::UnixTime;

/// Remembers up to `N` revoked tokens for as long as they would have lived, and from when on the tokens of up to
/// `USERS` users, and those of all, count: the seed's `revoke_token`.
///
/// # Rules
/// 1. A revoked token stays revoked until its `exp` and the largest leeway have passed; one without `exp`, for ever.
/// 2. When no place is free, revoking says so; nothing that is remembered gives way.
/// 3. [`Revoked::revoke_all_before`] only moves forward; with it set, a token without `iat` is refused.
/// 4. [`Revoked::revoke_user`] is the same for one user, and nobody else's tokens are touched by it.
/// 5. [`Revoked::reclaim`] forgets a user's mark only when the last token before it has expired, and makes it
///    everybody's then: a token that cannot expire does not come back.
///
/// # Cost
/// 32 bytes a token and 48 a user: 656 bytes of RAM and 6,276 of flash on thumbv6m (image `revoked`: eight of each, what reads
/// scopes within). A check looks at the places up to the last that is in use.
///
/// # Errors
/// [`RevokeError`]: nothing changed. After `Full`, [`Revoked::reclaim`] may make room;
/// [`Revoked::revoke_all_before`] always can.
///
/// # Sharing
/// Put it behind a lock; `check` takes `&self`.
///
/// # Example
/// ```
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::token::{Claims, Error, Revoked};
/// use daur_core::time::{Duration, UnixTime};
///
/// let mut revoked: Revoked<64> = Revoked::new();
/// let (now, hour) = (UnixTime::from_secs(1_800_000_000), Duration::from_secs(3_600));
/// let [ada, bob] = ["ada", "bob"].map(|name| Claims::for_user(name, Permissions::READ, now, hour, [7; 16]).unwrap());
/// revoked.revoke_user("ada", now.as_secs() + 1)?; // also what was issued in this very second
/// assert_eq!(revoked.check(&ada), Err(Error::Revoked));
/// assert_eq!(revoked.check(&bob), Ok(()));
/// revoked.revoke(&bob, now)?;
/// assert_eq!(revoked.check(&bob), Err(Error::Revoked));
/// # Ok::<(), daur_core::security::token::RevokeError>(())
/// ```
#[derive(Debug)]
pub struct Revoked<const N: usize, const USERS: usize = N> {
    slots: [Option<Slot>; N],
    /// Places of `slots` up to the last that is in use.
    used: usize,
    marks: [Mark; USERS],
    users: usize,
    all_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    jti: [u8; 16],
    until: u64,
}

/// Before when a user's tokens do not count; never, in a place that is free.
#[derive(Clone, Copy, Debug)]
struct Mark {
    user: Text<32>,
    before: u64,
}

/// Says why a token was not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RevokeError {
    /// It has no `jti` to remember it by.
    NoId,
    /// No place is free before one of the revoked tokens, or one before a user's mark, expires.
    Full,
    /// No user's name has more than 32 bytes.
    NameTooLong,
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoId => "a token without jti cannot be revoked by itself",
            Self::Full => "nothing further can be revoked until one of the revoked expires",
            Self::NameTooLong => "a user's name has at most 32 bytes",
        })
    }
}

impl core::error::Error for RevokeError {}

impl<const N: usize, const USERS: usize> Revoked<N, USERS> {
    /// Nothing is revoked.
    #[must_use]
    pub const fn new() -> Self {
        const FREE: Mark = Mark { user: Text::EMPTY, before: 0 };
        Self { slots: [None; N], used: 0, marks: [FREE; USERS], users: 0, all_before: 0 }
    }

    /// Revokes a token that was verified: an unverified one would let anybody fill the places.
    ///
    /// # Errors
    /// [`RevokeError`]; nothing changed then.
    #[doc(alias = "revoke_token")]
    pub fn revoke(&mut self, claims: &Claims, now: UnixTime) -> Result<(), RevokeError> {
        let jti = claims.jti.ok_or(RevokeError::NoId)?;
        let until = claims.exp.map_or(u64::MAX, |exp| exp.saturating_add(MAX_LEEWAY.as_secs()).saturating_add(1));
        if let Some(slot) = self.slots.iter_mut().take(self.used).flatten().find(|slot| slot.jti == jti) {
            // A renewed token may have the same number and live longer.
            slot.until = slot.until.max(until);
            return Ok(());
        }
        let free = |slot: &Option<Slot>| slot.is_none_or(|slot| slot.until < now.as_secs());
        let place = self.slots.iter().position(free).ok_or(RevokeError::Full)?;
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Slot { jti, until });
        }
        self.used = self.used.max(place + 1);
        Ok(())
    }

    /// Revokes every token of `user` issued before `iat`, in seconds since 1970: after a change of the password or
    /// of what they may do. Give `now + 1` to include what was issued in this second.
    ///
    /// # Errors
    /// [`RevokeError::Full`], [`RevokeError::NameTooLong`]; nothing changed then.
    pub fn revoke_user(&mut self, user: &str, iat: u64) -> Result<(), RevokeError> {
        let user = Text::new(user).map_err(|_| RevokeError::NameTooLong)?;
        if iat <= self.all_before {
            return Ok(());
        }
        if let Some(mark) = self.marks.iter_mut().take(self.users).find(|mark| mark.before > 0 && mark.user == user) {
            mark.before = mark.before.max(iat);
            return Ok(());
        }
        // What the mark of all covers needs no mark of its own.
        let free = |mark: &Mark| mark.before <= self.all_before;
        let place = self.marks.iter().position(free).ok_or(RevokeError::Full)?;
        if let Some(mark) = self.marks.get_mut(place) {
            *mark = Mark { user, before: iat };
        }
        self.users = self.users.max(place + 1);
        Ok(())
    }

    /// Revokes every token issued before `iat`, in seconds since 1970.
    pub const fn revoke_all_before(&mut self, iat: u64) {
        if iat > self.all_before {
            self.all_before = iat;
        }
    }

    /// Frees the places of what has expired for a verifier with this config; says how many.
    pub fn reclaim(&mut self, now: UnixTime, config: &Config) -> usize {
        let before = self.len() + self.marked();
        for slot in self.slots.iter_mut().filter(|slot| slot.is_some_and(|slot| slot.until < now.as_secs())) {
            *slot = None;
        }
        // Issued before this second, a token has expired, however long it was to live.
        let lived = config.max_lifetime.as_secs().saturating_add(MAX_LEEWAY.as_secs()).saturating_add(1);
        let expired = now.as_secs().saturating_sub(lived);
        let over = self.marks.iter().map(|mark| mark.before).filter(|before| *before <= expired).max();
        self.revoke_all_before(over.unwrap_or_default());
        for mark in self.marks.iter_mut().filter(|mark| mark.before <= self.all_before) {
            mark.before = 0;
        }
        self.used = self.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.users = self.marks.iter().rposition(|mark| mark.before > 0).map_or(0, |last| last + 1);
        before - self.len() - self.marked()
    }

    /// Refuses revoked claims.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub fn check(&self, claims: &Claims) -> Result<(), Error> {
        let old = |before: u64| before > 0 && claims.iat.is_none_or(|iat| iat < before);
        let of_user = |mark: &Mark| old(mark.before) && mark.user == claims.sub;
        let revoked = old(self.all_before)
            || self.marks.iter().take(self.users).any(of_user)
            || claims.jti.is_some_and(|jti| self.holds(&jti));
        if revoked { Err(Error::Revoked) } else { Ok(()) }
    }

    /// From when on the tokens of a user count, in seconds since 1970; 0 if none of them was ended so.
    #[must_use]
    pub fn since(&self, user: &str) -> u64 {
        let of_user = self.marks.iter().take(self.users).filter(|mark| mark.user.as_str() == user);
        of_user.fold(self.all_before, |since, mark| since.max(mark.before))
    }

    /// Revoked tokens that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().take(self.used).flatten().count()
    }

    /// Users whose older tokens do not count.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.marks.iter().take(self.users).filter(|mark| mark.before > self.all_before).count()
    }

    /// Whether no token is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn holds(&self, jti: &[u8; 16]) -> bool {
        self.slots.iter().take(self.used).flatten().any(|slot| slot.jti == *jti)
    }
}

impl<const N: usize, const USERS: usize> Default for Revoked<N, USERS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn token(jti: u8, exp: Option<u64>) -> Claims {
        Claims { jti: Some([jti; 16]), exp, iat: Some(100), ..Claims::default() }
    }

    fn of(user: &str, iat: Option<u64>) -> Claims {
        Claims { sub: Text::cut(user), iat, exp: Some(9_000), ..Claims::default() }
    }

    #[test]
    fn rule_1_a_revoked_token_stays_revoked_until_it_could_not_be_used_anyway() {
        let mut revoked = Revoked::<1>::new();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        assert_eq!(revoked.check(&token(1, Some(1_000))), Err(Error::Revoked));
        assert_eq!(revoked.check(&token(2, Some(1_000))), Ok(()));
        // exp + 60 s of leeway: its place is still taken at 1060, and free after it.
        let next = token(2, Some(5_000));
        assert_eq!(revoked.revoke(&next, UnixTime::from_secs(1_061)), Err(RevokeError::Full));
        assert_eq!(revoked.revoke(&next, UnixTime::from_secs(1_062)), Ok(()));
    }

    #[test]
    fn rule_1_a_renewed_token_of_the_same_jti_is_revoked_as_long_as_it_lives() {
        let mut revoked = Revoked::<1>::new();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke(&token(1, Some(9_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        assert_eq!(revoked.revoke(&token(2, Some(9_000)), UnixTime::from_secs(5_000)), Err(RevokeError::Full));
        assert_eq!(revoked.check(&token(1, Some(9_000))), Err(Error::Revoked));
    }

    #[test]
    fn rule_2_when_full_nothing_that_is_remembered_gives_way() {
        let mut revoked = Revoked::<2>::new();
        let now = UnixTime::from_secs(1);
        revoked.revoke(&token(1, None), now).unwrap();
        revoked.revoke(&token(2, Some(9)), now).unwrap();
        assert_eq!(revoked.revoke(&token(3, Some(9)), now), Err(RevokeError::Full));
        assert_eq!(revoked.revoke(&token(1, None), now), Ok(()));
        assert_eq!(revoked.len(), 2);
        assert_eq!(revoked.revoke(&Claims::default(), now), Err(RevokeError::NoId));

        revoked.revoke_user("ada", 50).unwrap();
        revoked.revoke_user("bob", 60).unwrap();
        assert_eq!(revoked.revoke_user("eve", 70), Err(RevokeError::Full));
        assert_eq!(revoked.revoke_user("bob", 80), Ok(()), "who is marked can be marked again");
        assert_eq!(revoked.check(&of("ada", Some(49))), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("eve", Some(0))), Ok(()), "as the error said");
        assert_eq!(revoked.revoke_user("a name that is longer than 32 bytes", 1), Err(RevokeError::NameTooLong));
    }

    #[test]
    fn rule_3_the_watermark_only_moves_forward() {
        let mut revoked = Revoked::<0>::new();
        assert_eq!(revoked.check(&Claims::default()), Ok(()));
        revoked.revoke_all_before(101);
        revoked.revoke_all_before(50);
        assert_eq!(revoked.check(&token(1, None)), Err(Error::Revoked));
        assert_eq!(revoked.check(&Claims { iat: Some(101), ..Claims::default() }), Ok(()));
        assert_eq!(revoked.check(&Claims::default()), Err(Error::Revoked));
    }

    #[test]
    fn rule_4_a_users_mark_only_moves_forward_and_is_nobody_elses() {
        let mut revoked = Revoked::<0, 2>::new();
        revoked.revoke_user("ada", 100).unwrap();
        revoked.revoke_user("ada", 50).unwrap();
        assert_eq!(revoked.check(&of("ada", Some(99))), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("ada", None)), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("ada", Some(100))), Ok(()));
        for other in ["ad", "adaa", "Ada", ""] {
            assert_eq!(revoked.check(&of(other, Some(0))), Ok(()), "{other}");
            assert_eq!(revoked.check(&of(other, None)), Ok(()), "{other}");
        }
        // The mark of all overtakes it, and its place is free.
        revoked.revoke_user("bob", 200).unwrap();
        assert_eq!(revoked.revoke_user("eve", 150), Err(RevokeError::Full));
        revoked.revoke_all_before(120);
        assert_eq!(revoked.marked(), 1);
        assert_eq!(revoked.revoke_user("eve", 150), Ok(()));
        assert_eq!(revoked.check(&of("ada", Some(119))), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("bob", Some(199))), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("eve", Some(149))), Err(Error::Revoked));
    }

    #[test]
    fn rule_5_a_mark_is_forgotten_when_nothing_before_it_can_live() {
        let config = Config { max_lifetime: Duration::from_secs(1_000), ..Config::DEFAULT };
        let mut revoked = Revoked::<1, 2>::new();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke_user("ada", 500).unwrap();
        revoked.revoke_user("bob", 900).unwrap();
        assert_eq!(revoked.reclaim(UnixTime::from_secs(1_061), &config), 0);
        assert_eq!(revoked.reclaim(UnixTime::from_secs(1_062), &config), 1, "the token");
        // Issued at 499, good until 1499 and 60 s of leeway.
        assert_eq!(revoked.reclaim(UnixTime::from_secs(1_560), &config), 0);
        assert_eq!(revoked.reclaim(UnixTime::from_secs(1_561), &config), 1, "ada's mark");
        assert_eq!((revoked.marked(), revoked.len()), (1, 0));
        // Her tokens that have no end or no beginning do not come back, nor does bob's mark go.
        assert_eq!(revoked.check(&of("ada", Some(499))), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("ada", None)), Err(Error::Revoked));
        assert_eq!(revoked.check(&of("ada", Some(500))), Ok(()));
        assert_eq!(revoked.check(&of("bob", Some(899))), Err(Error::Revoked));
        assert_eq!(revoked.revoke_user("eve", 1_561), Ok(()));
        assert_eq!(revoked.reclaim(UnixTime::from_secs(0), &config), 0, "a clock that steps back forgets nothing");
        assert_eq!(revoked.marked(), 2);
    }
}
