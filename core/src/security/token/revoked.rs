//! Tokens that no longer count although their time has not come.

use core::fmt;

use super::{Claims, Error, MAX_LEEWAY};
use crate::time::UnixTime;

/// Remembers up to `N` revoked tokens for as long as they would have lived, and from when on all others count.
///
/// # Rules
/// 1. A revoked token stays revoked until its `exp` and the largest leeway have passed; one without `exp`, for ever.
/// 2. When no place is free, revoking says so; nothing that is remembered gives way.
/// 3. [`Revoked::revoke_all_before`] only moves forward; with it set, a token without `iat` is refused.
///
/// # Cost
/// 32 bytes a place; a check looks at all of them.
pub struct Revoked<const N: usize> {
    slots: [Option<Slot>; N],
    all_before: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    jti: [u8; 16],
    until: u64,
}

/// Says why a token was not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RevokeError {
    /// It has no `jti` to remember it by.
    NoId,
    /// No place is free before one of the revoked tokens expires.
    Full,
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoId => "a token without jti cannot be revoked by itself",
            Self::Full => "no further token can be revoked until one of the revoked expires",
        })
    }
}

impl core::error::Error for RevokeError {}

impl<const N: usize> Revoked<N> {
    /// Nothing is revoked.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [None; N], all_before: 0 }
    }

    /// Revokes a token that was verified: an unverified one would let anybody fill the places.
    ///
    /// # Errors
    /// [`RevokeError`]; nothing changed then.
    #[doc(alias = "revoke_token")]
    pub fn revoke(&mut self, claims: &Claims, now: UnixTime) -> Result<(), RevokeError> {
        let jti = claims.jti.ok_or(RevokeError::NoId)?;
        let until = claims.exp.map_or(u64::MAX, |exp| exp.saturating_add(MAX_LEEWAY.as_secs()).saturating_add(1));
        if let Some(slot) = self.slots.iter_mut().flatten().find(|slot| slot.jti == jti) {
            // A renewed token may have the same number and live longer.
            slot.until = slot.until.max(until);
            return Ok(());
        }
        let free = self.slots.iter_mut().find(|slot| slot.is_none_or(|slot| slot.until < now.as_secs()));
        *free.ok_or(RevokeError::Full)? = Some(Slot { jti, until });
        Ok(())
    }

    /// Revokes every token issued before `iat`, in seconds since 1970.
    pub const fn revoke_all_before(&mut self, iat: u64) {
        if iat > self.all_before {
            self.all_before = iat;
        }
    }

    /// Refuses revoked claims.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub fn check(&self, claims: &Claims) -> Result<(), Error> {
        let old = self.all_before > 0 && claims.iat.is_none_or(|iat| iat < self.all_before);
        if old || claims.jti.is_some_and(|jti| self.holds(&jti)) { Err(Error::Revoked) } else { Ok(()) }
    }

    /// Revoked tokens that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn holds(&self, jti: &[u8; 16]) -> bool {
        self.slots.iter().flatten().any(|slot| slot.jti == *jti)
    }
}

impl<const N: usize> Default for Revoked<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(jti: u8, exp: Option<u64>) -> Claims {
        Claims { jti: Some([jti; 16]), exp, iat: Some(100), ..Claims::default() }
    }

    #[test]
    fn a_revoked_token_stays_revoked_until_it_could_not_be_used_anyway() {
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
    fn revoking_a_renewed_token_of_the_same_jti_lasts_as_long_as_that_one() {
        let mut revoked = Revoked::<1>::new();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke(&token(1, Some(9_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke(&token(1, Some(1_000)), UnixTime::from_secs(500)).unwrap();
        assert_eq!(revoked.revoke(&token(2, Some(9_000)), UnixTime::from_secs(5_000)), Err(RevokeError::Full));
        assert_eq!(revoked.check(&token(1, Some(9_000))), Err(Error::Revoked));
    }

    #[test]
    fn when_full_nothing_that_is_remembered_gives_way() {
        let mut revoked = Revoked::<2>::new();
        let now = UnixTime::from_secs(1);
        revoked.revoke(&token(1, None), now).unwrap();
        revoked.revoke(&token(2, Some(9)), now).unwrap();
        assert_eq!(revoked.revoke(&token(3, Some(9)), now), Err(RevokeError::Full));
        assert_eq!(revoked.revoke(&token(1, None), now), Ok(()));
        assert_eq!(revoked.len(), 2);
        assert_eq!(revoked.revoke(&Claims::default(), now), Err(RevokeError::NoId));
    }

    #[test]
    fn the_watermark_only_moves_forward() {
        let mut revoked = Revoked::<0>::new();
        assert_eq!(revoked.check(&Claims::default()), Ok(()));
        revoked.revoke_all_before(101);
        revoked.revoke_all_before(50);
        assert_eq!(revoked.check(&token(1, None)), Err(Error::Revoked));
        assert_eq!(revoked.check(&Claims { iat: Some(101), ..Claims::default() }), Ok(()));
        assert_eq!(revoked.check(&Claims::default()), Err(Error::Revoked));
    }
}
