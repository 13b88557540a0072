//! The file: its schema, what is written to it, and who goes when room is short.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use daur_core::services::result_cache::{Hand, Marks, Room, Verdict};
use daur_core::time::UnixTime;
use rusqlite::{Connection, TransactionBehavior, ffi, params};

use super::{Config, ENTRY_OVERHEAD};
use crate::sqlite::{self, Fault, Format, Identity, PAGE, used_pages, whole};

const FORMAT: Format = Format {
    // `Daur` in ASCII.
    application: 0x4461_7572,
    version: 2,
    // What is asked for without the value stands before it: a long value fills pages of its own.
    create: "CREATE TABLE IF NOT EXISTS daur_results (
                 id INTEGER PRIMARY KEY,
                 created INTEGER NOT NULL,
                 expires INTEGER NOT NULL,
                 checksum INTEGER NOT NULL,
                 key BLOB NOT NULL UNIQUE,
                 value BLOB NOT NULL
             );
             CREATE INDEX IF NOT EXISTS daur_results_expires ON daur_results (expires);",
    discard: "DROP TABLE IF EXISTS entries; DROP TABLE IF EXISTS daur_results",
};
/// Rows that one statement of expiry takes, or one look of eviction.
const STEP: i64 = 32;
/// A log longer than this is emptied before more is written.
const LOG_BYTES: u64 = 8 << 20;
/// Rows that are told apart by whether they were asked for.
const MARKS: usize = 1 << 16;

/// Which rows have been asked for.
pub(super) type Asked = Marks<MARKS>;

/// One entry, as it is written.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) created: i64,
    pub(super) expires: i64,
}

impl Row {
    pub(super) const fn size(&self) -> u64 {
        (self.key.len() + self.value.len()) as u64 + ENTRY_OVERHEAD
    }
}

/// The writer's connection.
pub(super) struct Store {
    connection: Connection,
    identity: Identity,
    log: PathBuf,
    room: Room,
    hand: Hand,
    /// Whether it waits for a lock.
    patient: bool,
    pub(super) rows: u64,
}

impl Store {
    /// Opens the database for the writer, and sorts its refusals.
    pub(super) fn open(path: &Path, config: &Config, patient: bool) -> Result<Self, (Fault, rusqlite::Error)> {
        let connection = sqlite::open(path, &FORMAT, timeout(config, patient).into(), config.max_bytes)?;
        let rows = connection
            .query_row("SELECT count(*) FROM daur_results", [], |row| row.get::<_, i64>(0))
            .map_err(|error| (Fault::of(&error), error))?;
        Ok(Self {
            connection,
            identity: Identity::of(path),
            log: sqlite::beside(path, "-wal"),
            room: config.room(),
            hand: Hand::new(),
            patient,
            rows: rows.unsigned_abs(),
        })
    }

    /// Whether the open files are still the ones that the path names.
    pub(super) fn is_in_place(&mut self, path: &Path) -> bool {
        self.identity.is_in_place(path)
    }

    /// Which files are open.
    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn be_patient(&mut self, patient: bool, config: &Config) -> Result<(), rusqlite::Error> {
        if self.patient != patient {
            self.connection.busy_timeout(timeout(config, patient))?;
            self.patient = patient;
        }
        Ok(())
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
        asked: &Asked,
    ) -> Result<u64, rusqlite::Error> {
        self.shorten_log()?;
        // A deferred transaction that upgrades to writing fails at once, whatever the timeout.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = 0_u64;
        let mut inserted = 0_u64;
        let mut evicted = 0_u64;
        let mut hand = self.hand;
        {
            let mut delete = tx.prepare_cached("DELETE FROM daur_results WHERE key = ?1")?;
            for key in forget {
                removed += delete.execute([key])? as u64;
            }
            let mut expire = tx.prepare_cached(
                "DELETE FROM daur_results WHERE id IN (SELECT id FROM daur_results WHERE expires <= ?1 LIMIT ?2)",
            )?;
            removed += expire.execute([now, STEP])? as u64;
            let free = self.room.to_free(used_pages(&tx)? * PAGE, incoming);
            if free > 0 {
                evicted = sweep(&tx, &mut hand, &self.room, free, asked)?;
            }
            let mut insert = tx.prepare_cached(
                "INSERT INTO daur_results (created, expires, checksum, key, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (key) DO NOTHING",
            )?;
            for row in rows {
                let sum = checksum(&row.key, &row.value, row.created, row.expires).cast_signed();
                let values = params![row.created, row.expires, sum, row.key, row.value];
                if insert.execute(values)? == 0 {
                    // Deleted and inserted, so that a renewed row is again the youngest.
                    removed += delete.execute([&row.key])? as u64;
                    insert.execute(values)?;
                }
                asked.reset(tx.last_insert_rowid().cast_unsigned());
                inserted += 1;
            }
        }
        tx.commit()?;
        self.hand = hand;
        self.rows = (self.rows + inserted).saturating_sub(removed + evicted);
        Ok(evicted)
    }

    /// Makes room for `incoming` bytes when a write found none; says how many rows had to go.
    pub(super) fn make_room(&mut self, incoming: u64, asked: &Asked) -> Result<u64, rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let free = incoming + self.room.step;
        let evicted = sweep(&tx, &mut self.hand, &self.room, free, asked)?;
        tx.commit()?;
        self.rows = self.rows.saturating_sub(evicted);
        Ok(evicted)
    }

    /// Deletes every row and gives the room back to the file system.
    pub(super) fn clear(&mut self) -> Result<(), rusqlite::Error> {
        self.shorten_log()?;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM daur_results", [])?;
        tx.commit()?;
        self.rows = 0;
        // They are gone, whether their pages could be given back or not.
        let _ = self.shrink(u64::MAX);
        Ok(())
    }

    /// Gives up to `pages` free pages back to the file system.
    pub(super) fn shrink(&self, pages: u64) -> Result<(), rusqlite::Error> {
        sqlite::shrink(&self.connection, pages)
    }

    /// Empties a log that has become long: somebody has read from it all the time. While that goes on, nothing is written.
    fn shorten_log(&self) -> Result<(), rusqlite::Error> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES) {
            let held = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
            if held != 0 {
                return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
            }
        }
        Ok(())
    }
}

/// How long to wait for a lock.
pub(super) fn timeout(config: &Config, patient: bool) -> StdDuration {
    if patient { config.busy_timeout.into() } else { StdDuration::ZERO }
}

pub(super) fn millis(at: UnixTime) -> i64 {
    whole(at.as_millis())
}

/// Whether the file is a readable database of another program.
pub(super) fn is_foreign(path: &Path) -> bool {
    sqlite::is_foreign(path, &FORMAT)
}

/// Deletes rows until `free` bytes of pages are free; says how many.
fn sweep(tx: &Connection, hand: &mut Hand, room: &Room, free: u64, asked: &Asked) -> Result<u64, rusqlite::Error> {
    let mut next = tx.prepare_cached(
        "SELECT id, length(key) + length(value) FROM daur_results WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut delete = tx.prepare_cached("DELETE FROM daur_results WHERE id = ?1")?;
    let mut pass = hand.pass(room.spare);
    let mut evicted = 0;
    let mut idle = false;
    let target = (used_pages(tx)? * PAGE).saturating_sub(free);
    loop {
        let above = (used_pages(tx)? * PAGE).saturating_sub(target);
        if above == 0 {
            return Ok(evicted);
        }
        let after = pass.after().map_or(i64::MIN, u64::cast_signed);
        let rows = next.query_map([after, STEP], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            // A turn that neither spared nor deleted a row will not be followed by one that does.
            if idle || !pass.turn() {
                return Ok(evicted);
            }
            idle = true;
        }
        let mut freed = 0;
        for (id, bytes) in rows {
            match pass.judge(id.cast_unsigned(), asked) {
                Verdict::Evict => {
                    let gone = delete.execute([id])? as u64;
                    evicted += gone;
                    idle &= gone == 0;
                    freed += bytes.unwrap_or(0).unsigned_abs() + ENTRY_OVERHEAD;
                }
                Verdict::Spare => idle = false,
            }
            if freed >= above {
                break;
            }
        }
    }
}

/// A sum over everything that a row says.
///
/// Each step is a bijection of its lane, and the lanes' sum is one of each of them, so that a change inside any one word
/// always shows; several changed words go unseen once in 2^64.
pub(super) fn checksum(key: &[u8], value: &[u8], created: i64, expires: i64) -> u64 {
    let mut sum = 0x9E37_79B9_7F4A_7C15;
    for part in [key, value] {
        sum = mix(sum, part.len() as u64);
        // Four at a time: a step waits for the one before it in its own lane only.
        let mut lanes = [sum, sum ^ 1, sum ^ 2, sum ^ 3];
        let (words, rest) = part.as_chunks::<8>();
        let (rounds, words) = words.as_chunks::<4>();
        for round in rounds {
            for (lane, word) in lanes.iter_mut().zip(round) {
                *lane = mix(*lane, u64::from_le_bytes(*word));
            }
        }
        sum = lanes.into_iter().fold(sum, mix);
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
        let (key, value) = (b"uname -a".as_slice(), [b"Linux somewhere 6.1.0".as_slice(); 4].concat());
        let sum = checksum(key, &value, 5, 9);
        for part in 0..2 {
            for bit in 0..[key, &value][part].len() * 8 {
                let mut flipped = [key.to_vec(), value.clone()];
                flipped[part][bit / 8] ^= 1 << (bit % 8);
                assert_ne!(checksum(&flipped[0], &flipped[1], 5, 9), sum);
            }
        }
        for bit in 0..64 {
            assert_ne!(checksum(key, &value, 5 ^ (1 << bit), 9), sum);
            assert_ne!(checksum(key, &value, 5, 9 ^ (1 << bit)), sum);
        }
    }

    #[test]
    fn the_border_between_key_and_value_counts_and_so_does_the_order() {
        assert_ne!(checksum(b"ab", b"c", 0, 0), checksum(b"a", b"bc", 0, 0));
        assert_ne!(checksum(b"a\0", b"", 0, 0), checksum(b"a", b"", 0, 0));
        let words: Vec<u8> = (0..64).collect();
        for (i, j) in [(0, 8), (0, 32), (8, 56)] {
            let mut swapped = words.clone();
            (0..8).for_each(|n| swapped.swap(i + n, j + n));
            assert_ne!(checksum(b"k", &words, 0, 0), checksum(b"k", &swapped, 0, 0));
        }
    }
}
