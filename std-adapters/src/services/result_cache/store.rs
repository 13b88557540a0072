//! The file: its schema and its statements.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::Config;
use crate::sqlite::{self, Fault, Format, Identity, PAGE, used_pages};

const FORMAT: Format = Format {
    // `Daur` in ASCII.
    application: 0x4461_7572,
    version: 1,
    create: "CREATE TABLE IF NOT EXISTS entries (
                 id INTEGER PRIMARY KEY,
                 key BLOB NOT NULL UNIQUE,
                 value BLOB NOT NULL,
                 created INTEGER NOT NULL,
                 expires INTEGER NOT NULL,
                 checksum INTEGER NOT NULL
             );
             CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires);",
    discard: "DROP TABLE IF EXISTS entries",
};
/// Rows that one statement of eviction or expiry takes.
const STEP: i64 = 32;

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

/// The writer's connection.
pub(super) struct Store {
    connection: Connection,
    identity: Identity,
    high_water_pages: u64,
    pub(super) rows: u64,
}

impl Store {
    fn new(connection: Connection, path: &Path, config: &Config) -> Result<Self, rusqlite::Error> {
        let rows = connection.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))?;
        let pages = config.max_bytes / PAGE;
        Ok(Self {
            connection,
            identity: Identity::of(path),
            high_water_pages: pages - pages / 8,
            rows: rows.unsigned_abs(),
        })
    }

    /// Whether the open files are still the ones that the path names.
    pub(super) fn is_in_place(&mut self, path: &Path) -> bool {
        self.identity.is_in_place(path)
    }

    /// Which files are open.
    pub(super) fn identity(&self) -> Identity {
        self.identity
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
        sqlite::shrink(&self.connection, pages)
    }
}

/// Whether the file is a readable database of another program.
pub(super) fn is_foreign(path: &Path) -> bool {
    sqlite::is_foreign(path, &FORMAT)
}

/// Opens the database for the writer, and sorts its refusals.
pub(super) fn open(path: &Path, config: &Config) -> Result<Store, (Fault, rusqlite::Error)> {
    let connection = sqlite::open(path, &FORMAT, config.busy_timeout, config.max_bytes)?;
    Store::new(connection, path, config).map_err(|error| (Fault::of(&error), error))
}

/// Deletes the oldest rows.
fn evict(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let oldest = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?1)";
    Ok(connection.prepare_cached(oldest)?.execute([STEP])? as u64)
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
