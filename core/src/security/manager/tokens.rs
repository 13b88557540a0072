//! Tokens checked, admitted, ended and renewed.

use super::context::identity;
use super::{At, Audit, Context, Denied, Issued, Manager, No, What, named};
use crate::security::audit::{Event, Outcome};
use crate::security::permission::Permissions;
use crate::security::token::{self, Claims, RevokeError, Revoked};
use crate::text::Text;
use crate::time::UnixTime;

impl<const KEYS: usize, const REVOKED: usize, const NAMES: usize> Manager<'_, KEYS, REVOKED, NAMES> {
    /// Whether the holder of a token may: signature, revocation, rate, permission.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`], [`Denied::RateLimited`], [`Denied::Forbidden`].
    pub fn authorize(
        &mut self,
        token: &str,
        needed: Permissions,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Claims, Denied> {
        let claims = self.verify(token, audit, at)?;
        self.admit(&claims, needed, audit, at)?;
        Ok(claims)
    }

    /// The first half of [`authorize`](Self::authorize): whose token it is. A refusal is audited; what was verified
    /// is still to be [admitted](Self::admit).
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`]
    pub fn verify(&mut self, token: &str, audit: &mut impl Audit, at: &At<'_>) -> Result<Claims, Denied> {
        let checked = self.check(token, at);
        checked.map_err(|no| self.refuse(What::AccessDenied, Outcome::Denied, &no, audit, at))
    }

    /// The second half of [`authorize`](Self::authorize), for a token that was verified or a session that was resumed.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] for nobody, [`Denied::RateLimited`], [`Denied::Forbidden`].
    pub fn admit<C: Context + ?Sized>(
        &mut self,
        who: &C,
        needed: Permissions,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<(), Denied> {
        let user = match self.pass(who, needed, at) {
            Ok(user) => user,
            Err(no) => return Err(self.refuse(What::AccessDenied, Outcome::Denied, &no, audit, at)),
        };
        self.granted = self.granted.saturating_add(1);
        let event = Event {
            actor: user,
            detail: named("", needed, &self.tokens.scopes),
            ..Event::new(What::Access, Outcome::Success, "", at.source, "")
        };
        audit.record(&event, at);
        Ok(())
    }

    /// Ends a token before its time, by whoever holds it: a logout.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] for one that does not count anyway; [`Denied::Overloaded`] if no further one can be
    /// remembered before one of the revoked expires.
    pub fn revoke(&mut self, token: &str, audit: &mut impl Audit, at: &At<'_>) -> Result<Claims, Denied> {
        let revoked = self.check(token, at).and_then(|claims| self.forget(&claims, at).map(|()| claims));
        match revoked {
            Ok(claims) => {
                let event =
                    Event { actor: claims.sub, ..Event::new(What::Logout, Outcome::Success, "", at.source, "") };
                audit.record(&event, at);
                audit.record(&Event { kind: What::TokenRevoked, detail: number(&claims), ..event }, at);
                Ok(claims)
            }
            Err(no) => Err(self.refuse(What::TokenRevoked, Outcome::Failure, &no, audit, at)),
        }
    }

    /// Ends all tokens that there are, by decision of `actor`.
    ///
    /// # Errors
    /// [`Denied::NoClock`]
    pub fn revoke_all(&mut self, actor: &str, audit: &mut impl Audit, at: &At<'_>) -> Result<(), Denied> {
        self.revoke_before("all", actor, audit, at, |revoked, before| {
            revoked.revoke_all_before(before);
            Ok(())
        })
    }

    /// Ends all tokens of `user`, by decision of `actor`: after a change of the password or of what the user may do, or
    /// when there is no such user any more.
    ///
    /// # Errors
    /// [`Denied::NoClock`]; [`Denied::Overloaded`] if no further user can be remembered: [`revoke_all`](Self::revoke_all)
    /// always can; [`Denied::InvalidInput`] for a name that no user can have.
    pub fn revoke_user(&mut self, user: &str, actor: &str, audit: &mut impl Audit, at: &At<'_>) -> Result<(), Denied> {
        let config = self.tokens;
        let mut detail = Text::<128>::cut("all of ");
        detail.push(Text::<32>::cut(user).as_str());
        self.revoke_before(detail.as_str(), actor, audit, at, |revoked, before| {
            if user.is_empty() {
                // In some stores no name means all.
                return Err(RevokeError::NoId);
            }
            let now = UnixTime::from_secs(before.saturating_sub(1));
            match revoked.revoke_user(user, before) {
                Err(RevokeError::Full) if revoked.reclaim(now, &config) > 0 => revoked.revoke_user(user, before),
                marked => marked,
            }
        })
    }

    fn revoke_before(
        &mut self,
        whose: &str,
        actor: &str,
        audit: &mut impl Audit,
        at: &At<'_>,
        mark: impl FnOnce(&mut Revoked<REVOKED, NAMES>, u64) -> Result<(), RevokeError>,
    ) -> Result<(), Denied> {
        let refused = |denied, why| No::new(denied, Text::cut(actor), why);
        // With what was issued in this very second; `issue` dates what comes after it.
        let marked = at.unix.ok_or_else(|| refused(Denied::NoClock, "no clock")).and_then(|unix| {
            mark(&mut self.revoked, unix.as_secs().saturating_add(1)).map_err(|error| match error {
                RevokeError::Full => refused(Denied::Overloaded, "no room for another user"),
                _ => refused(Denied::InvalidInput, "no user's name"),
            })
        });
        match marked {
            Ok(()) => {
                audit.record(&Event::new(What::TokenRevoked, Outcome::Success, actor, at.source, whose), at);
                Ok(())
            }
            Err(no) => Err(self.refuse(What::TokenRevoked, Outcome::Failure, &no, audit, at)),
        }
    }

    /// Changes a token for a new one; the old one ends. `granted` is what its user may by now; `None`, that there is
    /// no such user any more.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize), and [`Denied::Unauthenticated`] if the session is over;
    /// [`Denied::Overloaded`] if the old one cannot be revoked; [`Denied::Internal`] if `out` is too small, and then
    /// the old token has ended all the same.
    pub fn refresh<'o>(
        &mut self,
        token: &str,
        granted: Option<Permissions>,
        jti: [u8; 16],
        out: &'o mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Issued<'o>, Denied> {
        let old = self.verify(token, audit, at)?;
        self.renew(&old, granted, true, jti, out, audit, at)
    }

    /// As [`refresh`](Self::refresh) for a token that was [verified](Self::verify) and [admitted](Self::admit), and that
    /// the caller has revoked where revoked tokens are kept: on a host, in a database.
    ///
    /// # Errors
    /// Those of `refresh`.
    pub fn reissue<'o>(
        &mut self,
        old: &Claims,
        granted: Option<Permissions>,
        jti: [u8; 16],
        out: &'o mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Issued<'o>, Denied> {
        self.renew(old, granted, false, jti, out, audit, at)
    }

    #[allow(clippy::too_many_arguments, reason = "those of `refresh`, and whether to revoke")]
    fn renew<'o>(
        &mut self,
        old: &Claims,
        granted: Option<Permissions>,
        revoke: bool,
        jti: [u8; 16],
        out: &'o mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Issued<'o>, Denied> {
        let renewed = self.try_renew(old, granted, revoke, jti, out, at);
        match renewed {
            Ok(issued) => {
                self.granted = self.granted.saturating_add(1);
                let event = token_event(&issued, at);
                audit.record(&Event { kind: What::TokenRevoked, detail: number(old), ..event }, at);
                audit.record(&event, at);
                Ok(issued)
            }
            Err(no) => Err(self.refuse(What::TokenIssued, Outcome::Denied, &no, audit, at)),
        }
    }

    /// Signature and revocation.
    pub(super) fn check(&self, token: &str, at: &At<'_>) -> Result<Claims, No> {
        let claims = self.keys.verify(token, at.unix);
        let claims = claims.map_err(|error| No::new(Denied::Unauthenticated, Text::EMPTY, reason(error)))?;
        // From here on the name is proved.
        let refused = |why| No::new(Denied::Unauthenticated, claims.sub, why);
        if claims.sub.is_empty() || claims.cmd.is_some() {
            return Err(refused("token: not of a login"));
        }
        self.revoked.check(&claims).map_err(|_| refused("token: revoked"))?;
        Ok(claims)
    }

    /// Rate and permission; says who it is.
    fn pass<C: Context + ?Sized>(&mut self, who: &C, needed: Permissions, at: &At<'_>) -> Result<Text<32>, No> {
        let nobody = || No::new(Denied::Unauthenticated, Text::EMPTY, "nobody");
        let identity = identity(who).ok_or_else(nobody)?;
        let user = Text::cut(identity.user);
        self.rates
            .check(identity.user, at.now)
            .map_err(|limited| No::new(Denied::RateLimited { retry_at: limited.retry_at }, user, "rate"))?;
        if !identity.permissions.contains(needed) {
            return Err(No { needed, ..No::new(Denied::Forbidden, user, "needs ") });
        }
        Ok(user)
    }

    fn forget(&mut self, claims: &Claims, at: &At<'_>) -> Result<(), No> {
        // Without a clock nothing that is remembered counts as over.
        let now = at.unix.unwrap_or(UnixTime::from_secs(0));
        self.revoked.revoke(claims, now).map_err(|error| match error {
            RevokeError::NoId => No::new(Denied::Unauthenticated, claims.sub, "token: no jti"),
            _ => No::new(Denied::Overloaded, claims.sub, "no room for another revoked token"),
        })
    }

    fn try_renew<'o>(
        &mut self,
        old: &Claims,
        granted: Option<Permissions>,
        revoke: bool,
        jti: [u8; 16],
        out: &'o mut [u8],
        at: &At<'_>,
    ) -> Result<Issued<'o>, No> {
        if revoke {
            self.pass(old, Permissions::NONE, at)?;
        }
        let refused = |why| No::new(Denied::Unauthenticated, old.sub, why);
        let granted = granted.ok_or_else(|| refused("unknown user"))?;
        let since = old.iat.ok_or_else(|| refused("token: no iat"))?;
        if old.jti == Some(jti) {
            // Revoking the old one would revoke the new one too: that number is not random.
            return Err(No::new(Denied::Internal, old.sub, "token: jti is not random"));
        }
        let unix = at.unix.ok_or_else(|| No::new(Denied::NoClock, old.sub, "no clock"))?;
        if unix.as_secs() >= self.ends(since) {
            return Err(refused("session is over"));
        }
        if revoke {
            self.forget(old, at)?;
        }
        self.issue(old.sub, granted, Some(since), jti, out, at)
    }

    /// When a session that began at `since` ends, both in seconds since 1970.
    const fn ends(&self, since: u64) -> u64 {
        since.saturating_add(self.policy.session.absolute.as_secs())
    }

    /// Signs a token for a login that was at `since`, or is now.
    pub(super) fn issue<'o>(
        &mut self,
        user: Text<32>,
        permissions: Permissions,
        since: Option<u64>,
        jti: [u8; 16],
        out: &'o mut [u8],
        at: &At<'_>,
    ) -> Result<Issued<'o>, No> {
        let now = at.unix.ok_or_else(|| No::new(Denied::NoClock, user, "no clock"))?.as_secs();
        // A login in the second in which the user's tokens were ended is not one of them.
        let since = since.unwrap_or_else(|| self.revoked.since(user.as_str()).clamp(now, now.saturating_add(1)));
        let exp = now.saturating_add(self.policy.token_lifetime.as_secs()).min(self.ends(since));
        let claims =
            Claims { sub: user, exp: Some(exp), iat: Some(since), jti: Some(jti), permissions, ..Claims::default() };
        let token = self.keys.sign(&claims, out).map_err(|error| No::new(Denied::Internal, user, reason(error)))?;
        Ok(Issued { token, claims })
    }
}

pub(super) fn token_event(issued: &Issued<'_>, at: &At<'_>) -> Event {
    let event = Event::new(What::TokenIssued, Outcome::Success, "", at.source, "");
    Event { actor: issued.claims.sub, detail: number(&issued.claims), ..event }
}

/// A token's number, by which the audit tells one from another. It signs nothing, so it may be told.
fn number(claims: &Claims) -> Text<128> {
    let mut text = Text::cut("jti ");
    for byte in claims.jti.unwrap_or_default() {
        for digit in [byte >> 4, byte & 15] {
            let digit = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            text.push(core::str::from_utf8(&[digit]).unwrap_or(""));
        }
    }
    text
}

/// Why a token is refused, in a few words for the audit.
pub(super) const fn reason(error: token::Error) -> &'static str {
    match error {
        token::Error::TooLong => "token: too long",
        token::Error::Header => "token: header",
        token::Error::UnknownKey => "token: unknown key",
        token::Error::Tag => "token: tag",
        token::Error::Claims => "token: claims",
        token::Error::Missing => "token: a claim is missing",
        token::Error::Expired => "token: expired",
        token::Error::NotYet => "token: not valid yet",
        token::Error::Lifetime => "token: lives too long",
        token::Error::NoClock => "token: no clock",
        token::Error::Issuer => "token: issuer",
        token::Error::Audience => "token: audience",
        token::Error::Revoked => "token: revoked",
        token::Error::Buffer => "token: buffer",
        _ => "token: malformed",
    }
}
