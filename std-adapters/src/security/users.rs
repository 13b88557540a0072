//! Users in SQLite.

use std::fmt;
use std::path::Path;

use daur_core::security::input::sanitize::{Rules, sanitize};
use daur_core::security::permission::{Permissions, Scopes};
use daur_core::time::{UnixTime, WallClock};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::schema;
use crate::clock::SystemWallClock;

/// Holds a user as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name, as [`is_name`] says.
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

/// Holds all that is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Whether logins are refused.
    pub disabled: bool,
    /// When permissions, password or the flag were changed last.
    pub changed: UnixTime,
    /// Tokens issued before this second of 1970 count no more.
    pub tokens_from: u64,
}

/// Says what is to change of a user; what is `None` stays.
#[derive(Clone, Copy, Default)]
pub struct Change<'a> {
    /// Exactly these permissions.
    pub permissions: Option<Permissions>,
    /// Whether logins are refused.
    pub disabled: Option<bool>,
    /// The PHC string of another password.
    pub phc: Option<&'a str>,
}

/// Tells what a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The user as they are now.
    pub account: Account,
    /// How many of their sessions ended; `None` if nothing was to be changed.
    pub ended: Option<u64>,
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
    /// Nobody who may administer would be left.
    LastAdmin,
    /// The database cannot be used.
    Schema(schema::Error),
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
            Self::LastAdmin => f.write_str("this is the last user who may administer"),
            Self::Schema(error) => write!(f, "the store of users: {error}"),
            Self::Sqlite(error) => write!(f, "the store of users: {error}"),
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

/// Stores users in a table of a SQLite database. Blocks: call it from the blocking pool.
///
/// # Rules
/// 1. Whoever is disabled is not found by [`Users::find`], so that a login knows no difference to a name that is none.
/// 2. What changes permissions, password or the flag ends the user's [sessions](super::sessions) and moves
///    `tokens_from` to that second, all in one transaction. A change to what is already so changes nothing.
/// 3. With [`Users::keeping_an_admin`], what would leave nobody who may administer is refused.
/// 4. Another hash of the same password ([`Users::set_phc`]) ends nothing.
///
/// # Cost
/// A look-up is one read of an index; a change is one transaction with one sync of the disk.
///
/// # Example
/// ```
/// use daur_std::core::security::permission::Permissions;
/// use daur_std::core::time::UnixTime;
/// use daur_std::security::users::{Change, User, Users};
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-users");
/// # let _ = std::fs::remove_dir_all(&dir);
/// # std::fs::create_dir_all(&dir)?;
/// let mut users = Users::open(&dir.join("daur.db"))?.keeping_an_admin();
/// let (created, permissions) = (UnixTime::from_secs(1_800_000_000), Permissions::ALL);
/// users.add(&User { name: "ada".into(), phc: "$pbkdf2-sha256$..".into(), permissions, created })?;
/// assert!(users.find("ada")?.is_some());
///
/// let disable = Change { disabled: Some(true), ..Change::default() };
/// assert!(users.change("ada", &disable, UnixTime::from_secs(1_800_000_060)).is_err());
/// # drop(users);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Users {
    db: Connection,
    keep_admin: bool,
    scopes: Scopes,
}

/// The table as it was first; [`schema`] adds to it.
pub(super) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY NOT NULL,
    phc TEXT NOT NULL,
    permissions INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

const COLUMNS: &str = "name, phc, permissions, created_ms, disabled, changed_ms, tokens_from";

impl Users {
    /// Opens or creates the table in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { db: schema::open(path)?, keep_admin: false, scopes: Scopes::DEFAULT })
    }

    /// Knows these scopes beside the three permissions; without them, who has one is granted nothing.
    #[must_use]
    pub const fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Refuses from now on what would leave no enabled user with `admin`.
    #[must_use]
    pub fn keeping_an_admin(mut self) -> Self {
        self.keep_admin = true;
        self
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::InvalidName`], [`Error::Sqlite`].
    pub fn add(&mut self, user: &User) -> Result<(), Error> {
        if !is_name(&user.name) {
            return Err(Error::InvalidName);
        }
        let mut add = self.db.prepare_cached(
            "INSERT OR IGNORE INTO users (name, phc, permissions, created_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
        )?;
        let added = add.execute(params![user.name, user.phc, user.permissions.bits(), to_sql(user.created)])?;
        if added == 1 { Ok(()) } else { Err(Error::Exists) }
    }

    /// The user of that name, to the letter, if they may log in.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn find(&self, name: &str) -> Result<Option<User>, Error> {
        Ok(self.account(name)?.filter(|account| !account.disabled).map(|account| account.user))
    }

    /// All that is known of the user of that name, to the letter.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        find(&self.db, name, self.scopes)
    }

    /// All users, by name, disabled ones too.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn list(&self) -> Result<Vec<User>, Error> {
        Ok(self.accounts()?.into_iter().map(|account| account.user).collect())
    }

    /// All that is known of all users, by name.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn accounts(&self) -> Result<Vec<Account>, Error> {
        let mut list = self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM users ORDER BY name"))?;
        let accounts = list.query_map([], |row| account(row, self.scopes))?;
        Ok(accounts.collect::<Result<_, _>>()?)
    }

    /// How many there are, disabled ones too.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn count(&self) -> Result<u64, Error> {
        let count: i64 = self.db.prepare_cached("SELECT count(*) FROM users")?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Changes what is named of a user, all of it or nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`], [`Error::Sqlite`].
    pub fn change(&mut self, name: &str, change: &Change<'_>, now: UnixTime) -> Result<Changed, Error> {
        let (keep_admin, scopes) = (self.keep_admin, self.scopes);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = find(&transaction, name, scopes)?.ok_or(Error::NotFound)?;
        let mut account = before.clone();
        if let Some(permissions) = change.permissions {
            account.user.permissions = permissions;
        }
        if let Some(disabled) = change.disabled {
            account.disabled = disabled;
        }
        if let Some(phc) = change.phc {
            phc.clone_into(&mut account.user.phc);
        }
        if account == before {
            return Ok(Changed { account, ended: None });
        }
        account.changed = now;
        // Never backwards: what a clock that was set back would let in again has been refused before.
        account.tokens_from = account.tokens_from.max(now.as_secs());
        transaction
            .prepare_cached(
                "UPDATE users SET phc = ?2, permissions = ?3, disabled = ?4, changed_ms = ?5, tokens_from = ?6 WHERE name = ?1",
            )?
            .execute(params![
                name,
                account.user.phc,
                account.user.permissions.bits(),
                account.disabled,
                to_sql(account.changed),
                i64::try_from(account.tokens_from).unwrap_or(i64::MAX)
            ])?;
        if keep_admin && administers(&before) {
            an_admin_is_left(&transaction, scopes)?;
        }
        let ended = end_sessions(&transaction, name)?;
        transaction.commit()?;
        Ok(Changed { account, ended: Some(ended) })
    }

    /// Stores another hash of the same password in place of `old`: its sessions go on. Where `old` is not stored any more,
    /// the password was changed meanwhile, and stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a user or hash, [`Error::Sqlite`].
    pub fn set_phc(&mut self, name: &str, old: &str, phc: &str) -> Result<(), Error> {
        let mut update = self.db.prepare_cached("UPDATE users SET phc = ?3 WHERE name = ?1 AND phc = ?2")?;
        found(update.execute(params![name, old, phc])?)
    }

    /// Stores the hash of another password.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Sqlite`].
    pub fn set_password(&mut self, name: &str, phc: &str) -> Result<(), Error> {
        self.change(name, &Change { phc: Some(phc), ..Change::default() }, now()).map(drop)
    }

    /// Grants a user exactly these permissions.
    ///
    /// # Errors
    /// Those of [`Users::change`].
    pub fn set_permissions(&mut self, name: &str, permissions: Permissions) -> Result<(), Error> {
        self.change(name, &Change { permissions: Some(permissions), ..Change::default() }, now()).map(drop)
    }

    /// Refuses a user's logins.
    ///
    /// # Errors
    /// Those of [`Users::change`].
    pub fn disable(&mut self, name: &str) -> Result<(), Error> {
        self.change(name, &Change { disabled: Some(true), ..Change::default() }, now()).map(drop)
    }

    /// Lets a user log in again.
    ///
    /// # Errors
    /// Those of [`Users::change`].
    pub fn enable(&mut self, name: &str) -> Result<(), Error> {
        self.change(name, &Change { disabled: Some(false), ..Change::default() }, now()).map(drop)
    }

    /// Removes a user, and ends their sessions.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`], [`Error::Sqlite`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let (keep_admin, scopes) = (self.keep_admin, self.scopes);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = find(&transaction, name, scopes)?.ok_or(Error::NotFound)?;
        transaction.prepare_cached("DELETE FROM users WHERE name = ?1")?.execute([name])?;
        if keep_admin && administers(&before) {
            an_admin_is_left(&transaction, scopes)?;
        }
        end_sessions(&transaction, name)?;
        Ok(transaction.commit()?)
    }
}

/// Whether a text can be a user's name: 1 to 32 bytes, which fit a token's `sub`, without white space at the ends and
/// without anything that is not seen or turns the reading direction, so that no two names look the same for that.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let seen = || {
        let mut buffer = [0; 32];
        let shown = sanitize(name, &Rules::DEFAULT, &mut buffer);
        !shown.cut && shown.removed == 0
    };
    (1..=32).contains(&name.len()) && name.trim() == name && seen()
}

const fn administers(account: &Account) -> bool {
    !account.disabled && account.user.permissions.contains(Permissions::ADMIN)
}

/// Asked inside the transaction, so that of two changes at once one sees the other.
fn an_admin_is_left(transaction: &Transaction<'_>, scopes: Scopes) -> Result<(), Error> {
    let mut enabled =
        transaction.prepare_cached("SELECT permissions FROM users WHERE disabled = 0 AND permissions & ?1 <> 0")?;
    let mut rows = enabled.query([Permissions::ADMIN.bits()])?;
    while let Some(row) = rows.next()? {
        // As for whoever logs in: a word with an unknown bit grants nothing.
        if scopes.from_bits(row.get(0)?).is_some_and(|permissions| permissions.contains(Permissions::ADMIN)) {
            return Ok(());
        }
    }
    Err(Error::LastAdmin)
}

fn end_sessions(transaction: &Transaction<'_>, user: &str) -> Result<u64, Error> {
    let ended = transaction.prepare_cached("DELETE FROM sessions WHERE user = ?1")?.execute([user])?;
    Ok(ended as u64)
}

fn find(db: &Connection, name: &str, scopes: Scopes) -> Result<Option<Account>, Error> {
    let mut find = db.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE name = ?1"))?;
    Ok(find.query_row([name], |row| account(row, scopes)).optional()?)
}

const fn found(changed: usize) -> Result<(), Error> {
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

fn now() -> UnixTime {
    SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0))
}

fn to_sql(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn account(row: &Row<'_>, scopes: Scopes) -> rusqlite::Result<Account> {
    let time = |column| row.get(column).map(|ms: i64| UnixTime::from_millis(ms.unsigned_abs()));
    let user = User {
        name: row.get(0)?,
        phc: row.get(1)?,
        // A bit that is unknown here grants nothing; so does the rest of a word that has one.
        permissions: scopes.from_bits(row.get(2)?).unwrap_or_default(),
        created: time(3)?,
    };
    Ok(Account { user, disabled: row.get(4)?, changed: time(5)?, tokens_from: row.get(6).map(i64::unsigned_abs)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::sessions::Sessions;
    use crate::security::test_dir;
    use daur_core::security::session::Config;

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
        users.set_phc("alice", &alice().phc, "$new").unwrap();
        assert!(
            matches!(users.set_phc("alice", &alice().phc, "$late"), Err(Error::NotFound)),
            "no longer that password"
        );
        users.set_permissions("alice", Permissions::ADMIN).unwrap();
        let changed = User { phc: "$new".into(), permissions: Permissions::ADMIN, ..alice() };
        assert_eq!(users.list().unwrap(), [changed]);
        users.remove("alice").unwrap();
        assert!(matches!(users.remove("alice"), Err(Error::NotFound)));
        assert!(matches!(users.set_phc("alice", "$new", ""), Err(Error::NotFound)));
    }

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn rule_1_whoever_is_disabled_is_not_found_and_still_there() {
        let dir = test_dir("disabled");
        let mut users = Users::open(&dir.path().join("daur.db")).unwrap();
        users.add(&alice()).unwrap();
        users.disable("alice").unwrap();
        assert_eq!(users.find("alice").unwrap(), None);
        let account = users.account("alice").unwrap().unwrap();
        assert!(account.disabled && account.tokens_from > 0);
        assert!(matches!(users.add(&alice()), Err(Error::Exists)));
        assert_eq!((users.count().unwrap(), users.list().unwrap().len()), (1, 1));
        users.enable("alice").unwrap();
        assert_eq!(users.find("alice").unwrap(), Some(alice()));
    }

    #[test]
    fn rule_2_a_change_ends_the_sessions_of_that_user_alone() {
        let dir = test_dir("change");
        let path = dir.path().join("daur.db");
        let mut users = Users::open(&path).unwrap();
        users.add(&alice()).unwrap();
        users.add(&User { name: "bob".into(), ..alice() }).unwrap();
        let mut sessions = Sessions::open(&path, Config::DEFAULT).unwrap();
        let mut begin = |id: u8, user: &str| sessions.begin(&[id; 16], user, Permissions::READ, "", at(100)).unwrap();
        let changes = [
            Change { permissions: Some(Permissions::READ), ..Change::default() },
            Change { disabled: Some(true), ..Change::default() },
            Change { disabled: Some(false), phc: Some("$new"), ..Change::default() },
        ];
        begin(99, "bob");
        for (n, change) in (0..).zip(&changes) {
            begin(2 * n, "alice");
            begin(2 * n + 1, "alice");
            let changed = users.change("alice", change, at(200 + u64::from(n))).unwrap();
            assert_eq!((changed.ended, changed.account.tokens_from), (Some(2), 200 + u64::from(n)));
            // Once more is no change.
            let again = users.change("alice", change, at(900)).unwrap();
            assert_eq!(again, Changed { ended: None, ..changed });
        }
        // A clock that was set back moves nothing back.
        let back = users.change("alice", &changes[1], at(5)).unwrap().account;
        assert_eq!((back.changed, back.tokens_from), (at(5), 202));
        begin(50, "alice");
        let old = users.account("alice").unwrap().unwrap().user.phc;
        users.set_phc("alice", &old, "$rehashed").unwrap();
        assert_eq!(sessions.list_of("alice", at(101)).unwrap().len(), 1, "rule 4: it is the same password");
        users.remove("alice").unwrap();
        let left = sessions.list(at(101)).unwrap();
        assert_eq!(left.iter().map(|session| session.user.as_str()).collect::<Vec<_>>(), ["bob"]);
        assert!(matches!(users.change("alice", &changes[0], at(1)), Err(Error::NotFound)));
    }

    #[test]
    fn rule_3_the_last_who_may_administer_stays_so() {
        let dir = test_dir("admins");
        let mut users = Users::open(&dir.path().join("daur.db")).unwrap().keeping_an_admin();
        let admin = |name: &str| User { name: name.into(), permissions: Permissions::ALL, ..alice() };
        users.add(&alice()).unwrap();
        // Where nobody administers, nobody is kept from leaving.
        users.disable("alice").unwrap();
        users.add(&admin("ada")).unwrap();
        for _ in 0..2 {
            assert!(matches!(users.remove("ada"), Err(Error::LastAdmin)));
            assert!(matches!(users.disable("ada"), Err(Error::LastAdmin)));
            assert!(matches!(users.set_permissions("ada", Permissions::READ), Err(Error::LastAdmin)));
        }
        assert_eq!(users.find("ada").unwrap(), Some(admin("ada")), "nothing of what was refused was done");
        users.set_password("ada", "$new").unwrap();
        // A second one who is disabled does not count.
        users.add(&admin("eve")).unwrap();
        users.disable("eve").unwrap();
        assert!(matches!(users.remove("ada"), Err(Error::LastAdmin)));
        users.enable("eve").unwrap();
        users.remove("ada").unwrap();
        assert!(matches!(users.remove("eve"), Err(Error::LastAdmin)));
        // Nor does one whose word has a bit that is unknown here: it grants nothing.
        users.add(&admin("bob")).unwrap();
        users.db.execute("UPDATE users SET permissions = permissions | 1 << 20 WHERE name = 'bob'", []).unwrap();
        assert!(matches!(users.remove("eve"), Err(Error::LastAdmin)));
    }

    #[test]
    fn scopes_are_kept_for_those_who_know_them_and_grant_nothing_to_others() {
        const SCOPES: Scopes = Scopes::new(&["reports.read"]);
        let dir = test_dir("scopes");
        let path = dir.path().join("daur.db");
        let permissions = SCOPES.parse("read,reports.read").unwrap();
        let mut users = Users::open(&path).unwrap().with_scopes(SCOPES);
        users.add(&User { permissions, ..alice() }).unwrap();
        assert_eq!(users.find("alice").unwrap().unwrap().permissions, permissions);
        let mut sessions = Sessions::open(&path, Config::DEFAULT).unwrap().with_scopes(SCOPES);
        sessions.begin(&[1; 16], "alice", permissions, "", at(1)).unwrap();
        assert_eq!(sessions.resume(&[1; 16], at(2)).unwrap().permissions, permissions);
        let others = Users::open(&path).unwrap();
        assert!(others.find("alice").unwrap().unwrap().permissions.is_empty());
        let mut others = Sessions::open(&path, Config::DEFAULT).unwrap();
        assert!(others.resume(&[1; 16], at(2)).unwrap().permissions.is_empty());
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let dir = test_dir("names");
        let mut users = Users::open(&dir.path().join("daur.db")).unwrap();
        for name in
            ["", " a", "a ", "a\nb", "a\0", &"x".repeat(33), "a\u{202e}b", "a\u{200b}", "\u{feff}", "a\u{2028}b"]
        {
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
