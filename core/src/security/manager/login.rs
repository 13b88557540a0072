//! From a name and a password to a token.

use super::tokens::token_event;
use super::{At, Audit, Denied, Issued, Manager, No, What};
use crate::security::audit::{Event, Outcome};
use crate::security::password;
use crate::security::permission::Permissions;
use crate::text::Text;
use crate::time::Instant;

/// Proves that a login was let in to try; give it to [`Manager::finish`] or [`Manager::abandon`].
#[derive(Debug)]
#[must_use = "a login that is neither finished nor abandoned is missing in the audit"]
pub struct Attempt {
    name: Text<32>,
    known: bool,
}

impl Attempt {
    /// The name, cut to the 32 bytes that a user's has at most.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

/// Holds what somebody logs in with, and what is stored of them.
///
/// Has no `Debug`: a password is in it.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The name that was given.
    pub name: &'a str,
    /// The password that was given.
    pub password: &'a str,
    /// What is stored of the user of that name: the hash (a PHC string), and what is granted.
    pub stored: Option<(&'a str, Permissions)>,
}

impl<const KEYS: usize, const REVOKED: usize, const NAMES: usize> Manager<'_, KEYS, REVOKED, NAMES> {
    /// Lets a login of `name` try its password, unless the name is locked. `known` says whether a user has that name.
    ///
    /// Then check the password (or spend the time, see [`password::dummy`]), and [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Denied::LockedOut`]
    pub fn begin(&mut self, name: &str, known: bool, audit: &mut impl Audit, at: &At<'_>) -> Result<Attempt, Denied> {
        // What cannot be a user's name is nobody's.
        let known = known && !name.is_empty() && name.len() <= 32;
        let attempt = Attempt { name: Text::cut(name), known };
        match self.locked(&attempt, at.now) {
            Ok(()) => Ok(attempt),
            Err(no) => Err(self.refuse(What::Login, Outcome::Denied, &no, audit, at)),
        }
    }

    /// Ends a login, and signs a token if the password was right: then `granted` says what the user may.
    ///
    /// `jti` is the token's number, 16 random bytes; `out` takes the token.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`]; [`Denied::LockedOut`] if the name was locked meanwhile, and then nobody learns
    /// whether the password was right; [`Denied::NoClock`]; [`Denied::Internal`] if `out` is too small.
    #[allow(clippy::needless_pass_by_value, reason = "an attempt ends once")]
    pub fn finish<'o>(
        &mut self,
        attempt: Attempt,
        granted: Option<Permissions>,
        jti: [u8; 16],
        out: &'o mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Issued<'o>, Denied> {
        if let Err(no) = self.locked(&attempt, at.now) {
            return Err(self.refuse(What::Login, Outcome::Denied, &no, audit, at));
        }
        let Some(permissions) = granted.filter(|_| attempt.known) else {
            let table = if attempt.known { &mut self.known } else { &mut self.unknown };
            let locks = table.on_failure(attempt.name(), at.now).is_some();
            let reason = if attempt.known { "wrong password" } else { "unknown user" };
            let no = No::new(Denied::Unauthenticated, attempt.name, reason);
            let denied = self.refuse(What::Login, Outcome::Failure, &no, audit, at);
            if locks {
                let event = Event::new(What::Lockout, Outcome::Denied, attempt.name(), at.source, reason);
                audit.record(&event, at);
            }
            return Err(denied);
        };
        self.known.on_success(attempt.name(), at.now);
        let issued = match self.issue(attempt.name, permissions, None, jti, out, at) {
            Ok(issued) => issued,
            Err(no) => return Err(self.refuse(What::Login, Outcome::Failure, &no, audit, at)),
        };
        self.granted = self.granted.saturating_add(1);
        audit.record(&Event::new(What::Login, Outcome::Success, attempt.name(), at.source, ""), at);
        audit.record(&token_event(&issued, at), at);
        Ok(issued)
    }

    /// Ends a login whose password could not be looked at; it counts for nothing.
    #[allow(clippy::needless_pass_by_value, reason = "an attempt ends once")]
    pub fn abandon(&mut self, attempt: Attempt, why: Denied, audit: &mut impl Audit, at: &At<'_>) -> Denied {
        let no = No::new(why, attempt.name, why.code());
        self.refuse(What::Login, Outcome::Failure, &no, audit, at)
    }

    /// Checks a password and signs a token, in one call: for a device that may wait, or has few iterations.
    ///
    /// # Errors
    /// As [`begin`](Self::begin) and [`finish`](Self::finish); a stored hash that cannot be read is a wrong password.
    #[doc(alias = "login")]
    pub fn authenticate<'o>(
        &mut self,
        given: Credentials<'_>,
        jti: [u8; 16],
        out: &'o mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Issued<'o>, Denied> {
        let attempt = self.begin(given.name, given.stored.is_some(), audit, at)?;
        let granted = match given.stored {
            Some((phc, granted)) => match password::verify(given.password, phc) {
                Ok(true) => Some(granted),
                Ok(false) => None,
                Err(_) => {
                    password::dummy(given.password, self.policy.iterations);
                    None
                }
            },
            None => {
                password::dummy(given.password, self.policy.iterations);
                None
            }
        };
        self.finish(attempt, granted, jti, out, audit, at)
    }

    fn locked(&mut self, attempt: &Attempt, now: Instant) -> Result<(), No> {
        let table = if attempt.known { &mut self.known } else { &mut self.unknown };
        table
            .check(attempt.name(), now)
            .map_err(|locked| No::new(Denied::LockedOut { retry_at: locked.retry_at }, attempt.name, "locked"))
    }
}
