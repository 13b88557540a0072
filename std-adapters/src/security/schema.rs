//! The layout of a host's database: users, sessions, revoked tokens and the audit, in one file; or in two, of which each has
//! all tables and uses its own: the audit is written to all the time, and what is asked with every request is best where
//! nobody writes.
//!
//! Every store opens the file through here, whichever comes first. `PRAGMA user_version` tells the layout.
//!
//! # Rules
//! 1. An older layout becomes the present one, step by step, each step whole or not at all; what was stored stays.
//! 2. A newer layout is refused and left as it is.
//! 3. Of several processes that open an old file at once, one changes it.

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{audit, users};

/// The layout that this program writes.
pub const VERSION: u32 = STEPS.len() as u32;

/// What each layout adds to the one before. Append only.
const STEPS: [&[&str]; 3] = [
    // 1: what the first programs made, and may have left here without a number.
    &[users::SCHEMA, audit::SCHEMA],
    // 2: users that change, sessions, revoked tokens.
    &["ALTER TABLE users ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN tokens_from INTEGER NOT NULL DEFAULT 0;
UPDATE users SET changed_ms = created_ms;
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    user TEXT NOT NULL,
    permissions INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    source TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user);
CREATE TABLE revoked (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    jti BLOB NOT NULL UNIQUE,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_by_end ON revoked (until);
CREATE TABLE revoked_before (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL UNIQUE,
    iat INTEGER NOT NULL
) STRICT;"],
    // 3: what blocks of audit records hold, instead of three indexes that each record was put into.
    &[
        "DROP INDEX IF EXISTS audit_by_kind;
DROP INDEX IF EXISTS audit_by_actor;
DROP INDEX IF EXISTS audit_by_unix_ms;
CREATE TABLE audit_blocks (
    block INTEGER PRIMARY KEY,
    kinds INTEGER NOT NULL,
    outcomes INTEGER NOT NULL,
    actors TEXT NOT NULL,
    first_ms INTEGER,
    last_ms INTEGER
) STRICT;",
        audit::FILL_BLOCKS,
    ],
];

/// Says why a database is not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// A later program made it; nothing was changed.
    Newer {
        /// The layout that it has.
        found: i64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Newer { found } => {
                write!(f, "the database has layout {found}, of a later program; this one knows up to {VERSION}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => Some(error),
            Self::Newer { .. } => None,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Opens the database at `path`, made if need be, in the present layout.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let mut db = super::open(path)?;
    while step(&mut db)? {}
    Ok(db)
}

/// Takes the next step, if there is one to take.
fn step(db: &mut Connection) -> Result<bool, Error> {
    if todo(db)?.is_none() {
        return Ok(false);
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have taken it while this one waited.
    if let Some((number, statements)) = todo(&transaction)? {
        for statement in statements {
            transaction.execute_batch(statement)?;
        }
        transaction.pragma_update(None, "user_version", number + 1)?;
        transaction.commit()?;
    }
    Ok(true)
}

/// The number of the present layout and what it lacks of the next.
fn todo(db: &Connection) -> Result<Option<(i64, &'static [&'static str])>, Error> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(number) if number < STEPS.len() => Ok(Some((found, STEPS[number]))),
        Ok(number) if number == STEPS.len() => Ok(None),
        _ => Err(Error::Newer { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::audit::AuditLog;
    use crate::security::sessions::Sessions;
    use crate::security::test_dir;
    use crate::security::users::{User, Users};
    use daur_core::id::{BootId, DeviceId};
    use daur_core::security::audit::{Event, Kind, Outcome};
    use daur_core::security::permission::Permissions;
    use daur_core::security::session::Config;
    use daur_core::time::{Instant, UnixTime};

    /// What a program of layout 0 did at its start, to the letter.
    const OLD: &str = "
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY NOT NULL,
    phc TEXT NOT NULL,
    permissions INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY NOT NULL,
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    unix_ms INTEGER,
    kind INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    detail TEXT NOT NULL,
    tag BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audit_state (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    seq INTEGER NOT NULL,
    tag BLOB NOT NULL,
    key BLOB NOT NULL
) STRICT;
INSERT INTO users VALUES ('alice', '$phc', 5, 1700000000123), ('bob', '$phc2', 1, 1700000000456);";

    fn layout(path: &Path) -> i64 {
        Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn rule_1_a_database_without_a_number_is_brought_up_and_keeps_what_it_holds() {
        let dir = test_dir("schema-old");
        let path = dir.path().join("daur.db");
        // A chain, put where a program of that time had it: the tables are the same.
        let (host, event) = (DeviceId::new("host").unwrap(), Event::new(Kind::Start, Outcome::Success, "", "", "v0"));
        let other = dir.path().join("other.db");
        let (mut log, key) = AuditLog::open(&other, host, BootId(1)).unwrap();
        let head = log.append(&[(event, Instant::ZERO, None)]).unwrap();
        drop(log);
        let db = Connection::open(&path).unwrap();
        db.execute_batch(OLD).unwrap();
        db.execute("ATTACH ?1 AS other", [other.to_str().unwrap()]).unwrap();
        for table in ["audit", "audit_state"] {
            db.execute(&format!("INSERT INTO main.{table} SELECT * FROM other.{table}"), []).unwrap();
        }
        drop(db);
        assert_eq!(layout(&path), 0);

        let users = Users::open(&path).unwrap();
        assert_eq!(layout(&path), i64::from(VERSION));
        let alice = User {
            name: "alice".into(),
            phc: "$phc".into(),
            permissions: Permissions::READ.with(Permissions::ADMIN),
            created: UnixTime::from_millis(1_700_000_000_123),
        };
        assert_eq!(users.find("alice").unwrap(), Some(alice.clone()));
        let account = users.account("alice").unwrap().unwrap();
        assert_eq!((account.disabled, account.changed, account.tokens_from), (false, alice.created, 0));
        assert_eq!(users.count().unwrap(), 2);
        assert_eq!(AuditLog::verify_at(&path, key.unwrap(), Some(head)).unwrap(), head);
        assert!(Sessions::open(&path, Config::DEFAULT).unwrap().list(UnixTime::from_secs(0)).unwrap().is_empty());
    }

    #[test]
    fn rule_1_a_step_that_fails_leaves_the_layout_before_it() {
        let dir = test_dir("schema-half");
        let path = dir.path().join("daur.db");
        // Somebody else's table stands where step 2 puts its last one.
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE revoked_before (x)").unwrap();
        assert!(matches!(open(&path), Err(Error::Sqlite(_))));
        assert_eq!(layout(&path), 1);
        let columns: i64 =
            db.query_row("SELECT count(*) FROM pragma_table_info('users')", [], |row| row.get(0)).unwrap();
        assert_eq!(columns, 4, "no column of the step is left");
        db.execute_batch("DROP TABLE revoked_before").unwrap();
        open(&path).unwrap();
        assert_eq!(layout(&path), i64::from(VERSION));
    }

    #[test]
    fn rule_2_a_newer_layout_is_refused_and_left_as_it_is() {
        let dir = test_dir("schema-new");
        let path = dir.path().join("daur.db");
        for found in [i64::from(VERSION) + 1, 1 << 30, -1] {
            Connection::open(&path).unwrap().pragma_update(None, "user_version", found).unwrap();
            let error = Users::open(&path).err().unwrap().to_string();
            assert!(error.contains(&format!("layout {found}")), "{error}");
            assert!(AuditLog::open(&path, DeviceId::new("host").unwrap(), BootId(1)).is_err());
            let tables: i64 = Connection::open(&path)
                .unwrap()
                .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
                .unwrap();
            assert_eq!((tables, layout(&path)), (0, found));
        }
    }

    #[test]
    fn rule_3_of_many_that_open_at_once_one_changes_it() {
        let dir = test_dir("schema-race");
        let path = dir.path().join("daur.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        db.execute_batch(OLD).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(Users::open(&path).unwrap().count().unwrap(), 2));
            }
        });
        assert_eq!(layout(&path), i64::from(VERSION));
    }
}
