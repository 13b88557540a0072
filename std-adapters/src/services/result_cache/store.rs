//! The file: its schema, its statements, its faults and its quarantine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::Config;

const PAGE: u64 = 4_096;
/// `Daur` in ASCII: tells our files from those of others.
const APPLICATION: i64 = 0x4461_7572;
const SCHEMA: i64 = 1;
/// Rows that one statement of eviction or expiry takes.
const STEP: i64 = 32;
/// Damaged databases that are kept beside the live one.
const QUARANTINES: usize = 3;

/// What a fault asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file is damaged: put it into quarantine.
    Damaged,
    /// Another process holds the lock.
    Busy,
    /// There is no room.
    Full,
    /// A good database that is not ours: leave it alone.
    Foreign,
    /// Anything else: open the file again.
    Other,
}

impl Fault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let error = match error {
            rusqlite::Error::SqliteFailure(error, _) => error,
            // Our statements are right, so it is the schema or a row that is wrong.
            _ => return Self::Damaged,
        };
        match (error.code, error.extended_code) {
            // `Unknown` is "no such table"; 522 is a read past the file's end.
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown, _)
            | (ErrorCode::SystemIoFailure, 522) => Self::Damaged,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            (ErrorCode::DiskFull, _) => Self::Full,
            _ => Self::Other,
        }
    }
}

/// One entry, as it is written.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) created: i64,
    pub(super) expires: i64,
}

/// What a look-up found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The value, and the wall time in milliseconds at which it expires.
    Fresh(Vec<u8>, i64),
    Stale,
    Damaged,
    Nothing,
}

/// Which files are open, so that a deleted or replaced one is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    database: Option<(u64, u64)>,
    wal: Option<(u64, u64)>,
}

impl Identity {
    fn of(path: &Path) -> Self {
        Self { database: file_identity(path), wal: file_identity(&beside(path, "-wal")) }
    }
}

#[cfg(unix)]
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

#[cfg(not(unix))]
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The writer's connection.
pub(super) struct Store {
    connection: Connection,
    identity: Identity,
    high_water_pages: u64,
    pub(super) rows: u64,
}

impl Store {
    /// Opens or creates the database and makes it ready for readers.
    pub(super) fn open(path: &Path, config: &Config) -> Result<Self, rusqlite::Error> {
        create_private(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(config.busy_timeout.into())?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != APPLICATION && objects > 0 {
            return Err(foreign());
        }
        // In this order: vacuuming is chosen before the first table, the journal before any reader.
        connection.pragma_update(None, "page_size", PAGE.cast_signed())?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        if application != APPLICATION {
            connection.pragma_update(None, "application_id", APPLICATION)?;
        }
        connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -2_048)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != SCHEMA {
            // A cache of another version is worth nothing.
            connection.execute_batch("DROP TABLE IF EXISTS entries")?;
            connection.pragma_update(None, "user_version", SCHEMA)?;
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS entries (
                 id INTEGER PRIMARY KEY,
                 key BLOB NOT NULL UNIQUE,
                 value BLOB NOT NULL,
                 created INTEGER NOT NULL,
                 expires INTEGER NOT NULL,
                 checksum INTEGER NOT NULL
             );
             CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires);",
        )?;
        // SQLite does not go below the pages that are in use.
        let pages = config.max_bytes / PAGE;
        connection.pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))?;
        let rows = connection.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))?;
        Ok(Self {
            connection,
            identity: Identity::of(path),
            high_water_pages: pages - pages / 8,
            rows: rows.unsigned_abs(),
        })
    }

    /// Whether the open files are still the ones that the path names.
    pub(super) fn is_in_place(&mut self, path: &Path) -> bool {
        let present = Identity::of(path);
        // The log appears with the first write.
        let appeared = self.identity.wal.is_none() && present.database == self.identity.database;
        if appeared {
            self.identity = present;
        }
        present.database.is_some() && present == self.identity
    }

    /// Bytes in use; free pages inside the file are not counted.
    pub(super) fn used_bytes(&self) -> Result<u64, rusqlite::Error> {
        Ok(used_pages(&self.connection)? * PAGE)
    }

    /// Writes all of `rows` and deletes `forget`, or nothing. Makes room first; says how many rows
    /// had to go for it.
    pub(super) fn write<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Row>,
        forget: impl Iterator<Item = &'a [u8]>,
        incoming: u64,
        now: i64,
    ) -> Result<u64, rusqlite::Error> {
        // A deferred transaction that upgrades to writing fails at once, whatever the timeout.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = 0_u64;
        let mut inserted = 0_u64;
        let mut evicted = 0_u64;
        {
            let mut delete = tx.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
            for key in forget {
                removed += delete.execute([key])? as u64;
            }
            let mut expire = tx.prepare_cached(
                "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ?1 LIMIT ?2)",
            )?;
            removed += expire.execute([now, STEP])? as u64;
            while used_pages(&tx)? + incoming.div_ceil(PAGE) > self.high_water_pages {
                match evict(&tx)? {
                    0 => break,
                    rows => evicted += rows,
                }
            }
            let mut insert = tx.prepare_cached(
                "INSERT INTO entries (key, value, created, expires, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for row in rows {
                // Deleted and inserted, so that a renewed row is again the youngest.
                removed += delete.execute([&row.key])? as u64;
                let sum = checksum(&row.key, &row.value, row.created, row.expires);
                insert.execute(params![row.key, row.value, row.created, row.expires, sum.cast_signed()])?;
                inserted += 1;
            }
        }
        tx.commit()?;
        self.rows = (self.rows + inserted).saturating_sub(removed + evicted);
        Ok(evicted)
    }

    /// Makes some room when a write found none.
    pub(super) fn make_room(&mut self) -> Result<u64, rusqlite::Error> {
        let evicted = evict(&self.connection)?;
        self.rows = self.rows.saturating_sub(evicted);
        Ok(evicted)
    }

    /// Deletes every row and gives the room back to the file system.
    pub(super) fn clear(&mut self) -> Result<(), rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM entries", [])?;
        tx.commit()?;
        self.rows = 0;
        self.shrink(u64::MAX)
    }

    /// Gives up to `pages` free pages back to the file system.
    pub(super) fn shrink(&self, pages: u64) -> Result<(), rusqlite::Error> {
        let free = page_figure(&self.connection, "PRAGMA freelist_count")?.min(pages);
        if free == 0 {
            return Ok(());
        }
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({free})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }
}

/// Whether the file is a readable database of another program.
pub(super) fn is_foreign(path: &Path) -> bool {
    let look = || -> Result<bool, rusqlite::Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(application != APPLICATION && objects > 0)
    };
    look().unwrap_or(false)
}

fn foreign() -> rusqlite::Error {
    rusqlite::Error::InvalidPath(PathBuf::from("a database of another program"))
}

/// Opens the database for the writer, and sorts its refusals.
pub(super) fn open(path: &Path, config: &Config) -> Result<Store, (Fault, rusqlite::Error)> {
    if fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == 0) {
        // SQLite would take it for a new database and apply a log left beside it.
        quarantine(path).map_err(|error| (Fault::Other, rusqlite::Error::ToSqlConversionFailure(error.into())))?;
    }
    Store::open(path, config).map_err(|error| match error {
        rusqlite::Error::InvalidPath(_) => (Fault::Foreign, error),
        error => (Fault::of(&error), error),
    })
}

fn page_figure(connection: &Connection, pragma: &str) -> Result<u64, rusqlite::Error> {
    connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn used_pages(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let pages = page_figure(connection, "PRAGMA page_count")?;
    Ok(pages.saturating_sub(page_figure(connection, "PRAGMA freelist_count")?))
}

/// Deletes the oldest rows.
fn evict(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let oldest = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?1)";
    Ok(connection.prepare_cached(oldest)?.execute([STEP])? as u64)
}

/// A results' file may hold what only its owner may read. SQLite gives its log the same rights.
fn create_private(path: &Path) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If this fails, the file is there already or SQLite says what is wrong.
    let _ = options.open(path);
}

/// A reader's connection.
pub(super) fn open_reader(path: &Path, config: &Config) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(config.busy_timeout.into())?;
    // Not mapped into memory, which would be faster: reading a mapped file that somebody cuts short
    // ends the process.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Looks `key` up. `now` is in milliseconds since 1970.
pub(super) fn look_up(connection: &Connection, key: &[u8], now: i64) -> Result<Found, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT value, created, expires, checksum FROM entries WHERE key = ?1")?;
    let found = statement
        .query_row([key], |row| {
            let (created, expires) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
            let value = row.get_ref(0)?.as_blob()?;
            if checksum(key, value, created, expires) != row.get::<_, i64>(3)?.cast_unsigned() {
                return Ok(Found::Damaged);
            }
            // A row of the future was written before the clock was set back: its age is unknown.
            if created <= now && now < expires { Ok(Found::Fresh(value.to_vec(), expires)) } else { Ok(Found::Stale) }
        })
        .optional();
    match found {
        Ok(found) => Ok(found.unwrap_or(Found::Nothing)),
        // A flipped bit in a row's header changes the type of a column.
        Err(rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..)) => {
            Ok(Found::Damaged)
        }
        Err(error) => Err(error),
    }
}

/// Renames the database and what belongs to it, so that a new one can take its place. Keeps the
/// newest few.
pub(super) fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let target = beside(path, &format!(".quarantine-{stamp:020}"));
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(beside(path, suffix), beside(&target, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut kept = quarantined(path);
    kept.sort();
    for old in kept.iter().rev().skip(QUARANTINES) {
        for suffix in ["-wal", "-shm", ""] {
            let _ = fs::remove_file(beside(old, suffix));
        }
    }
    Ok(target)
}

/// The damaged databases beside `path`.
fn quarantined(path: &Path) -> Vec<PathBuf> {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".quarantine-");
    let prefix = prefix.into_encoded_bytes();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name().into_encoded_bytes();
        name.strip_prefix(prefix.as_slice()).is_some_and(|rest| rest.iter().all(u8::is_ascii_digit))
    });
    ours.map(|entry| entry.path()).collect()
}

/// A sum over everything that a row says.
///
/// Each step is a bijection of the state, so that a change inside any one word always shows;
/// several changed words go unseen once in 2^64.
fn checksum(key: &[u8], value: &[u8], created: i64, expires: i64) -> u64 {
    let mut sum = 0x9E37_79B9_7F4A_7C15;
    for part in [key, value] {
        sum = mix(sum, part.len() as u64);
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            sum = mix(sum, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = mix(sum, u64::from_le_bytes(last));
    }
    mix(mix(sum, created.cast_unsigned()), expires.cast_unsigned())
}

const fn mix(sum: u64, word: u64) -> u64 {
    let mixed = (sum ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_changes_the_checksum() {
        let (key, value) = (b"uname -a".as_slice(), b"Linux somewhere 6.1.0".as_slice());
        let sum = checksum(key, value, 5, 9);
        for part in 0..2 {
            for bit in 0..[key, value][part].len() * 8 {
                let mut flipped = [key.to_vec(), value.to_vec()];
                flipped[part][bit / 8] ^= 1 << (bit % 8);
                assert_ne!(checksum(&flipped[0], &flipped[1], 5, 9), sum);
            }
        }
        for bit in 0..64 {
            assert_ne!(checksum(key, value, 5 ^ (1 << bit), 9), sum);
            assert_ne!(checksum(key, value, 5, 9 ^ (1 << bit)), sum);
        }
    }

    #[test]
    fn the_border_between_key_and_value_counts() {
        assert_ne!(checksum(b"ab", b"c", 0, 0), checksum(b"a", b"bc", 0, 0));
        assert_ne!(checksum(b"a\0", b"", 0, 0), checksum(b"a", b"", 0, 0));
    }
}
