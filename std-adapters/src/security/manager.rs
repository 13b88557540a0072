//! One gate for a service: logins, tokens, rates and inputs, each decision audited.

use std::fmt;
use std::sync::{Arc, OnceLock};

use daur_core::reliability::bulkhead;
use daur_core::security::audit::{Event, Kind as What, Outcome};
use daur_core::security::keys::{KeyError, Kid, Role};
use daur_core::security::manager::{At, ConfigError, Manager};
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::token::{self, Claims};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};

use crate::clock::{StdClock, SystemWallClock};
use crate::reliability::bulkhead::SharedBulkhead;
use crate::security::keys::random;
use crate::shared::StdShared;

pub use daur_core::security::manager::{
    Audit, Clean, CommandGate, Context, Denied, Identity, Kind, Rejected, Snapshot, require, require_auth,
};

#[cfg(feature = "axum")]
pub mod extract;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(feature = "tokio")]
mod login;
mod requests;
#[cfg(feature = "tokio")]
mod schemes;
mod sinks;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stores;

pub use requests::{Answer, Bearing};
#[cfg(feature = "tokio")]
pub use schemes::ByScheme;
pub use sinks::{Queue, Recent, Sink, Stamped, WithoutGrants, Writer};
pub use stores::{Account, BoxError, Checked, MemoryUsers, Passwords, Pbkdf2, Revocations, UserStore};

/// Keys that a manager holds at a time: one that signs, others that still verify.
pub const KEYS: usize = 4;
/// Tokens that a manager remembers as revoked, without a store of them.
pub const REVOKED: usize = 4_096;
/// Names in each of the tables: of users who failed to log in, of other names that did, of users who ask, of those whose
/// tokens were ended.
pub const NAMES: usize = 1_024;

type Machine = Manager<'static, KEYS, REVOKED, NAMES>;

/// Reads the clock that the manager was built with.
#[derive(Clone)]
struct AnyClock(Arc<dyn Clock + Send + Sync>);

impl Clock for AnyClock {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// Says why there is no manager.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The policy or the key.
    Config(ConfigError),
    /// How many logins may be looked at.
    Logins(bulkhead::ConfigError),
    /// The operating system has no randomness.
    Random(std::io::Error),
    /// The operating system has no thread to build it on.
    Thread(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Logins(error) => error.fmt(f),
            Self::Random(error) | Self::Thread(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Gives a token that was just signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token: for its user and nobody else, so it is not printed.
    pub token: String,
    /// What it says.
    pub claims: Claims,
}

impl Issued {
    /// When it ends, in seconds since 1970.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.claims.exp.unwrap_or(0)
    }

    /// What it grants.
    #[must_use]
    pub const fn permissions(&self) -> Permissions {
        self.claims.permissions
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("claims", &self.claims).finish_non_exhaustive()
    }
}

struct Inner {
    machine: StdShared<Machine, AnyClock>,
    wall: Box<dyn WallClock + Send + Sync>,
    users: Box<dyn UserStore>,
    audit: Box<dyn Sink>,
    passwords: Box<dyn Passwords>,
    revocations: Option<Box<dyn Revocations>>,
    logins: SharedBulkhead<256, AnyClock>,
}

/// Shares a [`Manager`] between threads and tasks: the seed's `SecurityManager`. A clone is the same one.
///
/// Policy is `daur-core`'s alone. This locks, looks users up, hashes passwords outside the lock, and hands every event to
/// a [`Sink`] before anybody learns the decision. For axum see `extract`, for tower `layer`, for functions the attributes
/// `#[require_auth]` and `#[require_permission]`.
///
/// # Rules
/// 1. What cannot be audited, looked up or checked is not granted: [`Denied::Internal`], and the log says why.
/// 2. Passwords are hashed outside the lock, so many at a time; a login that finds no turn is [`Denied::Overloaded`].
/// 3. A login that is cancelled or panics counts for nothing; its hash is finished all the same, in its turn.
/// 4. With a store of revoked tokens, that store is asked for every token, and no token counts while it fails.
/// 5. No password, token or key is logged, printed or audited.
/// 6. A user who was changed is let in by the store's word alone: a login that the change overtook is refused, and a
///    token from before it is not renewed. [`revoke_user`](Self::revoke_user) ends those that there are at once.
///
/// How often one address may try to log in ([`Policy::login_rate`]) is not asked here, where addresses are texts for the
/// audit: put a limiter before the route. When more than [`NAMES`] users have failed to log in within
/// `lockout.forget_after`, further ones share one allowance of failures.
///
/// # Cost
/// 300 KB, all at the start, however many names come. An authorised request takes one lock: two HMACs and a walk over the
/// tables; and whatever the sink takes.
///
/// # Errors
/// [`Denied`], whose code a client may be told; [`Rejected`] for an input.
///
/// # Sharing
/// `Clone`, `Send` and `Sync`. No lock is held while a store, a sink or a hash is at work.
///
/// # Example
/// A service with its users and its audit chain in SQLite takes `Mutex::new(Users::open(path)?)` and
/// `Mutex::new(AuditLog::open(path, ..)?.0)` (feature `sqlite`) for the two in memory.
/// ```
/// use daur_std::core::security::audit;
/// use daur_std::core::security::permission::Permissions;
/// use daur_std::core::security::policy::Policy;
/// use daur_std::core::security::token::Claims;
/// use daur_std::security::manager::{Denied, Kind, MemoryUsers, Recent, SecurityManager};
///
/// // Read both at the start: `security::policy::load`, `security::keys::load_or_create`.
/// const POLICY: Policy = Policy { iterations: 1_000, ..Policy::DEFAULT };
/// let key = [7; 32];
///
/// let (users, audit) = (MemoryUsers::new(), Recent::new(100));
/// users.add("alice", "correct horse", POLICY.iterations, Permissions::READ)?;
/// let security = SecurityManager::builder(POLICY, &key, users, audit.clone()).build()?;
///
/// // Login to token in one call; on tokio `login(..).await`, which hashes on the blocking pool.
/// let issued = security.login_blocking("alice", "correct horse", "10.0.0.7")?;
/// assert_eq!(security.login_blocking("alice", "guessed", "10.0.0.7").unwrap_err(), Denied::Unauthenticated);
/// assert_eq!(security.login_blocking("nobody", "guessed", "10.0.0.7").unwrap_err(), Denied::Unauthenticated);
///
/// let claims = security.authorize(&issued.token, Permissions::READ, "10.0.0.7")?;
/// assert_eq!(security.authorize(&issued.token, Permissions::ADMIN, "10.0.0.7"), Err(Denied::Forbidden));
///
/// // What was found out once, functions ask for by an attribute.
/// #[daur_std::require_permission("admin")]
/// fn restart(claims: &Claims) -> Result<(), Denied> {
///     Ok(())
/// }
/// assert_eq!(restart(&claims), Err(Denied::Forbidden));
///
/// assert_eq!(security.validate_and_sanitize("reports//may.csv", Kind::Path)?, "reports/may.csv");
/// assert_eq!(security.validate_and_sanitize("../../etc/shadow", Kind::Path).unwrap_err().code(), "invalid_input");
///
/// security.logout(&issued.token, "10.0.0.7")?;
/// assert_eq!(security.authorize(&issued.token, Permissions::READ, "10.0.0.7"), Err(Denied::Unauthenticated));
///
/// let (last, ..) = audit.events().pop().unwrap();
/// assert_eq!((last.kind, last.detail.as_str()), (audit::Kind::AccessDenied, "token: revoked"));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # References
/// OWASP ASVS 5, V6 to V8 and V16.
#[derive(Clone)]
pub struct SecurityManager {
    inner: Arc<Inner>,
}

impl fmt::Debug for SecurityManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityManager").finish_non_exhaustive()
    }
}

/// Builds a [`SecurityManager`].
#[must_use = "it does nothing until it is built"]
pub struct Builder<'k> {
    policy: Policy<'static>,
    key: &'k [u8],
    kid: Option<Kid>,
    tokens: token::Config,
    logins: bulkhead::Config,
    clock: AnyClock,
    wall: Box<dyn WallClock + Send + Sync>,
    users: Box<dyn UserStore>,
    audit: Box<dyn Sink>,
    passwords: Option<Box<dyn Passwords>>,
    revocations: Option<Box<dyn Revocations>>,
}

/// Logins that are looked at: as many at once as hash without holding up the rest, and a line of those who wait.
const LOGINS: bulkhead::Config =
    bulkhead::Config { max_concurrent: 2, max_waiting: 64, max_wait: Some(Duration::from_secs(5)) };

impl Builder<'_> {
    /// Names the key, so that another can follow it.
    pub fn kid(self, kid: Kid) -> Self {
        Self { kid: Some(kid), ..self }
    }

    /// Who issues the tokens, for whom, and how far clocks may differ. How long they live is the policy's.
    pub fn tokens(self, tokens: token::Config) -> Self {
        Self { tokens, ..self }
    }

    /// How many logins are looked at a time. Default: 2, and 64 wait for up to 5 s.
    pub fn logins(self, logins: bulkhead::Config) -> Self {
        Self { logins, ..self }
    }

    /// Who checks passwords. Default: [`Pbkdf2`] with the policy's iterations.
    pub fn passwords(self, passwords: impl Passwords) -> Self {
        Self { passwords: Some(Box::new(passwords)), ..self }
    }

    /// Where revoked tokens are remembered. Default: in this process, [`REVOKED`] of them.
    pub fn revocations(self, revocations: impl Revocations) -> Self {
        Self { revocations: Some(Box::new(revocations)), ..self }
    }

    /// The clocks. Default: the operating system's.
    pub fn clocks(
        self,
        clock: impl Clock + Send + Sync + 'static,
        wall: impl WallClock + Send + Sync + 'static,
    ) -> Self {
        Self { clock: AnyClock(Arc::new(clock)), wall: Box::new(wall), ..self }
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`Error`]
    pub fn build(self) -> Result<SecurityManager, Error> {
        // The tables are moved a few times on their way to the heap, and a worker's stack has no room for that.
        let thread = std::thread::Builder::new().stack_size(size_of::<Machine>() * 16);
        std::thread::scope(|scope| {
            let built = thread.spawn_scoped(scope, || self.build_here()).map_err(Error::Thread)?.join();
            built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn build_here(self) -> Result<SecurityManager, Error> {
        let seed = random::<32>().map_err(Error::Random)?;
        let machine = Machine::try_new(self.policy, self.tokens, self.kid, self.key, &seed).map_err(Error::Config)?;
        let iterations = self.policy.iterations;
        let inner = Inner {
            machine: StdShared::with_clock(machine, self.clock.clone()),
            wall: self.wall,
            users: self.users,
            audit: self.audit,
            passwords: self.passwords.unwrap_or_else(|| Box::new(Pbkdf2 { iterations })),
            revocations: self.revocations,
            logins: SharedBulkhead::with_clock(self.logins, self.clock).map_err(Error::Logins)?,
        };
        Ok(SecurityManager { inner: Arc::new(inner) })
    }
}

/// Gathers events under the lock; they are recorded after it.
#[derive(Default)]
struct Gathered(Vec<Stamped>);

impl Audit for Gathered {
    fn record(&mut self, event: &Event, at: &At<'_>) {
        self.0.push((*event, at.now, at.unix));
    }
}

impl SecurityManager {
    /// By `policy`, with `key` (at least 32 random bytes) to sign tokens, over `users` and `audit`.
    pub fn builder<'k>(policy: Policy<'static>, key: &'k [u8], users: impl UserStore, audit: impl Sink) -> Builder<'k> {
        Builder {
            policy,
            key,
            kid: None,
            tokens: token::Config::DEFAULT,
            logins: LOGINS,
            clock: AnyClock(Arc::new(StdClock)),
            wall: Box::new(SystemWallClock),
            users: Box::new(users),
            audit: Box::new(audit),
            passwords: None,
            revocations: None,
        }
    }

    /// Checks a name and a password, and signs a token. Hashes on this thread: on tokio use `login`.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] whatever was wrong; [`Denied::LockedOut`], [`Denied::Overloaded`].
    pub fn login_blocking(&self, name: &str, password: &str, source: &str) -> Result<Issued, Denied> {
        match self.inner.logins.acquire_blocking() {
            Ok(_turn) => self.login_in_turn(name, password, source),
            Err(_) => Err(self.no_turn(name, source)),
        }
    }

    fn no_turn(&self, name: &str, source: &str) -> Denied {
        self.tell(&Event::new(What::Login, Outcome::Failure, name, source, Denied::Overloaded.code()));
        Denied::Overloaded
    }

    fn login_in_turn(&self, name: &str, password: &str, source: &str) -> Result<Issued, Denied> {
        let account = match self.inner.users.find(name) {
            Ok(account) => account,
            Err(error) => {
                self.tell(&Event::new(What::Login, Outcome::Failure, name, source, "the store of users failed"));
                return Err(failed("a user cannot be looked up", &*error));
            }
        };
        let attempt = self.decide(source, |machine, audit, at| machine.begin(name, account.is_some(), audit, at))?;
        let checked = self.inner.passwords.check(password, account.as_ref().map(|account| account.phc.as_str()));
        let checked = checked.and_then(|checked| Ok((checked, random::<16>()?)));
        let (checked, jti) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let denied = failed("a password cannot be checked", &*error);
                return self.decide(source, |machine, audit, at| Err(machine.abandon(attempt, denied, audit, at)));
            }
        };
        let granted = match (checked.matches, &account) {
            (true, Some(account)) => match self.present(name, account) {
                Ok(permissions) => Some(permissions),
                Err(denied) => {
                    return self.decide(source, |machine, audit, at| Err(machine.abandon(attempt, denied, audit, at)));
                }
            },
            _ => None,
        };
        let issued = self.decide(source, |machine, audit, at| {
            let mut out = [0; token::MAX_LEN];
            let issued = machine.finish(attempt, granted, jti, &mut out, audit, at)?;
            Ok(Issued { token: issued.token.to_owned(), claims: issued.claims })
        })?;
        if let (Some(phc), Some(account)) = (checked.rehash, account)
            && let Err(error) = self.inner.users.rehash(name, &account.phc, &phc)
        {
            failed("a stronger hash cannot be stored", &*error);
        }
        Ok(issued)
    }

    /// What a user may by now whose password was right a while ago. Whoever was removed, disabled or given another
    /// password meanwhile is let in no more: their tokens were ended before this one begins.
    fn present(&self, name: &str, then: &Account) -> Result<Permissions, Denied> {
        let now = self.inner.users.find(name).map_err(|error| failed("a user cannot be looked up", &*error))?;
        let now = now.filter(|now| now.tokens_from == then.tokens_from).ok_or(Denied::Unauthenticated)?;
        Ok(now.permissions)
    }

    /// Whether the holder of a token may: signature, revocation, rate, permission.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`], [`Denied::RateLimited`], [`Denied::Forbidden`].
    pub fn authorize(&self, token: &str, needed: Permissions, source: &str) -> Result<Claims, Denied> {
        if self.inner.revocations.is_none() {
            return self.decide(source, |machine, audit, at| machine.authorize(token, needed, audit, at));
        }
        let claims = self.verified(token, source)?;
        self.decide(source, |machine, audit, at| machine.admit(&claims, needed, audit, at))?;
        Ok(claims)
    }

    /// Whether somebody may who was recognised otherwise: by a session, by a client's certificate. Their rate counts.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize).
    pub fn admit<T: Context + ?Sized>(&self, who: &T, needed: Permissions, source: &str) -> Result<(), Denied> {
        self.decide(source, |machine, audit, at| machine.admit(who, needed, audit, at))
    }

    /// Ends a token before its time.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] for one that does not count anyway; [`Denied::Overloaded`] if no further one can be
    /// remembered; [`Denied::Internal`] if the store of them fails.
    pub fn logout(&self, token: &str, source: &str) -> Result<(), Denied> {
        let Some(store) = &self.inner.revocations else {
            return self.decide(source, |machine, audit, at| machine.revoke(token, audit, at)).map(drop);
        };
        let claims = self.verified(token, source)?;
        self.revoke_in(&**store, &claims, source)?;
        let event = Event { actor: claims.sub, ..Event::new(What::Logout, Outcome::Success, "", source, "") };
        self.note(&[event, Event { kind: What::TokenRevoked, ..event }])
    }

    /// Changes a token for a new one, with what its user may by now; the old one ends. Asks the store of users.
    ///
    /// # Errors
    /// As [`authorize`](Self::authorize); [`Denied::Unauthenticated`] also if the session is over or the user is gone.
    pub fn refresh(&self, token: &str, source: &str) -> Result<Issued, Denied> {
        let claims = self.verified(token, source)?;
        let found = self.inner.users.find(claims.sub.as_str());
        let found = found.and_then(|account| Ok((account, random::<16>()?)));
        let (account, jti) = match found {
            Ok(found) => found,
            Err(error) => {
                self.tell(&Event::new(What::TokenIssued, Outcome::Failure, claims.sub.as_str(), source, "internal"));
                return Err(failed("a token cannot be renewed", &*error));
            }
        };
        let counts = |account: &Account| claims.iat.is_some_and(|iat| iat >= account.tokens_from);
        let granted = account.filter(counts).map(|account| account.permissions);
        if let (Some(store), true) = (&self.inner.revocations, granted.is_some()) {
            // Before the old one is ended: who asks too often keeps it.
            self.decide(source, |machine, audit, at| machine.admit(&claims, Permissions::NONE, audit, at))?;
            self.revoke_in(&**store, &claims, source)?;
        }
        self.decide(source, |machine, audit, at| {
            let mut out = [0; token::MAX_LEN];
            let issued = if self.inner.revocations.is_some() {
                machine.reissue(&claims, granted, jti, &mut out, audit, at)?
            } else {
                machine.refresh(token, granted, jti, &mut out, audit, at)?
            };
            Ok(Issued { token: issued.token.to_owned(), claims: issued.claims })
        })
    }

    /// Ends all tokens that there are, by decision of `actor`: of this process, and of all that share its store of revoked
    /// tokens.
    ///
    /// # Errors
    /// [`Denied::NoClock`]; [`Denied::Internal`] if the store or the audit fails.
    pub fn revoke_all(&self, actor: &str, source: &str) -> Result<(), Denied> {
        self.revoke_before(None, source, |machine, audit, at| machine.revoke_all(actor, audit, at))
    }

    /// The same for the tokens of `user`: after a change of the password or of what the user may do, or when there is no
    /// such user any more.
    ///
    /// # Errors
    /// As [`revoke_all`](Self::revoke_all); [`Denied::Overloaded`] if no further user can be remembered;
    /// [`Denied::InvalidInput`] for a name that no user can have.
    pub fn revoke_user(&self, user: &str, actor: &str, source: &str) -> Result<(), Denied> {
        self.revoke_before(Some(user), source, |machine, audit, at| machine.revoke_user(user, actor, audit, at))
    }

    fn revoke_before(
        &self,
        user: Option<&str>,
        source: &str,
        verb: impl FnOnce(&mut Machine, &mut Gathered, &At<'_>) -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        let (marked, events) = self.gather(source, verb);
        // It is done, and a revocation that is not audited is better than none: the store is told all the same.
        let recorded = self.record(&events);
        marked?;
        if let Some(store) = &self.inner.revocations {
            let before = self.inner.wall.unix_now().ok_or(Denied::NoClock)?.as_secs().saturating_add(1);
            store.revoke_before(user, before).map_err(|error| failed("tokens cannot be revoked", &*error))?;
        }
        recorded
    }

    /// Checks an input and makes it harmless: the seed's pair of whether it is valid and what is left of it.
    ///
    /// # Errors
    /// [`Rejected`]
    pub fn validate_and_sanitize(&self, input: &str, kind: Kind) -> Result<String, Rejected> {
        self.validate_for("", input, kind, "")
    }

    /// The same for an input that `actor` has sent from `source`, which the audit is told.
    ///
    /// # Errors
    /// [`Rejected`]
    pub fn validate_for(&self, actor: &str, input: &str, kind: Kind, source: &str) -> Result<String, Rejected> {
        // Each of the policy's lengths is at most that of a body, so what is longer is refused unread.
        let room = input.len().min(self.inner.machine.with(|machine, _| machine.policy().max_body));
        let mut buffer = vec![0; room.saturating_mul(6).saturating_add(1)];
        let (checked, events) = self.gather(source, |machine, audit, at| {
            let clean = machine.validate_and_sanitize(input, kind, actor, &mut buffer, audit, at)?;
            Ok::<_, Rejected>(clean.text.to_owned())
        });
        let recorded = self.record(&events);
        let text = checked?;
        recorded.map(|()| text).map_err(|_| Rejected::Unaudited)
    }

    /// Takes one more key, by decision of `actor`; one that signs makes the present one verify only.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn add_key(&self, kid: Kid, secret: &[u8], role: Role, actor: &str, source: &str) -> Result<(), KeyError> {
        let (added, events) =
            self.gather(source, |machine, audit, at| machine.add_key(Some(kid), secret, role, actor, audit, at));
        // It is done: a key that is not announced would be worse than one that is not audited.
        let _ = self.record(&events);
        added
    }

    /// Forgets a key, by decision of `actor`: what it has signed is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn retire_key(&self, kid: Option<Kid>, actor: &str, source: &str) -> Result<(), KeyError> {
        let (retired, events) = self.gather(source, |machine, audit, at| machine.retire_key(kid, actor, audit, at));
        let _ = self.record(&events);
        retired
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> Policy<'static> {
        self.inner.machine.with(|machine, _| *machine.policy())
    }

    /// The present moment, which [`Denied::retry_at`] is to be compared with.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.inner.machine.clock().now()
    }

    /// The counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.machine.with(|machine, now| machine.snapshot(now))
    }

    /// Whose token it is, revoked in this process or in the store.
    fn verified(&self, token: &str, source: &str) -> Result<Claims, Denied> {
        let claims = self.decide(source, |machine, audit, at| machine.verify(token, audit, at))?;
        let Some(store) = &self.inner.revocations else { return Ok(claims) };
        let refused =
            |why| Event { actor: claims.sub, ..Event::new(What::AccessDenied, Outcome::Denied, "", source, why) };
        match store.is_revoked(&claims) {
            Ok(false) => Ok(claims),
            Ok(true) => {
                self.tell(&refused("token: revoked"));
                Err(Denied::Unauthenticated)
            }
            Err(error) => {
                self.tell(&refused("the store of revoked tokens failed"));
                Err(failed("the revoked tokens cannot be read", &*error))
            }
        }
    }

    fn revoke_in(&self, store: &dyn Revocations, claims: &Claims, source: &str) -> Result<(), Denied> {
        let now = self.inner.wall.unix_now().unwrap_or(UnixTime::from_secs(0));
        let (denied, why) = match store.revoke(claims, now) {
            Ok(true) => return Ok(()),
            // Somebody else was faster.
            Ok(false) => (Denied::Unauthenticated, "token: revoked"),
            Err(error) => (failed("a token cannot be revoked", &*error), "the store of revoked tokens failed"),
        };
        self.tell(&Event::new(What::TokenRevoked, Outcome::Failure, claims.sub.as_str(), source, why));
        Err(denied)
    }

    /// Asks the machine, and records what it decided before anybody learns it.
    fn decide<T>(
        &self,
        source: &str,
        verb: impl FnOnce(&mut Machine, &mut Gathered, &At<'_>) -> Result<T, Denied>,
    ) -> Result<T, Denied> {
        let (decided, events) = self.gather(source, verb);
        let recorded = self.record(&events);
        let granted = decided?;
        recorded.map(|()| granted)
    }

    fn gather<T>(
        &self,
        source: &str,
        verb: impl FnOnce(&mut Machine, &mut Gathered, &At<'_>) -> T,
    ) -> (T, Vec<Stamped>) {
        let mut gathered = Gathered::default();
        let decided = self.inner.machine.with(|machine, now| {
            let at = At { source, now, unix: self.inner.wall.unix_now() };
            verb(machine, &mut gathered, &at)
        });
        (decided, gathered.0)
    }

    fn record(&self, events: &[Stamped]) -> Result<(), Denied> {
        if events.is_empty() {
            return Ok(());
        }
        self.inner.audit.record(events).map_err(|error| failed("the audit cannot be written", &*error))
    }

    fn note(&self, events: &[Event]) -> Result<(), Denied> {
        let (now, unix) = (self.now(), self.inner.wall.unix_now());
        self.record(&events.iter().map(|event| (*event, now, unix)).collect::<Vec<_>>())
    }

    /// Tells a refusal, which stands whether or not it can be told.
    pub(crate) fn tell(&self, event: &Event) {
        let _ = self.note(std::slice::from_ref(event));
    }
}

/// An error inside, logged here and told to the caller without what it was.
fn failed(_what: &str, _error: &dyn std::error::Error) -> Denied {
    #[cfg(feature = "tracing")]
    tracing::error!(error = %_error, "{_what}");
    Denied::Internal
}

static GLOBAL: OnceLock<SecurityManager> = OnceLock::new();

/// The one manager of this process (the seed's `get_security_manager`).
///
/// Made at its first use, unless [`init`] was before: [`Policy::DEFAULT`], a random key that ends with the process (and all
/// its tokens with it), no users, so that nobody can log in, and the last 1,024 events in memory. A service calls [`init`]
/// at its start, with its own users and audit.
///
/// # Panics
/// At its first use, if the operating system has no randomness to give, or no thread to build it on.
///
/// # Example
/// ```
/// use daur_std::security::manager::Denied;
/// use daur_std::security_manager;
///
/// assert_eq!(security_manager().login_blocking("admin", "admin", "").unwrap_err(), Denied::Unauthenticated);
/// ```
#[doc(alias = "get_security_manager")]
pub fn security_manager() -> &'static SecurityManager {
    GLOBAL.get_or_init(|| {
        let key = random::<32>().expect("randomness for the key of the tokens");
        let builder = SecurityManager::builder(Policy::DEFAULT, &key, MemoryUsers::new(), Recent::new(1_024));
        builder.build().expect("the defaults are valid, and there is a thread to build on")
    })
}

/// Makes `manager` the one that [`security_manager`] gives.
///
/// # Errors
/// Gives `manager` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(manager: SecurityManager) -> Result<(), SecurityManager> {
    GLOBAL.set(manager)
}

#[cfg(test)]
mod tests;
