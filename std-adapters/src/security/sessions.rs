//! Sessions in SQLite, by the rules of the core's.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use daur_core::security::keys::HmacKey;
use daur_core::security::permission::{Permissions, Scopes};
use daur_core::security::session::{Config, ConfigError, NoSession};
use daur_core::time::{Duration, Instant, UnixTime};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::revoked::Mark;
use super::schema;
use super::users::is_name;
use super::watch::{Version, Watch};

/// Sessions at a time, of all users together.
pub const CAPACITY: u64 = 65_536;

/// Shows one session, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it to those who list and end sessions; not a secret, and never used again.
    pub number: u64,
    /// Whose it is.
    pub user: String,
    /// What they may.
    pub permissions: Permissions,
    /// When it began.
    pub begun: UnixTime,
    /// When it was last resumed.
    pub seen: UnixTime,
    /// From where it began.
    pub source: String,
}

/// Tells of a session that has just begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub number: u64,
    /// The user's session that had to end for it.
    pub ended: Option<Session>,
}

/// Says why there is no session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is none, or none any more.
    None(NoSession),
    /// There are [`CAPACITY`] already.
    Full,
    /// The id is in use: it was not random.
    IdInUse,
    /// Not a user's name.
    InvalidName,
    /// The config cannot be.
    Config(ConfigError),
    /// The database cannot be used.
    Schema(schema::Error),
    /// SQLite's.
    Sqlite(rusqlite::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(why) => why.fmt(f),
            Self::Full => f.write_str("no further session can begin until one of them ends"),
            Self::IdInUse => f.write_str("a session of that id exists: ids must be random"),
            Self::InvalidName => f.write_str("not a user's name"),
            Self::Config(error) => error.fmt(f),
            Self::Schema(error) => write!(f, "the store of sessions: {error}"),
            Self::Sqlite(error) => write!(f, "the store of sessions: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::None(why) => Some(why),
            Self::Config(error) => Some(error),
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

impl From<NoSession> for Error {
    fn from(why: NoSession) -> Self {
        Self::None(why)
    }
}

/// Keeps sessions in a table of a SQLite database. Blocks: call it from the blocking pool.
///
/// The rules are those of the core's [`Sessions`](daur_core::security::session::Sessions); here they outlive the
/// process, and every process on the database sees what another one ends, at once.
///
/// # Rules
/// 1. A session that was not resumed for `idle` is over, and so is one `absolute` after its beginning.
/// 2. The id is a secret of 128 random bits, such as a token's `jti`; the database holds its hash alone.
/// 3. [`Sessions::rotate`] gives a session another id; the old one names nothing from then on.
/// 4. A session too many for one user ends that user's least recently resumed one, and says which.
/// 5. With [`CAPACITY`] sessions no further one begins; nobody else's is ended for it.
/// 6. The moment of the last resume is written when it has moved on by a sixteenth of `idle`, so after a crash a
///    session may be idle that much too early, never too late.
/// 7. Time that steps back ends no session early and brings none back.
///
/// # Cost
/// A look-up asks whether anybody has written to the file, a call of the system; only then it reads the index, some
/// microseconds. So let what writes often have a file of its own. What changes a session is a transaction
/// with a sync of the disk. Some 300 bytes of memory a session that is in use.
///
/// # Example
/// ```
/// use daur_std::core::security::permission::Permissions;
/// use daur_std::core::security::session::Config;
/// use daur_std::core::time::UnixTime;
/// use daur_std::security::sessions::Sessions;
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-sessions");
/// # let _ = std::fs::remove_dir_all(&dir);
/// # std::fs::create_dir_all(&dir)?;
/// let mut sessions = Sessions::open(&dir.join("daur.db"), Config::DEFAULT)?;
/// let id = [7; 16]; // random
/// sessions.begin(&id, "ada", Permissions::READ, "10.0.0.7", UnixTime::from_secs(1_000))?;
/// assert_eq!(sessions.resume(&id, UnixTime::from_secs(1_060))?.user, "ada");
/// assert!(sessions.resume(&id, UnixTime::from_secs(1_060 + 15 * 60)).is_err());
/// # drop(sessions);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sessions {
    db: Connection,
    config: Config,
    /// When each was resumed last, in milliseconds, where the database does not know it yet.
    seen: HashMap<u64, u64>,
    /// What was read since anybody wrote to the file, by the hash of its id.
    known: HashMap<[u8; 32], Found>,
    /// What the file was like when the first of that was read.
    version: Option<Version>,
    watch: Watch,
    capacity: u64,
    scopes: Scopes,
}

/// A session as it is stored, and how far the revocations beside it went.
type Found = (Session, Mark);

const COLUMNS: &str = "number, user, permissions, begun_ms, seen_ms, source";

impl Sessions {
    /// Opens or creates the table in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Schema`].
    pub fn open(path: &Path, config: Config) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let (db, seen) = (schema::open(path)?, HashMap::new());
        let (known, watch) = (HashMap::new(), Watch::new(path));
        let (version, capacity, scopes) = (None, CAPACITY, Scopes::DEFAULT);
        Ok(Self { db, config, seen, known, version, watch, capacity, scopes })
    }

    /// Knows these scopes beside the three permissions; without them, a session that has one grants nothing.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.known.clear();
        self.scopes = scopes;
        self
    }

    /// Begins a session after a login.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::InvalidName`], [`Error::IdInUse`], [`Error::Sqlite`].
    pub fn begin(
        &mut self,
        id: &[u8; 16],
        user: &str,
        permissions: Permissions,
        source: &str,
        now: UnixTime,
    ) -> Result<Begun, Error> {
        if !is_name(user) {
            return Err(Error::InvalidName);
        }
        if self.count()? >= self.capacity {
            self.poll(now)?;
        }
        self.known.clear();
        let (config, capacity, known) = (self.config, self.capacity, (&self.seen, self.scopes));
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut live, mut gone) = (Vec::new(), Vec::new());
        for session in select(&transaction, known, "WHERE user = ?1", [user])? {
            if over(&config, &session, now).is_some() { gone.push(session) } else { live.push(session) }
        }
        let too_many = live.len() >= usize::try_from(config.per_user).unwrap_or(usize::MAX);
        // Of several resumed at the same moment, the one that began first.
        let ended = if too_many { live.into_iter().min_by_key(|session| (session.seen, session.number)) } else { None };
        for session in gone.iter().chain(&ended) {
            delete(&transaction, session.number)?;
        }
        if count(&transaction)? >= capacity {
            return Err(Error::Full);
        }
        let mut insert = transaction.prepare_cached(
            "INSERT OR IGNORE INTO sessions (id, user, permissions, begun_ms, seen_ms, source)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )?;
        if insert.execute(params![hash(id), user, permissions.bits(), to_sql(now.as_millis()), source])? == 0 {
            return Err(Error::IdInUse);
        }
        drop(insert);
        let number = transaction.last_insert_rowid().unsigned_abs();
        transaction.commit()?;
        for session in gone.iter().chain(&ended) {
            self.seen.remove(&session.number);
        }
        Ok(Begun { number, ended })
    }

    /// Resumes a session: it is there, and no longer idle.
    ///
    /// # Errors
    /// [`Error::None`], [`Error::Sqlite`]. One that time has ended is forgotten by this.
    pub fn resume(&mut self, id: &[u8; 16], now: UnixTime) -> Result<Session, Error> {
        match self.resume_unless(id, now, |_| Ok::<(), Infallible>(()))? {
            Ok(session) => Ok(session),
            Err(never) => match never {},
        }
    }

    /// As [`resume`](Self::resume), unless `refuse` has something against it; then the session was not resumed. Tells it how
    /// far the revocations in the same database went at the moment of the look-up, for
    /// [`Revoked::check_since`](super::revoked::Revoked::check_since): one read for both.
    ///
    /// # Errors
    /// As [`Sessions::resume`]; inside, those of `refuse`.
    pub fn resume_unless<E>(
        &mut self,
        id: &[u8; 16],
        now: UnixTime,
        refuse: impl FnOnce(Mark) -> Result<(), E>,
    ) -> Result<Result<Session, E>, Error> {
        let (mut session, stored, mark) = self.find(id)?.ok_or(NoSession::Unknown)?;
        if let Some(why) = over(&self.config, &session, now) {
            self.end(session.number)?;
            return Err(why.into());
        }
        if let Err(error) = refuse(mark) {
            return Ok(Err(error));
        }
        session.seen = UnixTime::from_millis(session.seen.as_millis().max(now.as_millis()));
        let seen = session.seen.as_millis();
        self.seen.insert(session.number, seen);
        // A sync of the disk with every request would be felt.
        if seen.saturating_sub(stored) > self.config.idle.as_millis() / 16 {
            self.known.remove(&hash(id));
            // A full disk shall not log anybody out: memory knows it too.
            let _ = self
                .db
                .prepare_cached("UPDATE sessions SET seen_ms = max(seen_ms, ?2) WHERE number = ?1")?
                .execute(params![to_sql(session.number), to_sql(seen)]);
        }
        Ok(Ok(session))
    }

    /// Gives a session another id, and other permissions: after each change of what its user may do, and with every
    /// new token.
    ///
    /// # Errors
    /// As [`Sessions::resume`], and [`Error::IdInUse`].
    pub fn rotate(
        &mut self,
        old: &[u8; 16],
        new: &[u8; 16],
        permissions: Permissions,
        now: UnixTime,
    ) -> Result<Session, Error> {
        let session = self.resume(old, now)?;
        self.known.clear();
        let rotated = self
            .db
            .prepare_cached("UPDATE OR IGNORE sessions SET id = ?2, permissions = ?3, seen_ms = ?4 WHERE id = ?1")?
            .execute(params![hash(old), hash(new), permissions.bits(), to_sql(session.seen.as_millis())])?;
        if rotated == 0 {
            // Another one has just taken the session, or the new id was there.
            return Err(if self.find(new)?.is_some() { Error::IdInUse } else { NoSession::Unknown.into() });
        }
        Ok(Session { permissions, ..session })
    }

    /// The sessions that are not over, in the order in which they began.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn list(&self, now: UnixTime) -> Result<Vec<Session>, Error> {
        let mut all = select(&self.db, (&self.seen, self.scopes), "", [])?;
        all.retain(|session| over(&self.config, session, now).is_none());
        Ok(all)
    }

    /// Those of one user.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn list_of(&self, user: &str, now: UnixTime) -> Result<Vec<Session>, Error> {
        let mut all = select(&self.db, (&self.seen, self.scopes), "WHERE user = ?1", [user])?;
        all.retain(|session| over(&self.config, session, now).is_none());
        Ok(all)
    }

    /// How many are stored, those included that time has ended and nobody has asked for since.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn count(&self) -> Result<u64, Error> {
        count(&self.db)
    }

    /// Ends a session: by its user, or by whoever administers. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn end(&mut self, number: u64) -> Result<bool, Error> {
        self.seen.remove(&number);
        self.known.clear();
        delete(&self.db, number)
    }

    /// Ends all sessions of a user; says how many.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn end_of(&mut self, user: &str) -> Result<u64, Error> {
        self.known.clear();
        let ended = self.db.prepare_cached("DELETE FROM sessions WHERE user = ?1")?.execute([user])?;
        Ok(ended as u64)
    }

    /// Forgets what time has ended; says how many.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn poll(&mut self, now: UnixTime) -> Result<u64, Error> {
        self.known.clear();
        let (config, seen) = (self.config, &self.seen);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let all = select(&transaction, (seen, self.scopes), "", [])?;
        let mut forgotten = 0;
        let mut kept = HashMap::new();
        for session in &all {
            if over(&config, session, now).is_some() {
                delete(&transaction, session.number)?;
                forgotten += 1;
            } else if let Some(at) = seen.get(&session.number) {
                kept.insert(session.number, *at);
            }
        }
        transaction.commit()?;
        // Without those that another process has ended.
        self.seen = kept;
        Ok(forgotten)
    }

    /// The session of an id, when it was resumed last as far as the database knows, and its latest revocations.
    fn find(&mut self, id: &[u8; 16]) -> Result<Option<(Session, u64, Mark)>, Error> {
        const FIND: &str = "SELECT number, user, permissions, begun_ms, seen_ms, source,
            (SELECT max(number) FROM revoked), (SELECT max(number) FROM revoked_before)
            FROM sessions WHERE id = ?1";
        // Before the read: what is written in between is newer than this says, and read again.
        let version = Some(self.watch.version(&self.db)?);
        if version != self.version {
            self.known.clear();
            self.version = version;
        }
        let id = hash(id);
        let found = match self.known.get(&id) {
            Some(found) => found.clone(),
            None => {
                let mut find = self.db.prepare_cached(FIND)?;
                let found = find.query_row([id], |row| {
                    let last = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.unwrap_or(0));
                    Ok((session(row, self.scopes)?, Mark(last(6)?, last(7)?)))
                });
                let Some(found) = found.optional()? else { return Ok(None) };
                self.known.insert(id, found.clone());
                found
            }
        };
        let (session, mark) = found;
        let stored = session.seen.as_millis();
        Ok(Some((later(session, &self.seen), stored, mark)))
    }
}

/// What of a session's id is stored. The id is random, so that no one can guess what was hashed.
fn hash(id: &[u8; 16]) -> [u8; 32] {
    static KEY: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::new(b"daur session id v1"));
    KEY.tag(&[id])
}

/// The core's machines live by monotonic time; this one must outlive the process.
fn over(config: &Config, session: &Session, now: UnixTime) -> Option<NoSession> {
    let at = |time: UnixTime| Instant::ZERO + Duration::from_millis(time.as_millis());
    config.state(at(session.begun), at(session.seen), at(now)).err()
}

fn select<const N: usize>(
    db: &Connection,
    (seen, scopes): (&HashMap<u64, u64>, Scopes),
    which: &str,
    of: [&str; N],
) -> Result<Vec<Session>, Error> {
    let mut select = db.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions {which} ORDER BY number"))?;
    let rows = select.query_map(rusqlite::params_from_iter(of), |row| session(row, scopes))?;
    Ok(rows.map(|row| row.map(|session| later(session, seen))).collect::<Result<_, _>>()?)
}

fn later(mut session: Session, seen: &HashMap<u64, u64>) -> Session {
    let seen = seen.get(&session.number).copied().unwrap_or(0);
    session.seen = UnixTime::from_millis(session.seen.as_millis().max(seen));
    session
}

fn count(db: &Connection) -> Result<u64, Error> {
    let count: i64 = db.prepare_cached("SELECT count(*) FROM sessions")?.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn delete(db: &Connection, number: u64) -> Result<bool, Error> {
    Ok(db.prepare_cached("DELETE FROM sessions WHERE number = ?1")?.execute([to_sql(number)])? > 0)
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn session(row: &Row<'_>, scopes: Scopes) -> rusqlite::Result<Session> {
    let number = |column| row.get(column).map(i64::unsigned_abs);
    Ok(Session {
        number: number(0)?,
        user: row.get(1)?,
        // As for users: a word with an unknown bit grants nothing.
        permissions: scopes.from_bits(row.get(2)?).unwrap_or_default(),
        begun: UnixTime::from_millis(number(3)?),
        seen: UnixTime::from_millis(number(4)?),
        source: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{TestDir, test_dir};

    const CONFIG: Config = Config { idle: Duration::from_secs(60), absolute: Duration::from_secs(600), per_user: 2 };

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn store(dir: &TestDir) -> Sessions {
        Sessions::open(&dir.path().join("daur.db"), CONFIG).unwrap()
    }

    fn begin(sessions: &mut Sessions, id: u8, user: &str, now: u64) -> Begun {
        sessions.begin(&[id; 16], user, Permissions::READ, "10.0.0.7", at(now)).unwrap()
    }

    fn why(result: Result<Session, Error>) -> NoSession {
        match result {
            Err(Error::None(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rule_1_a_session_is_over_exactly_when_idle_or_old_enough_and_survives_a_restart() {
        let dir = test_dir("sessions");
        let mut sessions = store(&dir);
        let begun = begin(&mut sessions, 1, "ada", 1_000);
        let just_before = UnixTime::from_millis(1_060_000 - 1);
        drop(sessions);
        let mut sessions = store(&dir);
        let session = sessions.resume(&[1; 16], just_before).unwrap();
        assert_eq!((session.number, session.user.as_str(), session.begun), (begun.number, "ada", at(1_000)));
        assert_eq!((session.seen, session.source.as_str()), (just_before, "10.0.0.7"));
        let then = UnixTime::from_millis(just_before.as_millis() + 60_000);
        assert_eq!(why(sessions.resume(&[1; 16], then)), NoSession::Idle);
        assert_eq!(why(sessions.resume(&[1; 16], just_before)), NoSession::Unknown, "what is over does not come back");
        begin(&mut sessions, 2, "ada", 2_000);
        for now in (2_000..2_600).step_by(59) {
            sessions.resume(&[2; 16], at(now)).unwrap();
        }
        assert_eq!(why(sessions.resume(&[2; 16], at(2_600))), NoSession::Expired);
    }

    #[test]
    fn rule_2_the_database_holds_no_id() {
        let dir = test_dir("session-ids");
        let mut sessions = store(&dir);
        let id: [u8; 16] = *b"a secret session";
        sessions.begin(&id, "ada", Permissions::READ, "", at(1)).unwrap();
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(16).any(|window| window == id));
        }
        let stored: Vec<u8> = sessions.db.query_row("SELECT id FROM sessions", [], |row| row.get(0)).unwrap();
        assert_eq!(stored, hash(&id));
    }

    #[test]
    fn rule_3_a_rotated_session_goes_on_under_its_new_id_alone() {
        let dir = test_dir("rotate");
        let mut sessions = store(&dir);
        let number = begin(&mut sessions, 1, "ada", 1_000).number;
        let rotated = sessions.rotate(&[1; 16], &[2; 16], Permissions::ALL, at(1_010)).unwrap();
        assert_eq!((rotated.number, rotated.permissions, rotated.begun), (number, Permissions::ALL, at(1_000)));
        assert_eq!(why(sessions.resume(&[1; 16], at(1_011))), NoSession::Unknown);
        assert_eq!(sessions.resume(&[2; 16], at(1_011)).unwrap().permissions, Permissions::ALL);
        assert_eq!(why(sessions.rotate(&[1; 16], &[3; 16], Permissions::ALL, at(1_011))), NoSession::Unknown);
        begin(&mut sessions, 4, "ada", 1_012);
        assert!(matches!(sessions.rotate(&[2; 16], &[4; 16], Permissions::ALL, at(1_013)), Err(Error::IdInUse)));
        let twice = sessions.begin(&[4; 16], "bob", Permissions::ALL, "", at(1_013));
        assert!(matches!(twice, Err(Error::IdInUse)));
    }

    #[test]
    fn rule_4_one_too_many_ends_the_least_recently_resumed_of_that_user() {
        let dir = test_dir("per-user");
        let mut sessions = store(&dir);
        let first = begin(&mut sessions, 1, "ada", 1_000).number;
        let second = begin(&mut sessions, 2, "ada", 1_001).number;
        begin(&mut sessions, 9, "bob", 990);
        // Less than a sixteenth of `idle`: known to the memory only.
        sessions.resume(&[1; 16], at(1_002)).unwrap();
        let begun = begin(&mut sessions, 3, "ada", 1_003);
        assert_eq!(begun.ended.map(|session| session.number), Some(second));
        let left = sessions.list_of("ada", at(1_003)).unwrap();
        assert_eq!(left.iter().map(|session| session.number).collect::<Vec<_>>(), [first, begun.number]);
        // One that time has ended makes room without being told of.
        assert_eq!(begin(&mut sessions, 4, "ada", 1_062).ended, None);
    }

    #[test]
    fn rule_5_when_full_nobody_elses_session_ends() {
        let dir = test_dir("full");
        let mut sessions = store(&dir);
        sessions.capacity = 2;
        begin(&mut sessions, 1, "ada", 1_000);
        begin(&mut sessions, 2, "bob", 1_030);
        assert!(matches!(sessions.begin(&[3; 16], "eve", Permissions::READ, "", at(1_059)), Err(Error::Full)));
        assert_eq!(sessions.list(at(1_059)).unwrap().len(), 2);
        begin(&mut sessions, 3, "eve", 1_060);
        assert_eq!(sessions.count().unwrap(), 2, "ada's was over");
        assert!(matches!(sessions.begin(&[4; 16], " ", Permissions::READ, "", at(1)), Err(Error::InvalidName)));
    }

    #[test]
    fn rule_6_the_last_resume_is_written_now_and_then() {
        let dir = test_dir("seen");
        let mut sessions = store(&dir);
        begin(&mut sessions, 1, "ada", 1_000);
        let stored = |sessions: &Sessions| -> i64 {
            sessions.db.query_row("SELECT seen_ms FROM sessions", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(sessions.resume(&[1; 16], at(1_003)).unwrap().seen, at(1_003));
        assert_eq!(stored(&sessions), 1_000_000);
        sessions.resume(&[1; 16], at(1_004)).unwrap();
        assert_eq!(stored(&sessions), 1_004_000);
        sessions.resume(&[1; 16], at(1_007)).unwrap();
        // It counts to the millisecond all the same.
        assert!(sessions.resume(&[1; 16], UnixTime::from_millis(1_066_999)).is_ok());
    }

    #[test]
    fn rule_7_time_that_steps_back_ends_nothing_early_and_brings_nothing_back() {
        let dir = test_dir("back");
        let mut sessions = store(&dir);
        begin(&mut sessions, 1, "ada", 1_000);
        assert_eq!(sessions.resume(&[1; 16], at(5)).unwrap().seen, at(1_000));
        assert_eq!(why(sessions.resume(&[1; 16], at(1_060))), NoSession::Idle);
        assert_eq!(why(sessions.resume(&[1; 16], at(1_000))), NoSession::Unknown);
    }

    #[test]
    fn what_one_process_ends_another_sees_at_once() {
        let dir = test_dir("two");
        let (mut one, mut two) = (store(&dir), store(&dir));
        let number = begin(&mut one, 1, "ada", 1_000).number;
        begin(&mut one, 2, "ada", 1_000);
        assert!(two.resume(&[1; 16], at(1_001)).is_ok());
        assert!(one.resume(&[1; 16], at(1_001)).is_ok());
        assert!(two.end(number).unwrap() && !two.end(number).unwrap());
        assert_eq!(why(one.resume(&[1; 16], at(1_001))), NoSession::Unknown);
        assert_eq!(two.end_of("ada").unwrap(), 1);
        assert_eq!(why(one.resume(&[2; 16], at(1_001))), NoSession::Unknown);
        assert_eq!((one.poll(at(1_001)).unwrap(), one.seen.len()), (0, 0), "memory does not keep what is gone");
    }

    #[test]
    fn a_config_that_cannot_be_is_refused() {
        let dir = test_dir("config");
        let config = Config { per_user: 0, ..CONFIG };
        assert!(matches!(Sessions::open(&dir.path().join("daur.db"), config), Err(Error::Config(_))));
    }
}
