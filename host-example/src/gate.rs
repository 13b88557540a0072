//! Who is asking, and may they: logins, tokens, permissions, rates.
//!
//! Refusals of a login are uniform: a client cannot tell an unknown name from a wrong password, neither
//! by the answer nor by its time. The audit can.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use axum::http::{HeaderMap, Method, header};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::security::lockout::{self, Lockout};
use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::token::{self, Claims, Keys, Revoked};
use daur_core::shared::Shared;
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::reliability::keyed::{self, KeyedLimiter, OnFull};
use daur_std::security::keys::random;
use daur_std::security::users::{User, Users};
use daur_std::shared::StdShared;
use tokio::sync::Semaphore;
use tokio::time;

use crate::problem::{Code, Problem};

/// The cookie that a browser carries the token in.
pub const COOKIE: &str = "daur_session";

/// Who issues our tokens.
const ISSUER: &str = "daur-host";

/// Passwords checked at a time, and how long a login waits for its turn.
const HASHING: usize = 2;
const HASHING_WAIT: StdDuration = StdDuration::from_secs(5);

/// Keys of one limiter's table; beyond them all share one allowance.
const TABLE: usize = 4096;

/// Knows who is asking.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The verified token.
    pub claims: Claims,
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

/// A token, just issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
    /// What it grants.
    pub permissions: Permissions,
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

/// Decides who may pass.
pub struct Gate {
    policy: Policy<'static>,
    keys: Keys<2>,
    revoked: Mutex<Revoked<1024>>,
    users: Mutex<Users>,
    /// Names of users have a table to themselves, so that a flood of other names does not fill it.
    known: StdShared<Lockout<1024>>,
    unknown: StdShared<Lockout<256>>,
    hashing: Arc<Semaphore>,
    by_user: Rates<str>,
    by_address: Rates<IpAddr>,
}

impl Gate {
    /// A gate for the users in `users`, whose tokens are signed with `key`.
    ///
    /// # Errors
    /// A key that is too short; the operating system's, if it has no randomness.
    pub fn new(
        policy: Policy<'static>,
        users: Users,
        key: &[u8],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let config = token::Config {
            issuer: Some(Text::cut(ISSUER)),
            max_lifetime: policy.token_lifetime,
            ..token::Config::DEFAULT
        };
        let per_user =
            limiter::Config { rate: policy.api_rate, period: Duration::from_secs(1), burst: policy.api_burst };
        let per_address =
            limiter::Config { rate: policy.login_rate, period: Duration::from_secs(60), burst: policy.login_rate };
        Ok(Self {
            policy,
            keys: Keys::new(config, None, key)?,
            revoked: Mutex::new(Revoked::new()),
            users: Mutex::new(users),
            known: StdShared::new(Lockout::new(policy.lockout, &random::<32>()?)),
            unknown: StdShared::new(Lockout::new(policy.lockout, &random::<32>()?)),
            hashing: Arc::new(Semaphore::new(HASHING)),
            by_user: Rates::new(per_user)?,
            by_address: Rates::new(per_address)?,
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

    /// Checks a name and a password, and issues a token.
    ///
    /// # Errors
    /// [`Refused`], with `unauthenticated`, `locked_out` or `overloaded`.
    pub async fn login(self: &Arc<Self>, name: &str, password: String) -> Result<Issued, Refused> {
        let Ok(Ok(turn)) = time::timeout(HASHING_WAIT, Arc::clone(&self.hashing).acquire_owned()).await else {
            let problem =
                Problem::new(Code::Overloaded, "Too many logins at a time.").retry_after(Duration::from_secs(1));
            return Err(Refused { problem, reason: "too many logins at a time", locked: false });
        };
        let internal = |what: &str, error: &dyn std::fmt::Display| Refused {
            problem: Problem::internal(what, error),
            reason: "an error of the server",
            locked: false,
        };
        let user = lock(&self.users).find(name).map_err(|error| internal("a user cannot be looked up", &error))?;
        self.lockout(user.is_some(), name, Attempt::Begins)?;
        let known = user.clone();
        let iterations = self.policy.iterations;
        let checked = tokio::task::spawn_blocking(move || {
            // Until the hash is done: a client that hangs up does not end it, and shall not make room for more.
            let _turn = turn;
            check(known.as_ref(), &password, iterations)
        });
        let checked = checked.await;
        // Attempts at the same time may have locked the name meanwhile: then this one says nothing, right or wrong.
        let fresh_hash = match checked {
            Ok(Ok(Checked::Right(fresh_hash))) => {
                self.lockout(user.is_some(), name, Attempt::Right)?;
                fresh_hash
            }
            Ok(Ok(Checked::Wrong)) => {
                let locked = self.lockout(user.is_some(), name, Attempt::Wrong)?;
                let problem = Problem::new(Code::Unauthenticated, "The name or the password is wrong.");
                let reason = if user.is_some() { "wrong password" } else { "unknown user" };
                return Err(Refused { problem, reason, locked });
            }
            Ok(Err(error)) => return Err(internal("a stored password cannot be used", &error)),
            Err(error) => return Err(internal("a password could not be checked", &error)),
        };
        let Some(user) = user else {
            return Err(internal("a login", &"without a user"));
        };
        if let Some(phc) = fresh_hash
            && let Err(error) = lock(&self.users).set_phc(&user.name, &phc)
        {
            tracing::warn!(%error, "a password could not be stored with more iterations");
        }
        self.issue(&user).map_err(|error| internal("a token could not be issued", &error))
    }

    /// Refuses a locked name, else takes the attempt into account; says whether it locked the name.
    fn lockout(&self, known: bool, name: &str, attempt: Attempt) -> Result<bool, Refused> {
        fn step<const N: usize>(
            table: &mut Lockout<N>,
            name: &str,
            attempt: Attempt,
            now: Instant,
        ) -> Result<bool, Duration> {
            table.check(name, now).map_err(|locked| locked.retry_at - now)?;
            match attempt {
                Attempt::Begins => {}
                Attempt::Right => table.on_success(name, now),
                Attempt::Wrong => return Ok(table.on_failure(name, now).is_some()),
            }
            Ok(false)
        }
        let taken = if known {
            self.known.with(|table, now| step(table, name, attempt, now))
        } else {
            self.unknown.with(|table, now| step(table, name, attempt, now))
        };
        taken.map_err(|wait| Refused {
            problem: Problem::new(Code::LockedOut, "Too many wrong passwords for this name.").retry_after(wait),
            reason: "locked",
            locked: false,
        })
    }

    fn issue(&self, user: &User) -> Result<Issued, Box<dyn std::error::Error + Send + Sync>> {
        let now = SystemWallClock.unix_now().ok_or("the clock stands before 1970")?.as_secs();
        let expires_at = now + self.policy.token_lifetime.as_secs();
        let claims = Claims {
            sub: Text::new(&user.name)?,
            iat: Some(now),
            exp: Some(expires_at),
            jti: Some(random::<16>()?),
            iss: Some(Text::cut(ISSUER)),
            permissions: user.permissions,
            ..Claims::default()
        };
        let mut buffer = [0; token::MAX_LEN];
        let token = self.keys.sign(&claims, &mut buffer)?.to_owned();
        Ok(Issued { token, expires_at, permissions: user.permissions })
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// Why nobody is recognised, for the audit; `None` if there is no token at all.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Caller, Option<token::Error>> {
        let (token, by_cookie) = match bearer(headers) {
            Some(token) => (token, false),
            None => (cookie(headers).ok_or(None)?, true),
        };
        let claims = self.keys.verify(token, SystemWallClock.unix_now())?;
        lock(&self.revoked).check(&claims)?;
        Ok(Caller { claims, by_cookie })
    }

    /// Ends a token before its time.
    ///
    /// # Errors
    /// `overloaded` if too many tokens have been ended lately.
    pub fn revoke(&self, caller: &Caller) -> Result<(), Problem> {
        let now = SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0));
        lock(&self.revoked)
            .revoke(&caller.claims, now)
            .map_err(|_| Problem::new(Code::Overloaded, "Too many logouts at a time; the token ends by itself."))
    }

    /// Whether a token still counts: for streams that outlive their first check.
    #[must_use]
    pub fn still_valid(&self, caller: &Caller) -> bool {
        let now = SystemWallClock.unix_now().map_or(u64::MAX, UnixTime::as_secs);
        now < caller.expires_at() && lock(&self.revoked).check(&caller.claims).is_ok()
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

/// Shows one limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Requests that were refused.
    pub refused: u64,
    /// Of them, those who found no place in the table and none in what is left for such.
    pub crowded: u64,
    /// Keys that have used up something.
    pub busy: usize,
    /// Keys that have a place.
    pub keys: usize,
    /// Places.
    pub capacity: usize,
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

/// Blocking: hashes the password.
fn check(
    user: Option<&User>,
    password: &str,
    iterations: u32,
) -> Result<Checked, Box<dyn std::error::Error + Send + Sync>> {
    let Some(user) = user else {
        password::dummy(password, iterations);
        return Ok(Checked::Wrong);
    };
    if !password::verify(password, &user.phc)? {
        return Ok(Checked::Wrong);
    }
    if !password::needs_rehash(&user.phc, iterations) {
        return Ok(Checked::Right(None));
    }
    let phc = password::hash(password, &random::<{ password::SALT_LEN }>()?, iterations)?;
    Ok(Checked::Right(Some(phc.as_str().to_owned())))
}

/// Refuses a change that another site's page may have sent.
///
/// A browser names the page's origin with every change. A cookie alone proves nothing about who
/// wrote the request, so with it the origin must be there and be ours; with a bearer token, which no
/// page can send unasked, a foreign origin is refused all the same.
///
/// # Errors
/// `forbidden`.
pub fn check_origin(method: &Method, headers: &HeaderMap, by_cookie: bool) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let foreign = || Problem::new(Code::Forbidden, "The change comes from another site's page.");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match headers.get(header::ORIGIN) {
        None if by_cookie => Err(foreign()),
        None => Ok(()),
        Some(origin) => {
            let origin = origin.to_str().map_err(|_| foreign())?;
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if authority.is_some() && authority == host { Ok(()) } else { Err(foreign()) }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or("");
    // Another scheme is an attempt to authenticate too: it must not fall back to the cookie.
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The network that counts as one address: a v6 host has 2^64 addresses to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// One allowance per key, in memory that is taken once.
struct Rates<K: ?Sized> {
    each: KeyedLimiter<K>,
    /// A full table fails closed, but locks nobody out: whoever finds no place shares one allowance with the others
    /// who find none.
    rest: StdShared<Limiter>,
}

impl<K: std::hash::Hash + ?Sized> Rates<K> {
    fn new(limit: limiter::Config) -> Result<Self, keyed::limiter::ConfigError> {
        let config = keyed::limiter::Config { limit, capacity: TABLE, on_full: OnFull::Refuse };
        let rest = Limiter::try_new(limit).map_err(keyed::limiter::ConfigError::Limit)?;
        Ok(Self { each: KeyedLimiter::try_new(config)?, rest: StdShared::new(rest) })
    }

    fn limits(&self) -> Limits {
        let each = self.each.snapshot();
        let crowded = self.rest.with(|rest, _| u64::from(rest.snapshot().refused));
        let keyed::limiter::Snapshot { limited, busy, keys, capacity, .. } = each;
        Limits { refused: limited + crowded, crowded, busy, keys, capacity }
    }

    fn check(&self, key: &K, refusal: &'static str) -> Result<(), Problem> {
        let checked = match self.each.check(key) {
            Err(keyed::limiter::Refused::Full { .. }) => {
                self.rest.with(|rest, now| rest.check(now).map_err(|limited| limited.retry_at - now))
            }
            checked => checked.map_err(|refused| refused.retry_at() - self.each.now()),
        };
        checked.map_err(|wait| Problem::new(Code::RateLimited, refusal).retry_after(wait))
    }
}

/// Nothing behind these locks is left half-done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_change_by_cookie_needs_our_own_origin() {
        let ours = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "http://h:1")]);
        let foreign = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "http://evil:1")]);
        let null = headers(&[(header::HOST, "h:1"), (header::ORIGIN, "null")]);
        let none = headers(&[(header::HOST, "h:1")]);
        assert!(check_origin(&Method::POST, &ours, true).is_ok());
        assert!(check_origin(&Method::POST, &none, false).is_ok());
        assert!(check_origin(&Method::GET, &foreign, true).is_ok());
        for (headers, by_cookie) in [(&foreign, true), (&foreign, false), (&null, true), (&none, true)] {
            assert!(check_origin(&Method::POST, headers, by_cookie).is_err());
        }
    }

    #[test]
    fn another_scheme_does_not_fall_back_to_the_cookie() {
        let both = headers(&[(header::AUTHORIZATION, "Basic abc"), (header::COOKIE, "a=b; daur_session=t")]);
        assert_eq!(bearer(&both), Some(""));
        assert_eq!(cookie(&both), Some("t"));
        assert_eq!(bearer(&headers(&[(header::AUTHORIZATION, "bearer x.y.z")])), Some("x.y.z"));
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_shares_one_allowance() {
        let limit = limiter::Config { rate: 1, period: Duration::from_secs(3_600), burst: 1 };
        let rates: Rates<usize> = Rates::new(limit).unwrap();
        let passed = (0..4 * TABLE).filter(|key| rates.check(key, "").is_ok()).count();
        // Each of those with a place, and one of the rest.
        assert_eq!(passed, rates.each.snapshot().keys + 1);
        assert!((TABLE..2 * TABLE).contains(&passed), "{passed}");
        let refused = rates.check(&0, "").unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
    }

    #[test]
    fn a_v6_network_is_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3:4:5:6"), parse("2001:db8:1:2::1"));
        assert_ne!(parse("2001:db8:1:3::1"), parse("2001:db8:1:2::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }
}
