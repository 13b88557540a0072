//! Revoked tokens in SQLite.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use daur_core::security::token::{Claims, MAX_LEEWAY};
use daur_core::time::UnixTime;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{data_version, schema};

/// Revoked tokens, and users with a watermark, that are remembered at a time.
pub const CAPACITY: usize = 65_536;

/// How far the revocations in a database went when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(super) i64, pub(super) i64);

/// Says why a token does not count, or was not revoked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The token was revoked.
    Revoked,
    /// It has no `jti` to remember it by.
    NoId,
    /// [`CAPACITY`] are remembered, and none of them may be forgotten yet.
    Full,
    /// The database cannot be used.
    Schema(schema::Error),
    /// SQLite's. A token that cannot be looked up does not count.
    Sqlite(rusqlite::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("the token was revoked"),
            Self::NoId => f.write_str("a token without jti cannot be revoked by itself"),
            Self::Full => f.write_str("no further token can be revoked until one of the revoked expires"),
            Self::Schema(error) => write!(f, "the store of revoked tokens: {error}"),
            Self::Sqlite(error) => write!(f, "the store of revoked tokens: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Schema(error) => Some(error),
            Self::Sqlite(error) => Some(error),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<schema::Error> for Error {
    fn from(error: schema::Error) -> Self {
        Self::Schema(error)
    }
}

/// Remembers revoked tokens in a SQLite database: the core's [`Revoked`](daur_core::security::token::Revoked) that
/// outlives the process. Blocks: call it from the blocking pool.
///
/// # Rules
/// 1. A revoked token stays revoked until its `exp` and the largest leeway have passed; one without `exp`, for ever.
/// 2. When full, revoking says so; nothing that is remembered gives way before its time.
/// 3. A watermark, of one user or of all, refuses tokens issued before it, and those that do not say when they were. It
///    only moves forward.
/// 4. What was revoked before `revoke` returned is so after a restart and a power cut.
/// 5. Other processes on the database see it with their next `check`.
/// 6. A database that cannot be read refuses every token.
///
/// # Cost
/// A check is a look into memory and asks SQLite whether another connection has written, about a microsecond; only
/// then it reads, and only what is new. Some 100 bytes of memory a token.
///
/// # Example
/// ```
/// use daur_std::core::security::token::Claims;
/// use daur_std::core::time::UnixTime;
/// use daur_std::security::revoked::Revoked;
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-revoked");
/// # let _ = std::fs::remove_dir_all(&dir);
/// # std::fs::create_dir_all(&dir)?;
/// let mut revoked = Revoked::open(&dir.join("daur.db"))?;
/// let claims = Claims { jti: Some([7; 16]), exp: Some(2_000), ..Claims::default() }; // verified before
/// assert!(revoked.check(&claims).is_ok());
/// revoked.revoke(&claims, UnixTime::from_secs(1_000))?;
/// assert!(revoked.check(&claims).is_err());
/// # drop(revoked);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Revoked {
    db: Connection,
    /// What SQLite says of other connections' writes when memory was brought up to date.
    version: i64,
    /// The last rows that memory knows of.
    last: (i64, i64),
    tokens: HashMap<[u8; 16], u64>,
    users: HashMap<String, u64>,
    all_before: u64,
    capacity: usize,
}

impl Revoked {
    /// Opens or creates the tables in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Schema`], [`Error::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let db = schema::open(path)?;
        let (tokens, users) = (HashMap::new(), HashMap::new());
        let mut this = Self { db, version: -1, last: (0, 0), tokens, users, all_before: 0, capacity: CAPACITY };
        this.catch_up()?;
        Ok(this)
    }

    /// Revokes a token that was verified: an unverified one would let anybody fill the store. Says whether it counted
    /// until now: of two who revoke it at the same time, also from two processes, one alone is told so.
    ///
    /// # Errors
    /// [`Error::NoId`], [`Error::Full`], [`Error::Sqlite`]; nothing changed then.
    pub fn revoke(&mut self, claims: &Claims, now: UnixTime) -> Result<bool, Error> {
        let jti = claims.jti.ok_or(Error::NoId)?;
        self.catch_up()?;
        // A renewed token may have the same number and live longer.
        let until = end(claims).max(self.tokens.get(&jti).copied().unwrap_or(0));
        if !self.tokens.contains_key(&jti) && self.tokens.len() >= self.capacity {
            self.poll(now)?;
            if self.tokens.len() >= self.capacity {
                return Err(Error::Full);
            }
        }
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = transaction.prepare_cached("SELECT 1 FROM revoked WHERE jti = ?1")?.exists([jti])?;
        // A new row each time: by its number the other processes find it.
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO revoked (jti, until)
                 VALUES (?1, max(?2, coalesce((SELECT until FROM revoked WHERE jti = ?1), 0)))",
            )?
            .execute(params![jti, to_sql(until)])?;
        transaction.commit()?;
        self.tokens.insert(jti, until);
        Ok(!known)
    }

    /// Revokes every token of `user` issued before `iat`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Sqlite`]; nothing changed then.
    pub fn revoke_user(&mut self, user: &str, iat: u64) -> Result<(), Error> {
        self.catch_up()?;
        if !self.users.contains_key(user) && self.users.len() >= self.capacity {
            return Err(Error::Full);
        }
        self.watermark(user, iat)
    }

    /// Revokes every token issued before `iat`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Sqlite`]; nothing changed then.
    pub fn revoke_all_before(&mut self, iat: u64) -> Result<(), Error> {
        self.catch_up()?;
        self.watermark("", iat)
    }

    /// Nobody's name is empty: that row is for all.
    fn watermark(&mut self, user: &str, iat: u64) -> Result<(), Error> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before: i64 = transaction
            .prepare_cached("SELECT coalesce(max(iat), 0) FROM revoked_before WHERE user = ?1")?
            .query_row([user], |row| row.get(0))?;
        let iat = iat.max(before.unsigned_abs());
        transaction
            .prepare_cached("INSERT OR REPLACE INTO revoked_before (user, iat) VALUES (?1, ?2)")?
            .execute(params![user, to_sql(iat)])?;
        transaction.commit()?;
        self.know(user.to_owned(), iat);
        Ok(())
    }

    /// Refuses revoked claims.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::Sqlite`] if it cannot be known.
    pub fn check(&mut self, claims: &Claims) -> Result<(), Error> {
        if self.holds(claims) {
            return Err(Error::Revoked);
        }
        self.catch_up()?;
        if self.holds(claims) { Err(Error::Revoked) } else { Ok(()) }
    }

    /// As [`check`](Self::check), where the database has just been read and its latest revocations were at `mark`: it is
    /// asked again only if memory does not know them yet.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn check_since(&mut self, claims: &Claims, mark: Mark) -> Result<(), Error> {
        // Numbers are never used again: what is new has a higher one.
        if mark.0 > self.last.0 || mark.1 > self.last.1 {
            return self.check(claims);
        }
        if self.holds(claims) { Err(Error::Revoked) } else { Ok(()) }
    }

    /// Forgets the tokens whose time has passed; says how many.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn poll(&mut self, now: UnixTime) -> Result<usize, Error> {
        let now = now.as_secs();
        self.db.prepare_cached("DELETE FROM revoked WHERE until < ?1")?.execute([to_sql(now)])?;
        let before = self.tokens.len();
        self.tokens.retain(|_, until| *until >= now);
        Ok(before - self.tokens.len())
    }

    /// Revoked tokens that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    fn holds(&self, claims: &Claims) -> bool {
        let before = self.users.get(claims.sub.as_str()).copied().unwrap_or(0).max(self.all_before);
        let old = before > 0 && claims.iat.is_none_or(|iat| iat < before);
        old || claims.jti.is_some_and(|jti| self.tokens.contains_key(&jti))
    }

    fn know(&mut self, user: String, iat: u64) {
        if user.is_empty() {
            self.all_before = self.all_before.max(iat);
        } else {
            let known = self.users.entry(user).or_default();
            *known = iat.max(*known);
        }
    }

    /// Reads what other connections have written since the last time.
    fn catch_up(&mut self) -> Result<(), Error> {
        let version = data_version(&self.db)?;
        if version == self.version {
            return Ok(());
        }
        let (mut tokens, mut users) = self.last;
        let mut new = Vec::new();
        {
            // One moment for both tables, and for what is taken as read.
            let snapshot = self.db.unchecked_transaction()?;
            let mut read = snapshot.prepare_cached("SELECT number, jti, until FROM revoked WHERE number > ?1")?;
            let mut rows = read.query([tokens])?;
            while let Some(row) = rows.next()? {
                let (number, until): (i64, i64) = (row.get(0)?, row.get(2)?);
                tokens = tokens.max(number);
                self.tokens.insert(row.get(1)?, until.unsigned_abs());
            }
            let mut read = snapshot.prepare_cached("SELECT number, user, iat FROM revoked_before WHERE number > ?1")?;
            let mut rows = read.query([users])?;
            while let Some(row) = rows.next()? {
                let (number, iat): (i64, i64) = (row.get(0)?, row.get(2)?);
                users = users.max(number);
                new.push((row.get(1)?, iat.unsigned_abs()));
            }
        }
        for (user, iat) in new {
            self.know(user, iat);
        }
        (self.version, self.last) = (version, (tokens, users));
        Ok(())
    }
}

/// The last second at which the token could be used, were it not revoked.
fn end(claims: &Claims) -> u64 {
    claims.exp.map_or(u64::MAX, |exp| exp.saturating_add(MAX_LEEWAY.as_secs()).saturating_add(1))
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{TestDir, test_dir};
    use daur_core::text::Text;

    fn token(jti: u8, sub: &str, exp: Option<u64>) -> Claims {
        Claims { sub: Text::cut(sub), jti: Some([jti; 16]), exp, iat: Some(100), ..Claims::default() }
    }

    fn store(dir: &TestDir) -> Revoked {
        Revoked::open(&dir.path().join("daur.db")).unwrap()
    }

    fn refused(revoked: &mut Revoked, claims: &Claims) -> bool {
        match revoked.check(claims) {
            Ok(()) => false,
            Err(Error::Revoked) => true,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn rule_1_a_token_stays_revoked_until_it_could_not_be_used_anyway() {
        let dir = test_dir("revoked");
        let mut revoked = store(&dir);
        revoked.revoke(&token(1, "ada", Some(1_000)), UnixTime::from_secs(500)).unwrap();
        revoked.revoke(&token(2, "ada", None), UnixTime::from_secs(500)).unwrap();
        assert!(refused(&mut revoked, &token(1, "ada", Some(1_000))));
        assert!(!refused(&mut revoked, &token(3, "ada", Some(1_000))));
        assert_eq!(revoked.poll(UnixTime::from_secs(1_061)).unwrap(), 0);
        assert_eq!(revoked.poll(UnixTime::from_secs(1_062)).unwrap(), 1);
        assert_eq!(revoked.poll(UnixTime::from_secs(u64::MAX)).unwrap(), 0);
        drop(revoked);
        let mut revoked = store(&dir);
        assert!(refused(&mut revoked, &token(2, "ada", None)) && revoked.len() == 1);
    }

    #[test]
    fn what_another_connection_has_revoked_is_seen_by_the_mark_of_the_sessions_read() {
        use crate::security::sessions::Sessions;
        use daur_core::security::permission::Permissions;
        use daur_core::security::session;
        let dir = test_dir("mark");
        let (mut ours, mut others) = (store(&dir), store(&dir));
        let mut sessions = Sessions::open(&dir.path().join("daur.db"), session::Config::DEFAULT).unwrap();
        let at = UnixTime::from_secs;
        sessions.begin(&[9; 16], "ada", Permissions::READ, "", at(500)).unwrap();
        let mut check = |claims: &Claims, now: u64| {
            sessions.resume_unless(&[9; 16], at(now), |mark| ours.check_since(claims, mark)).unwrap()
        };
        let (first, second) = (token(1, "ada", Some(1_000)), token(2, "ada", Some(1_000)));
        assert_eq!(check(&first, 501).unwrap().seen, at(501));
        others.revoke(&first, at(502)).unwrap();
        assert!(matches!(check(&first, 503), Err(Error::Revoked)));
        // That was no use of the session, and is so for that token only.
        let session = check(&second, 502).unwrap();
        assert_eq!(session.seen, at(502));
        others.revoke_user("ada", 101).unwrap();
        assert!(matches!(check(&second, 505), Err(Error::Revoked)));
    }

    #[test]
    fn rule_1_a_renewed_token_of_the_same_jti_is_revoked_as_long_as_it_lives() {
        let dir = test_dir("renewed");
        let mut revoked = store(&dir);
        for exp in [1_000, 9_000, 1_000] {
            revoked.revoke(&token(1, "ada", Some(exp)), UnixTime::from_secs(500)).unwrap();
        }
        assert_eq!(revoked.poll(UnixTime::from_secs(5_000)).unwrap(), 0);
        assert!(refused(&mut store(&dir), &token(1, "ada", Some(9_000))));
    }

    #[test]
    fn rule_2_when_full_nothing_that_is_remembered_gives_way() {
        let dir = test_dir("revoked-full");
        let mut revoked = store(&dir);
        revoked.capacity = 2;
        let now = UnixTime::from_secs(1);
        revoked.revoke(&token(1, "ada", None), now).unwrap();
        revoked.revoke(&token(2, "ada", Some(9)), now).unwrap();
        assert!(matches!(revoked.revoke(&token(3, "ada", Some(9)), now), Err(Error::Full)));
        assert!(!revoked.revoke(&token(1, "ada", None), now).unwrap(), "it counted no more");
        assert!(matches!(revoked.revoke(&Claims::default(), now), Err(Error::NoId)));
        revoked.revoke(&token(3, "ada", Some(99)), UnixTime::from_secs(71)).unwrap();
        assert_eq!(revoked.len(), 2);
        for user in ["a", "b", "a"] {
            revoked.revoke_user(user, 5).unwrap();
        }
        assert!(matches!(revoked.revoke_user("c", 5), Err(Error::Full)));
    }

    #[test]
    fn rule_3_watermarks_only_move_forward_and_survive() {
        let dir = test_dir("watermarks");
        let mut revoked = store(&dir);
        assert!(!refused(&mut revoked, &Claims::default()));
        revoked.revoke_user("ada", 101).unwrap();
        revoked.revoke_user("ada", 50).unwrap();
        for _ in 0..2 {
            assert!(refused(&mut revoked, &token(1, "ada", None)));
            assert!(!refused(&mut revoked, &Claims { iat: Some(101), ..token(1, "ada", None) }));
            assert!(refused(&mut revoked, &Claims { iat: None, ..token(1, "ada", None) }));
            assert!(!refused(&mut revoked, &token(1, "bob", None)));
            revoked = store(&dir);
        }
        revoked.revoke_all_before(200).unwrap();
        revoked.revoke_all_before(7).unwrap();
        for _ in 0..2 {
            assert!(refused(&mut revoked, &Claims { iat: Some(199), ..token(1, "bob", None) }));
            assert!(!refused(&mut revoked, &Claims { iat: Some(200), ..token(1, "ada", None) }));
            revoked = store(&dir);
        }
    }

    #[test]
    fn rule_5_another_process_sees_it_with_its_next_check() {
        let dir = test_dir("revoked-two");
        let (mut one, mut two) = (store(&dir), store(&dir));
        for jti in 1..10 {
            assert!(!refused(&mut two, &token(jti, "ada", None)));
            one.revoke(&token(jti, "ada", None), UnixTime::from_secs(1)).unwrap();
            assert!(refused(&mut two, &token(jti, "ada", None)));
        }
        two.revoke_user("bob", 101).unwrap();
        assert!(refused(&mut one, &token(99, "bob", None)));
        two.revoke_all_before(101).unwrap();
        assert!(refused(&mut one, &token(99, "eve", None)));
        // A process that holds an older watermark does not set it back.
        one.revoke_user("bob", 1).unwrap();
        assert!(refused(&mut store(&dir), &token(99, "bob", None)));
    }

    #[test]
    fn rule_6_a_database_that_cannot_be_read_refuses_every_token() {
        let dir = test_dir("revoked-gone");
        let mut revoked = store(&dir);
        let other = Connection::open(dir.path().join("daur.db")).unwrap();
        other.execute_batch("DROP TABLE revoked").unwrap();
        assert!(matches!(revoked.check(&token(1, "ada", None)), Err(Error::Sqlite(_))));
        assert!(matches!(revoked.check(&token(1, "ada", None)), Err(Error::Sqlite(_))), "not only once");
    }
}
