//! Users in SQLite.

use std::fmt;
use std::path::Path;

use daur_core::security::permission::Permissions;
use daur_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::open;

/// Holds a user as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name: 1 to 32 bytes of printable text without white space at its ends.
    pub name: String,
    /// The PHC string of the password.
    pub phc: String,
    /// What is granted.
    pub permissions: Permissions,
    /// Since when.
    pub created: UnixTime,
}

impl fmt::Debug for User {
    /// Without the hash, which has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, permissions, created, phc: _ } = self;
        f.debug_struct("User")
            .field("name", name)
            .field("permissions", permissions)
            .field("created", created)
            .finish_non_exhaustive()
    }
}

/// Says what went wrong with the store of users.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A user of that name exists.
    Exists,
    /// No user has that name.
    NotFound,
    /// Not a user's name.
    InvalidName,
    /// SQLite's.
    Sqlite(rusqlite::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("a user of that name exists"),
            Self::NotFound => f.write_str("no user has that name"),
            Self::InvalidName => {
                f.write_str("a user's name is 1 to 32 bytes of printable text without white space at its ends")
            }
            Self::Sqlite(error) => write!(f, "the store of users: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
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

/// Stores users in a table of a SQLite database. Blocks: call it from the blocking pool.
pub struct Users {
    db: Connection,
}

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY NOT NULL,
    phc TEXT NOT NULL,
    permissions INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

impl Users {
    /// Opens or creates the table in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let db = open(path)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db })
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::InvalidName`], [`Error::Sqlite`].
    pub fn add(&mut self, user: &User) -> Result<(), Error> {
        if !is_name(&user.name) {
            return Err(Error::InvalidName);
        }
        let added = self.db.prepare_cached("INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            user.name,
            user.phc,
            user.permissions.bits(),
            to_sql(user.created)
        ])?;
        if added == 1 { Ok(()) } else { Err(Error::Exists) }
    }

    /// The user of that name, to the letter.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn find(&self, name: &str) -> Result<Option<User>, Error> {
        let mut find =
            self.db.prepare_cached("SELECT name, phc, permissions, created_ms FROM users WHERE name = ?1")?;
        Ok(find.query_row([name], user).optional()?)
    }

    /// All users, by name.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn list(&self) -> Result<Vec<User>, Error> {
        let mut list = self.db.prepare_cached("SELECT name, phc, permissions, created_ms FROM users ORDER BY name")?;
        let users = list.query_map([], user)?;
        Ok(users.collect::<Result<_, _>>()?)
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn count(&self) -> Result<u64, Error> {
        let count: i64 = self.db.prepare_cached("SELECT count(*) FROM users")?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Stores another hash of a user's password.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Sqlite`].
    pub fn set_phc(&mut self, name: &str, phc: &str) -> Result<(), Error> {
        let changed =
            self.db.prepare_cached("UPDATE users SET phc = ?2 WHERE name = ?1")?.execute(params![name, phc])?;
        found(changed)
    }

    /// Grants a user exactly these permissions.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Sqlite`].
    pub fn set_permissions(&mut self, name: &str, permissions: Permissions) -> Result<(), Error> {
        let changed = self
            .db
            .prepare_cached("UPDATE users SET permissions = ?2 WHERE name = ?1")?
            .execute(params![name, permissions.bits()])?;
        found(changed)
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Sqlite`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let changed = self.db.prepare_cached("DELETE FROM users WHERE name = ?1")?.execute([name])?;
        found(changed)
    }
}

/// Whether a text can be a user's name. It must fit a token's `sub`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.trim() == name && !name.chars().any(char::is_control)
}

const fn found(changed: usize) -> Result<(), Error> {
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

fn to_sql(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let created: i64 = row.get(3)?;
    Ok(User {
        name: row.get(0)?,
        phc: row.get(1)?,
        // A bit that is unknown here grants nothing; so does the rest of a word that has one.
        permissions: Permissions::from_bits(row.get(2)?).unwrap_or_default(),
        created: UnixTime::from_millis(created.unsigned_abs()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::test_dir;

    fn alice() -> User {
        User {
            name: "alice".into(),
            phc: "$phc".into(),
            permissions: Permissions::READ.with(Permissions::WRITE),
            created: UnixTime::from_millis(1_800_000_000_123),
        }
    }

    #[test]
    fn a_user_is_there_until_removed_and_after_a_restart() {
        let dir = test_dir("users");
        let path = dir.path().join("daur.db");
        let mut users = Users::open(&path).unwrap();
        assert_eq!(users.count().unwrap(), 0);
        users.add(&alice()).unwrap();
        assert!(matches!(users.add(&alice()), Err(Error::Exists)));
        drop(users);

        let mut users = Users::open(&path).unwrap();
        assert_eq!(users.find("alice").unwrap(), Some(alice()));
        assert_eq!(users.find("ALICE").unwrap(), None);
        users.set_phc("alice", "$new").unwrap();
        users.set_permissions("alice", Permissions::ADMIN).unwrap();
        let changed = User { phc: "$new".into(), permissions: Permissions::ADMIN, ..alice() };
        assert_eq!(users.list().unwrap(), [changed]);
        users.remove("alice").unwrap();
        assert!(matches!(users.remove("alice"), Err(Error::NotFound)));
        assert!(matches!(users.set_phc("alice", ""), Err(Error::NotFound)));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let dir = test_dir("names");
        let mut users = Users::open(&dir.path().join("daur.db")).unwrap();
        for name in ["", " a", "a ", "a\nb", "a\0", &"x".repeat(33)] {
            let user = User { name: name.into(), ..alice() };
            assert!(matches!(users.add(&user), Err(Error::InvalidName)), "{name:?}");
        }
        users.add(&User { name: "Ж '; DROP TABLE users; --".into(), ..alice() }).unwrap();
        assert_eq!(users.count().unwrap(), 1);
    }

    #[test]
    fn the_hash_is_not_printed() {
        assert!(!format!("{:?}", alice()).contains("$phc"));
    }
}
