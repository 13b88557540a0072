//! Who is asking, and may they: logins, sessions, tokens, permissions, rates.
//!
//! # Rules
//! 1. Refusals of a login are uniform: a client cannot tell an unknown name, a disabled user and a wrong password
//!    apart, neither by the answer nor by its time. The audit can.
//! 2. A login begins a session; its token carries the session's secret as its `jti`. A token counts as long as its
//!    signature, its time and its session do: what ends the session ends the token, at once and for good.
//! 3. [`Gate::refresh`] gives a session another token, and the one before counts no more. It lasts no longer than the
//!    session may, and says nothing to the lockout.
//! 4. A change of a user ends their sessions with it, whichever process made it: see
//!    [`users`](daur_std::security::users).
//! 5. Keys are followed on the disk: see [`ring`](daur_std::security::ring).

mod headers;
mod lockouts;
mod people;
mod rates;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration as StdDuration;

use axum::http::HeaderMap;
use daur_core::security::lockout::{self, Lockout};
use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::session::NoSession;
use daur_core::security::token::{self, Claims};
use daur_core::shared::Shared;
use daur_core::text::Text;
use daur_core::time::{Duration, UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::security::keys::random;
use daur_std::security::revoked::{self, Revoked};
use daur_std::security::ring::KeyRing;
use daur_std::security::sessions::{self, Session, Sessions};
use daur_std::security::users::{Account, Users};
use daur_std::shared::StdShared;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::{task, time};

use crate::config::DataDir;
use crate::pool::Pool;
use crate::problem::{Code, Problem};
use headers::{bearer, cookie, network};
use lockouts::Lockouts;
use rates::Rates;

pub use headers::check_origin;
pub use people::Person;
pub use rates::Limits;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The cookie that a browser carries the token in.
pub const COOKIE: &str = "daur_session";

/// Who issues our tokens.
const ISSUER: &str = "daur-host";

/// Passwords checked at a time, and how long a login waits for its turn.
const HASHING: usize = 2;
const HASHING_WAIT: StdDuration = StdDuration::from_secs(5);

/// Knows who is asking.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The verified token.
    pub claims: Claims,
    /// Their session.
    pub session: Session,
    /// Whether it came in the browser's cookie.
    pub by_cookie: bool,
}

impl Caller {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.claims.sub.as_str()
    }

    /// What they may.
    #[must_use]
    pub const fn permissions(&self) -> Permissions {
        self.claims.permissions
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.claims.exp.unwrap_or(0)
    }
}

/// Says why nobody is recognised, for the audit: a client is told `unauthenticated` and nothing else.
#[derive(Debug)]
pub enum Nobody {
    /// There is no token.
    NoToken,
    /// It is none of ours, or its time is over.
    Token(token::Error),
    /// Its session is over, or another token has taken its place.
    Session(NoSession),
    /// It cannot be known; the log says why.
    Store,
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("no token"),
            Self::Token(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Store => f.write_str("the store of sessions cannot be read"),
        }
    }
}

impl From<token::Error> for Nobody {
    fn from(error: token::Error) -> Self {
        Self::Token(error)
    }
}

/// A token, just issued.
#[derive(Clone)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
    /// What it grants.
    pub permissions: Permissions,
    /// The number of its session.
    pub session: u64,
    /// The user's session that had to end for it.
    pub ended: Option<u64>,
}

/// Says why a login failed, for the audit and for the client.
#[derive(Debug)]
pub struct Refused {
    /// What the client is told.
    pub problem: Problem,
    /// What the audit is told.
    pub reason: &'static str,
    /// Whether this attempt locked the name.
    pub locked: bool,
}

impl Refused {
    fn internal(what: &str, error: &dyn fmt::Display) -> Self {
        Self { problem: Problem::internal(what, error), reason: "an error of the server", locked: false }
    }
}

/// Decides who may pass.
pub struct Gate {
    policy: Policy<'static>,
    pool: Pool,
    ring: Mutex<KeyRing>,
    /// Whether it was logged that the ring cannot be read.
    ring_told: AtomicBool,
    revoked: Mutex<Revoked>,
    users: Mutex<Users>,
    sessions: Mutex<Sessions>,
    /// Names of users have places to themselves, so that a flood of other names does not fill them.
    known: StdShared<Lockouts>,
    unknown: StdShared<Lockout<256>>,
    hashing: Arc<Semaphore>,
    by_user: Rates<str>,
    by_address: Rates<IpAddr>,
}

impl Gate {
    /// A gate for the users of a data directory, which is written to on `pool`.
    ///
    /// # Errors
    /// What cannot be opened; the operating system's, if it has no randomness.
    pub fn open(policy: Policy<'static>, dir: &DataDir, pool: Pool) -> Result<Self, Error> {
        let config = token::Config {
            issuer: Some(Text::cut(ISSUER)),
            max_lifetime: policy.token_lifetime,
            ..token::Config::DEFAULT
        };
        let database = dir.database();
        let users = Users::open(&database).map_err(|error| format!("the users cannot be opened: {error}"))?;
        let ring =
            KeyRing::open(dir.path(), config).map_err(|error| format!("the token key cannot be used: {error}"))?;
        Ok(Self {
            policy,
            pool,
            ring: Mutex::new(ring),
            ring_told: AtomicBool::new(false),
            revoked: Mutex::new(Revoked::open(&database)?),
            users: Mutex::new(users.keeping_an_admin()),
            sessions: Mutex::new(Sessions::open(&database, policy.session)?),
            known: StdShared::new(Lockouts::new(policy.lockout, random()?)),
            unknown: StdShared::new(Lockout::new(policy.lockout, &random::<32>()?)),
            hashing: Arc::new(Semaphore::new(HASHING)),
            by_user: Rates::new(policy.api_limit())?,
            by_address: Rates::new(policy.login_limit())?,
        })
    }

    /// How many users there are. Asked of the disk: another process may have added one.
    ///
    /// # Errors
    /// `internal` if the database cannot be read.
    pub fn users(&self) -> Result<u64, Problem> {
        lock(&self.users).count().map_err(|error| Problem::internal("users cannot be counted", &error))
    }

    /// Lets a login of this address pass, if it has not tried too often.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.by_address.check(&network(address), "Too many logins from this address.")
    }

    /// Lets a request of this user pass, if they have not asked too often.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn admit_user(&self, user: &str) -> Result<(), Problem> {
        self.by_user.check(user, "Too many requests of this user.")
    }

    /// Waits for a turn to hash a password: each takes a CPU for a while.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        match time::timeout(HASHING_WAIT, Arc::clone(&self.hashing).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Problem::new(Code::Overloaded, "Too many logins at a time.").retry_after(Duration::from_secs(1))),
        }
    }

    /// Checks a name and a password, begins a session and issues its token.
    ///
    /// # Errors
    /// [`Refused`], with `unauthenticated`, `locked_out` or `overloaded`.
    pub async fn login(self: &Arc<Self>, name: &str, password: String, source: &str) -> Result<Issued, Refused> {
        let turn = self.turn().await.map_err(|problem| Refused {
            problem,
            reason: "too many logins at a time",
            locked: false,
        })?;
        let account =
            lock(&self.users).account(name).map_err(|error| Refused::internal("a user cannot be looked up", &error))?;
        let known = account.is_some();
        let disabled = account.as_ref().is_some_and(|account| account.disabled);
        self.lockout(known, name, Attempt::Begins)?;
        let phc = account.as_ref().filter(|account| !account.disabled).map(|account| account.user.phc.clone());
        let iterations = self.policy.iterations;
        let checked = task::spawn_blocking(move || {
            // Until the hash is done: a client that hangs up does not end it, and shall not make room for more.
            let _turn = turn;
            check(phc.as_deref(), &password, iterations)
        });
        let checked = checked.await;
        // Attempts at the same time may have locked the name meanwhile: then this one says nothing, right or wrong.
        let fresh_hash = match checked {
            Ok(Ok(Checked::Right(fresh_hash))) => {
                self.lockout(known, name, Attempt::Right)?;
                fresh_hash
            }
            Ok(Ok(Checked::Wrong)) => {
                let locked = self.lockout(known, name, Attempt::Wrong)?;
                let reason = match (known, disabled) {
                    (true, true) => "disabled user",
                    (true, false) => "wrong password",
                    (false, _) => "unknown user",
                };
                return Err(Refused { problem: wrong(), reason, locked });
            }
            Ok(Err(error)) => return Err(Refused::internal("a stored password cannot be used", &error)),
            Err(error) => return Err(Refused::internal("a password could not be checked", &error)),
        };
        let Some(account) = account else {
            return Err(Refused::internal("a login", &"without a user"));
        };
        let (gate, source) = (Arc::clone(self), source.to_owned());
        let begun = self.pool.run(move || gate.begin(&account, fresh_hash, &source)).await;
        begun.unwrap_or_else(|problem| Err(Refused { problem, reason: "no session could begin", locked: false }))
    }

    /// Refuses a locked name, else takes the attempt into account; says whether it locked the name.
    fn lockout(&self, known: bool, name: &str, attempt: Attempt) -> Result<bool, Refused> {
        macro_rules! step {
            ($table:ident, $now:ident) => {{
                $table.check(name, $now).map_err(|locked| locked.retry_at - $now)?;
                match attempt {
                    Attempt::Begins => {}
                    Attempt::Right => $table.on_success(name, $now),
                    Attempt::Wrong => return Ok($table.on_failure(name, $now).is_some()),
                }
                Ok(false)
            }};
        }
        let taken: Result<bool, Duration> = if known {
            self.known.with(|table, now| step!(table, now))
        } else {
            self.unknown.with(|table, now| step!(table, now))
        };
        taken.map_err(|wait| Refused {
            problem: Problem::new(Code::LockedOut, "Too many wrong passwords for this name.").retry_after(wait),
            reason: "locked",
            locked: false,
        })
    }

    /// Begins a session of a user whose password was right. Blocks.
    fn begin(&self, account: &Account, fresh_hash: Option<String>, source: &str) -> Result<Issued, Refused> {
        let user = &account.user;
        if let Some(phc) = fresh_hash
            && let Err(error) = lock(&self.users).set_phc(&user.name, &user.phc, &phc)
        {
            tracing::warn!(%error, "a password could not be stored with more iterations");
        }
        let failed = |error: &dyn fmt::Display| Refused::internal("a session could not begin", error);
        let (now, id) = (unix_now(), random().map_err(|error| failed(&error))?);
        let begun = lock(&self.sessions).begin(&id, &user.name, user.permissions, source, now);
        let begun = begun.map_err(|error| match error {
            sessions::Error::Full => Refused {
                problem: Problem::new(Code::Overloaded, "Too many sessions at a time."),
                reason: "too many sessions",
                locked: false,
            },
            error => failed(&error),
        })?;
        // A change of the user ends the sessions that there are. One that came between the look at the user and the
        // session's beginning has not ended this one; one that comes from now on will.
        let present = lock(&self.users).account(&user.name).map_err(|error| failed(&error))?;
        let same = present.is_some_and(|present| {
            (present.user.permissions, present.disabled, present.changed, present.tokens_from)
                == (user.permissions, false, account.changed, account.tokens_from)
        });
        if !same {
            lock(&self.sessions).end(begun.number).map_err(|error| failed(&error))?;
            return Err(Refused { problem: wrong(), reason: "the user was changed meanwhile", locked: false });
        }
        let ended = begun.ended.map(|session| session.number);
        let session = Session {
            number: begun.number,
            user: user.name.clone(),
            permissions: user.permissions,
            begun: now,
            seen: now,
            source: source.to_owned(),
        };
        let issued = self.issue(&session, id, now).map_err(|error| failed(&error))?;
        Ok(Issued { ended, ..issued })
    }

    /// Signs a token for a session: it lasts no longer than that may.
    fn issue(&self, session: &Session, id: [u8; 16], now: UnixTime) -> Result<Issued, Error> {
        let now = now.as_secs();
        let last = session.begun.as_secs().saturating_add(self.policy.session.absolute.as_secs());
        let expires_at = now.saturating_add(self.policy.token_lifetime.as_secs()).min(last);
        let claims = Claims {
            sub: Text::new(&session.user)?,
            iat: Some(now),
            exp: Some(expires_at),
            jti: Some(id),
            iss: Some(Text::cut(ISSUER)),
            permissions: session.permissions,
            ..Claims::default()
        };
        let mut buffer = [0; token::MAX_LEN];
        let token = self.keys(|keys| keys.sign(&claims, &mut buffer).map(str::to_owned))?;
        let permissions = session.permissions;
        Ok(Issued { token, expires_at, permissions, session: session.number, ended: None })
    }

    /// Does something with the keys as they are on the disk.
    fn keys<R>(&self, with: impl FnOnce(&token::Keys<{ daur_std::security::ring::KEYS }>) -> R) -> R {
        let mut ring = lock(&self.ring);
        let (keys, error) = ring.keys();
        // Once, not with every request.
        match error {
            Some(error) if !self.ring_told.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the token keys cannot be read anew; those known go on");
            }
            Some(_) => {}
            None => self.ring_told.store(false, Ordering::Relaxed),
        }
        with(keys)
    }

    /// Gives a session another token; the one that asked for it counts no more. Blocks.
    ///
    /// # Errors
    /// `unauthenticated` if the session has ended meanwhile.
    pub fn refresh(&self, caller: &Caller) -> Result<Issued, Problem> {
        let failed = |error: &dyn fmt::Display| Problem::internal("a token could not be refreshed", error);
        let gone = || Problem::new(Code::Unauthenticated, "The session has ended: log in again.");
        let old = caller.claims.jti.ok_or_else(gone)?;
        let (now, new) = (unix_now(), random().map_err(|error| failed(&error))?);
        // A session that is there belongs to a user who was not changed since it began.
        let rotated = lock(&self.sessions).rotate(&old, &new, caller.session.permissions, now);
        let session = rotated.map_err(|error| match error {
            sessions::Error::None(_) => gone(),
            error => failed(&error),
        })?;
        self.revoke(&caller.claims, now);
        self.issue(&session, new, now).map_err(|error| failed(&error))
    }

    /// Ends the caller's session and their token. Blocks.
    ///
    /// # Errors
    /// `internal` if it cannot be stored.
    pub fn logout(&self, caller: &Caller) -> Result<(), Problem> {
        self.end_session(caller.session.number)?;
        self.revoke(&caller.claims, unix_now());
        Ok(())
    }

    /// Remembers a token whose session is gone as revoked too: two locks, of which one was closed before.
    fn revoke(&self, claims: &Claims, now: UnixTime) {
        if let Err(error) = lock(&self.revoked).revoke(claims, now) {
            tracing::warn!(%error, "a token whose session has ended could not be revoked by itself too");
        }
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// Why nobody is recognised.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Caller, Nobody> {
        let (token, by_cookie) = match bearer(headers) {
            Some(token) => (token, false),
            None => (cookie(headers).ok_or(Nobody::NoToken)?, true),
        };
        let claims = self.keys(|keys| keys.verify(token, SystemWallClock.unix_now()))?;
        let session = self.resume(&claims)?;
        Ok(Caller { claims, session, by_cookie })
    }

    /// The session of verified claims: it is there, and this is a sign of its life.
    fn resume(&self, claims: &Claims) -> Result<Session, Nobody> {
        let store = |error: &dyn fmt::Display| {
            tracing::error!(%error, "a session cannot be looked up");
            Nobody::Store
        };
        let refused = |error| match error {
            revoked::Error::Revoked => Nobody::Token(token::Error::Revoked),
            error => store(&error),
        };
        let Some(id) = claims.jti else {
            lock(&self.revoked).check(claims).map_err(refused)?;
            return Err(Nobody::Token(token::Error::Missing));
        };
        let resumed =
            lock(&self.sessions).resume_unless(&id, unix_now(), |mark| lock(&self.revoked).check_since(claims, mark));
        let session = match resumed {
            Ok(session) => session.map_err(refused)?,
            Err(sessions::Error::None(why)) => {
                // What has ended it may have revoked its token too.
                lock(&self.revoked).check(claims).map_err(refused)?;
                return Err(Nobody::Session(why));
            }
            Err(error) => return Err(store(&error)),
        };
        // Nobody can make such a token; if somebody could, it would be worth no more than the session.
        if session.user != claims.sub.as_str() || !session.permissions.contains(claims.permissions) {
            return Err(Nobody::Session(NoSession::Unknown));
        }
        Ok(session)
    }

    /// Whether a token still counts: for streams that outlive their first check. To watch is a sign of life.
    #[must_use]
    pub fn still_valid(&self, caller: &Caller) -> bool {
        let now = SystemWallClock.unix_now().map_or(u64::MAX, UnixTime::as_secs);
        now < caller.expires_at() && self.resume(&caller.claims).is_ok()
    }

    /// Forgets what time has ended.
    pub fn poll(&self) {
        self.known.with(Lockouts::poll);
        let now = unix_now();
        if let Err(error) = lock(&self.sessions).poll(now) {
            tracing::warn!(%error, "sessions that are over cannot be removed");
        }
        if let Err(error) = lock(&self.revoked).poll(now) {
            tracing::warn!(%error, "revoked tokens that have expired cannot be removed");
        }
    }

    /// The limiters' counters: users, addresses.
    #[must_use]
    pub fn limits(&self) -> (Limits, Limits) {
        (self.by_user.limits(), self.by_address.limits())
    }

    /// The lockout's counters: names of users, other names.
    #[must_use]
    pub fn lockouts(&self) -> (lockout::Snapshot, lockout::Snapshot) {
        (self.known.with(|table, now| table.snapshot(now)), self.unknown.with(|table, now| table.snapshot(now)))
    }
}

/// What every failed login is told.
fn wrong() -> Problem {
    Problem::new(Code::Unauthenticated, "The name or the password is wrong.")
}

/// The wall clock; a host that does not know the time yet lives in 1970, and no token of its is believed.
fn unix_now() -> UnixTime {
    SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0))
}

#[derive(Clone, Copy)]
enum Attempt {
    Begins,
    Right,
    Wrong,
}

enum Checked {
    /// The password is right; a fresh hash of it, if the stored one is weaker than today's.
    Right(Option<String>),
    Wrong,
}

/// Blocking: hashes the password. Where there is none to compare it with, it takes as long.
fn check(phc: Option<&str>, password: &str, iterations: u32) -> Result<Checked, Error> {
    let Some(phc) = phc else {
        password::dummy(password, iterations);
        return Ok(Checked::Wrong);
    };
    match password::verify(password, phc) {
        Ok(true) => {}
        Ok(false) => return Ok(Checked::Wrong),
        // Told apart from a wrong password, it would tell that there is such a user.
        Err(error) => {
            tracing::error!(%error, "a stored hash cannot be used");
            password::dummy(password, iterations);
            return Ok(Checked::Wrong);
        }
    }
    if !password::needs_rehash(phc, iterations) {
        return Ok(Checked::Right(None));
    }
    let phc = password::hash(password, &random::<{ password::SALT_LEN }>()?, iterations)?;
    Ok(Checked::Right(Some(phc.as_str().to_owned())))
}

/// Nothing behind these locks is left half-done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_cannot_be_used_is_a_wrong_password() {
        let stored = password::hash("right", &[1; password::SALT_LEN], 1_000).unwrap();
        assert!(matches!(check(Some(stored.as_str()), "right", 1_000), Ok(Checked::Right(None))));
        assert!(matches!(check(Some(stored.as_str()), "right", 2_000), Ok(Checked::Right(Some(_)))));
        for stored in [Some(stored.as_str()), Some(""), Some("!"), None] {
            assert!(matches!(check(stored, "!", 1_000), Ok(Checked::Wrong)), "{stored:?}");
        }
    }
}
