//! Logins, tokens, rates and inputs decided in one place, each decision audited.

use core::fmt;

use super::audit::{Event, Kind as What, Outcome};
use super::keys::{HmacKey, KeyError, Kid, TAG_LEN};
use super::lockout::{self, Lockout};
use super::permission::{Permissions, Scopes};
use super::policy::{self, Policy};
use super::token::{self, Claims, Keys, Revoked};
use crate::text::Text;
use crate::time::{Instant, UnixTime};

mod commands;
mod context;
mod denied;
mod input;
mod login;
mod rates;
mod rotation;
mod tokens;

pub use commands::{Admitted, CommandGate, Refused};
pub use context::{Context, Identity, require, require_auth};
pub use denied::Denied;
pub use input::{Clean, Kind, Rejected};
pub use login::{Attempt, Credentials};
use rates::Rates;
use tokens::reason;

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
/// 2,352 bytes of RAM and 80,540 of flash on thumbv6m (image `manager`, 8,680 bytes of stack; one key, eight names,
/// eight revoked tokens), nearly all of it tokens, passwords and the checks of inputs with their lists. `authorize`
/// costs two HMACs (the token's, the name's) and a walk over the tables; a login what its password costs.
///
/// # Errors
/// [`Denied`], whose code a client may be told; [`Rejected`] for an input.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and hash between [`begin`](Manager::begin) and
/// [`finish`](Manager::finish). A login that is dropped in between has changed nothing, but that it began was not told.
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
    tokens: token::Config,
    revoked: Revoked<REVOKED, NAMES>,
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
    reason: &'static str,
    /// What was needed, where that is the reason.
    needed: Permissions,
}

impl No {
    const fn new(denied: Denied, user: Text<32>, reason: &'static str) -> Self {
        Self { denied, user, reason, needed: Permissions::NONE }
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
        let tokens = token::Config { max_lifetime, ..tokens };
        let keys = Keys::new(tokens, kid, secret).map_err(ConfigError::Key)?;
        let seed = HmacKey::new(seed);
        let part = |name: &[u8]| seed.tag(&[name]);
        // `validate` has admitted both.
        let wrong = |field, allowed| ConfigError::Policy(policy::ConfigError { field, allowed });
        let names = |key: &[u8; TAG_LEN]| {
            Lockout::try_new(policy.lockout, key).map_err(|_| wrong("lockout", "what lockout::Config allows"))
        };
        let rates = Rates::try_new(policy.api_limit(), HmacKey::new(&part(b"daur rates v1")));
        Ok(Self {
            keys,
            tokens,
            revoked: Revoked::new(),
            known: names(&part(b"daur known names v1"))?,
            unknown: names(&part(b"daur unknown names v1"))?,
            rates: rates.map_err(|_| wrong("api_rate", "what limiter::Config allows"))?,
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
        let (what, outcome) = match &checked {
            Ok(clean) => {
                self.granted = self.granted.saturating_add(1);
                if clean.changed {
                    detail.push(": made harmless");
                }
                (if clean.changed { What::InputRefused } else { What::Access }, Outcome::Success)
            }
            Err(why) => {
                self.denied = self.denied.saturating_add(1);
                detail.push(why.reason());
                (What::InputRefused, Outcome::Denied)
            }
        };
        audit.record(&Event { detail, ..Event::new(what, outcome, actor, at.source, "") }, at);
        checked
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

    fn refuse(&mut self, kind: What, outcome: Outcome, no: &No, audit: &mut impl Audit, at: &At<'_>) -> Denied {
        self.denied = self.denied.saturating_add(1);
        let detail = named(no.reason, no.needed, &self.tokens.scopes);
        let event = Event { actor: no.user, detail, ..Event::new(kind, outcome, "", at.source, "") };
        audit.record(&event, at);
        no.denied
    }
}

/// Permissions by their names.
fn named(prefix: &str, permissions: Permissions, scopes: &Scopes) -> Text<128> {
    let mut text = Text::cut(prefix);
    let mut comma = "";
    for name in scopes.names(permissions) {
        text.push(comma);
        text.push(name);
        comma = ",";
    }
    text
}

#[cfg(test)]
mod tests;
