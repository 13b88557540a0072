//! Logins, tokens, rates and inputs decided in one place, each decision audited.

use core::fmt;

use super::audit::{Event, Kind as What, Outcome};
use super::keys::{HmacKey, KeyError, Kid, Role};
use super::lockout::{self, Lockout};
use super::password;
use super::permission::Permissions;
use super::policy::{self, Policy};
use super::token::{self, Claims, Keys, RevokeError, Revoked};
use crate::text::Text;
use crate::time::{Instant, UnixTime};

mod commands;
mod context;
mod denied;
mod input;
mod rates;

pub use commands::{Admitted, CommandGate, Refused};
pub use context::{Context, Identity, require, require_auth};
pub use denied::Denied;
pub use input::{Clean, Kind, Rejected};
use rates::Rates;

/// Says why there is no manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// The policy has a setting that cannot be.
    Policy(policy::ConfigError),
    /// The key cannot sign.
    Key(KeyError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Says from where and when something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct At<'a> {
    /// From where: an address, a device.
    pub source: &'a str,
    /// When.
    pub now: Instant,
    /// When by the wall clock, if there is one.
    pub unix: Option<UnixTime>,
}

/// Takes the events of all decisions: an audit chain, a queue before one.
///
/// Every verb that decides asks for one, so that none can be forgotten. A closure of an [`Event`] and its [`At`] is one.
pub trait Audit {
    /// Keeps an event.
    fn record(&mut self, event: &Event, at: &At<'_>);
}

impl<F: FnMut(&Event, &At<'_>)> Audit for F {
    fn record(&mut self, event: &Event, at: &At<'_>) {
        self(event, at);
    }
}

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

/// Gives a token that was just signed.
///
/// Has no `Debug`: who reads the token can use it.
#[derive(Clone, Copy)]
pub struct Issued<'o> {
    /// The token.
    pub token: &'o str,
    /// What it says.
    pub claims: Claims,
}

/// Decides who may what: the seed's `SecurityManager`.
///
/// It joins the policy, the lockout, the keys, what was revoked and the rate of each user's requests. A device calls it
/// as it is; on a host, `SecurityManager` of `daur-std` shares it between threads and hashes passwords outside its lock.
/// For commands that a host has signed for this one device, use [`CommandGate`].
///
/// # Rules
/// 1. Nothing is granted but by a token that verifies, is not revoked and has the permission.
/// 2. Every decision gives an event to the audit before the caller learns it.
/// 3. A login that fails is [`Denied::Unauthenticated`] whatever failed, and costs what a right one costs; the audit
///    is told the reason. So is a token that is refused.
/// 4. A locked name is refused before its password is looked at, and also when it was locked meanwhile. Names of users
///    and other names have a table each, so that invented names lock no user out.
/// 5. Each user has a rate of requests. It is asked after the token was found right, so nobody uses up another's.
/// 6. Renewing a token leaves the lockout as it is, ends the old token, and ends where the session ends: at
///    `session.absolute` after the login.
/// 7. Without a wall clock no token is issued that ends by one.
/// 8. An input passes only by the check of its kind, whole or not at all; the audit is not told what it was.
///
/// # Cost
/// 1.5 KB of RAM for one key, eight names and eight revoked tokens. `authorize` costs two HMACs (the token's, the name's)
/// and a walk over the tables; a login what its password costs.
///
/// # Errors
/// [`Denied`], whose code a client may be told; [`Rejected`] for an input.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and hash between [`begin`](Manager::begin) and
/// [`finish`](Manager::finish). A login that is dropped in between has changed nothing.
///
/// # Example
/// ```
/// use daur_core::security::audit::{Event, Kind, Outcome};
/// use daur_core::security::manager::{At, Credentials, Denied, Manager};
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::policy::Policy;
/// use daur_core::security::{password, token};
/// use daur_core::time::{Instant, UnixTime};
///
/// const POLICY: Policy = Policy { iterations: 1_000, ..Policy::DEFAULT };
/// let (key, seed) = ([7; 32], [9; 32]); // from a source of entropy
/// let mut manager = Manager::<1, 8, 8>::try_new(POLICY, token::Config::DEFAULT, None, &key, &seed).unwrap();
///
/// // In flash, made by `password::hash`:
/// let stored = password::hash("correct horse", &[1; 16], 1_000).unwrap();
/// let alice = |password| Credentials { name: "alice", password, stored: Some((stored.as_str(), Permissions::READ)) };
///
/// let mut events = Vec::new();
/// let audit = &mut |event: &Event, _: &At<'_>| events.push((event.kind, event.outcome));
/// let at = At { source: "uart", now: Instant::from_secs(5), unix: Some(UnixTime::from_secs(1_800_000_000)) };
///
/// let mut out = [0; 256];
/// let refused = manager.authenticate(alice("wrong horse"), [1; 16], &mut out, audit, &at);
/// assert_eq!(refused.err(), Some(Denied::Unauthenticated));
/// let issued = manager.authenticate(alice("correct horse"), [1; 16], &mut out, audit, &at).unwrap();
///
/// assert_eq!(manager.authorize(issued.token, Permissions::READ, audit, &at).unwrap().sub, "alice");
/// assert_eq!(manager.authorize(issued.token, Permissions::ADMIN, audit, &at), Err(Denied::Forbidden));
/// assert_eq!(
///     events,
///     [
///         (Kind::Login, Outcome::Failure),
///         (Kind::Login, Outcome::Success),
///         (Kind::TokenIssued, Outcome::Success),
///         (Kind::Access, Outcome::Success),
///         (Kind::AccessDenied, Outcome::Denied),
///     ]
/// );
/// ```
///
/// # References
/// OWASP ASVS 5, V6 to V8 and V16; RFC 8725.
#[doc(alias = "SecurityManager")]
pub struct Manager<'p, const KEYS: usize, const REVOKED: usize, const NAMES: usize> {
    policy: Policy<'p>,
    keys: Keys<KEYS>,
    revoked: Revoked<REVOKED>,
    known: Lockout<NAMES>,
    unknown: Lockout<NAMES>,
    rates: Rates<NAMES>,
    granted: u64,
    denied: u64,
}

/// Copies the counters of a [`Manager`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Logins, requests and inputs that passed.
    pub granted: u64,
    /// Those that did not.
    pub denied: u64,
    /// Requests refused because their user asked too often.
    pub limited: u64,
    /// Requests of users who found no place in the table of rates.
    pub crowded: u64,
    /// Revoked tokens that are remembered.
    pub revoked: u32,
    /// The lockout of users' names.
    pub known: lockout::Snapshot,
    /// The lockout of all other names.
    pub unknown: lockout::Snapshot,
}

/// A refusal on its way out.
struct No {
    denied: Denied,
    user: Text<32>,
    reason: Text<128>,
}

impl No {
    fn new(denied: Denied, user: Text<32>, reason: &str) -> Self {
        Self { denied, user, reason: Text::cut(reason) }
    }
}

impl<'p, const KEYS: usize, const REVOKED: usize, const NAMES: usize> Manager<'p, KEYS, REVOKED, NAMES> {
    /// By `policy`, with one key that signs.
    ///
    /// `tokens` says who issues the tokens and for whom; how long they live is the policy's. `seed` is random bytes of
    /// this process: who does not know them cannot choose names that share a place in a table.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn try_new(
        policy: Policy<'p>,
        tokens: token::Config,
        kid: Option<Kid>,
        secret: &[u8],
        seed: &[u8],
    ) -> Result<Self, ConfigError> {
        policy.validate().map_err(ConfigError::Policy)?;
        // A renewed token keeps the moment of its login, and may live until the session ends.
        let max_lifetime = policy.token_lifetime.max(policy.session.absolute);
        let keys = Keys::new(token::Config { max_lifetime, ..tokens }, kid, secret).map_err(ConfigError::Key)?;
        let seed = HmacKey::new(seed);
        let part = |name: &[u8]| seed.tag(&[name]);
        // `validate` has admitted the rate.
        let wrong = policy::ConfigError { field: "api_rate", allowed: "what limiter::Config allows" };
        let rates = Rates::try_new(policy.api_limit(), HmacKey::new(&part(b"daur rates v1")));
        Ok(Self {
            keys,
            revoked: Revoked::new(),
            known: Lockout::new(policy.lockout, &part(b"daur known names v1")),
            unknown: Lockout::new(policy.lockout, &part(b"daur unknown names v1")),
            rates: rates.map_err(|_| ConfigError::Policy(wrong))?,
            policy,
            granted: 0,
            denied: 0,
        })
    }

    /// What it decides by.
    #[must_use]
    pub const fn policy(&self) -> &Policy<'p> {
        &self.policy
    }

    /// Lets a login of `name` try its password, unless the name is locked. `known` says whether a user has that name.
    ///
    /// Then check the password (or spend the time, see [`password::dummy`]), and [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Denied::LockedOut`]
    pub fn begin(
        &mut self,
        name: &str,
        known: bool,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Attempt, Denied> {
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
            Err(no) => {
                who.denied(no.denied);
                return Err(self.refuse(What::AccessDenied, Outcome::Denied, &no, audit, at));
            }
        };
        self.granted = self.granted.saturating_add(1);
        let event = Event {
            actor: user,
            detail: named("", needed),
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
                let event = Event { actor: claims.sub, ..Event::new(What::Logout, Outcome::Success, "", at.source, "") };
                audit.record(&event, at);
                audit.record(&Event { kind: What::TokenRevoked, detail: number(&claims), ..event }, at);
                Ok(claims)
            }
            Err(no) => Err(self.refuse(What::TokenRevoked, Outcome::Failure, &no, audit, at)),
        }
    }

    /// Ends all tokens whose login was before this second, by decision of `actor`.
    ///
    /// # Errors
    /// [`Denied::NoClock`]
    pub fn revoke_all(&mut self, actor: &str, audit: &mut impl Audit, at: &At<'_>) -> Result<(), Denied> {
        let Some(unix) = at.unix else {
            let no = No::new(Denied::NoClock, Text::cut(actor), "no clock");
            return Err(self.refuse(What::TokenRevoked, Outcome::Failure, &no, audit, at));
        };
        self.revoked.revoke_all_before(unix.as_secs());
        audit.record(&Event::new(What::TokenRevoked, Outcome::Success, actor, at.source, "all"), at);
        Ok(())
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

    /// As [`refresh`](Self::refresh) for a token that was [verified](Self::verify), and that the caller has revoked where
    /// revoked tokens are kept: on a host, in a database.
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

    /// Checks an input that `actor` has sent, and makes it harmless: the seed's pair of whether it is valid and what
    /// is left of it.
    ///
    /// `buffer` takes what is made of it: as many bytes as the input has, one more for a command, six times as many for
    /// a text that is escaped. Use [`Policy::admit_command`] for a command's words.
    ///
    /// # Errors
    /// [`Rejected`]
    pub fn validate_and_sanitize<'b>(
        &mut self,
        input: &'b str,
        kind: Kind,
        actor: &str,
        buffer: &'b mut [u8],
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Clean<'b>, Rejected> {
        let checked = input::check(&self.policy, input, kind, buffer);
        let mut detail = Text::<128>::cut(kind.name());
        match &checked {
            Ok(clean) => {
                self.granted = self.granted.saturating_add(1);
                if clean.changed {
                    detail.push(": made harmless");
                }
            }
            Err(why) => {
                self.denied = self.denied.saturating_add(1);
                detail.push(why.reason());
            }
        }
        let outcome = if checked.is_ok() { Outcome::Success } else { Outcome::Denied };
        audit.record(&Event { detail, ..Event::new(What::InputRefused, outcome, actor, at.source, "") }, at);
        checked
    }

    /// Takes one more key, by decision of `actor`; one that signs makes the present one verify only.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn add_key(
        &mut self,
        kid: Option<Kid>,
        secret: &[u8],
        role: Role,
        actor: &str,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<(), KeyError> {
        let added = self.keys.add(kid, secret, role);
        key_event("added ", kid.as_ref(), added, actor, audit, at)
    }

    /// Forgets a key, by decision of `actor`: what it has signed is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn retire_key(
        &mut self,
        kid: Option<Kid>,
        actor: &str,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<(), KeyError> {
        let retired = self.keys.retire(kid);
        key_event("retired ", kid.as_ref(), retired, actor, audit, at)
    }

    /// Forgets names whose time has passed.
    pub fn poll(&mut self, now: Instant) {
        self.known.poll(now);
        self.unknown.poll(now);
    }

    /// When [`poll`](Self::poll) has something to do.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        Instant::earliest(self.known.poll_at(), self.unknown.poll_at())
    }

    /// The counters.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        Snapshot {
            granted: self.granted,
            denied: self.denied,
            limited: self.rates.refused,
            crowded: self.rates.crowded,
            revoked: u32::try_from(self.revoked.len()).unwrap_or(u32::MAX),
            known: self.known.snapshot(now),
            unknown: self.unknown.snapshot(now),
        }
    }

    fn locked(&mut self, attempt: &Attempt, now: Instant) -> Result<(), No> {
        let table = if attempt.known { &mut self.known } else { &mut self.unknown };
        table.check(attempt.name(), now).map_err(|locked| {
            No::new(Denied::LockedOut { retry_at: locked.retry_at }, attempt.name, "locked")
        })
    }

    /// Signature and revocation.
    fn check(&self, token: &str, at: &At<'_>) -> Result<Claims, No> {
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
        let identity = who.identity().ok_or_else(nobody)?;
        let user = Text::cut(identity.user);
        self.rates
            .check(identity.user, at.now)
            .map_err(|limited| No::new(Denied::RateLimited { retry_at: limited.retry_at }, user, "rate"))?;
        if !identity.permissions.contains(needed) {
            return Err(No { denied: Denied::Forbidden, user, reason: named("needs ", needed) });
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
        self.pass(old, Permissions::NONE, at)?;
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
    fn issue<'o>(
        &mut self,
        user: Text<32>,
        permissions: Permissions,
        since: Option<u64>,
        jti: [u8; 16],
        out: &'o mut [u8],
        at: &At<'_>,
    ) -> Result<Issued<'o>, No> {
        let now = at.unix.ok_or_else(|| No::new(Denied::NoClock, user, "no clock"))?.as_secs();
        let since = since.unwrap_or(now);
        let exp = now.saturating_add(self.policy.token_lifetime.as_secs()).min(self.ends(since));
        let claims =
            Claims { sub: user, exp: Some(exp), iat: Some(since), jti: Some(jti), permissions, ..Claims::default() };
        let token = self.keys.sign(&claims, out).map_err(|error| No::new(Denied::Internal, user, reason(error)))?;
        Ok(Issued { token, claims })
    }

    fn refuse(&mut self, kind: What, outcome: Outcome, no: &No, audit: &mut impl Audit, at: &At<'_>) -> Denied {
        self.denied = self.denied.saturating_add(1);
        let event = Event { actor: no.user, detail: no.reason, ..Event::new(kind, outcome, "", at.source, "") };
        audit.record(&event, at);
        no.denied
    }
}

fn token_event(issued: &Issued<'_>, at: &At<'_>) -> Event {
    let event = Event::new(What::TokenIssued, Outcome::Success, "", at.source, "");
    Event { actor: issued.claims.sub, detail: number(&issued.claims), ..event }
}

fn key_event(
    done: &str,
    kid: Option<&Kid>,
    result: Result<(), KeyError>,
    actor: &str,
    audit: &mut impl Audit,
    at: &At<'_>,
) -> Result<(), KeyError> {
    let mut detail = Text::<128>::cut(done);
    detail.push(kid.map_or("the key without a name", Kid::as_str));
    let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Failure };
    audit.record(&Event { detail, ..Event::new(What::KeyRotation, outcome, actor, at.source, "") }, at);
    result
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

/// Permissions by their names.
fn named(prefix: &str, permissions: Permissions) -> Text<128> {
    let mut text = Text::cut(prefix);
    let mut comma = "";
    for name in permissions.names() {
        text.push(comma);
        text.push(name);
        comma = ",";
    }
    text
}

/// Why a token is refused, in a few words for the audit.
const fn reason(error: token::Error) -> &'static str {
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

#[cfg(test)]
mod tests;
