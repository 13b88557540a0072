//! Look-ups: on the callers' threads, through connections that only read.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use daur_core::time::UnixTime;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::store::{self, checksum, millis};
use super::{Config, Inner};
use crate::sqlite::Fault;

/// What a look-up found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The value, and the wall time in milliseconds at which it expires.
    Fresh(Vec<u8>, i64),
    Stale,
    Damaged,
    Nothing,
}

/// A connection that only reads.
pub(super) struct Reader {
    connection: Connection,
    /// Whether it waits for a lock.
    patient: bool,
}

impl Reader {
    fn open(inner: &Inner, patient: bool) -> Result<Self, rusqlite::Error> {
        let Inner { path, config, .. } = inner;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(store::timeout(config, patient))?;
        // A negative size is in KiB.
        connection.pragma_update(None, "cache_size", -((config.page_cache_bytes >> 10).cast_signed()))?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update_and_check(None, "mmap_size", config.mmap_bytes.cast_signed(), |_| Ok(()))?;
        Ok(Self { connection, patient })
    }

    fn be_patient(&mut self, patient: bool, config: &Config) -> Result<(), rusqlite::Error> {
        if self.patient != patient {
            self.connection.busy_timeout(store::timeout(config, patient))?;
            self.patient = patient;
        }
        Ok(())
    }

    /// Looks `key` up; says which row it is.
    fn look_up(&self, key: &[u8], now: i64) -> Result<(Found, u64), rusqlite::Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, created, expires, checksum, value FROM daur_results WHERE key = ?1")?;
        let found = statement
            .query_row([key], |row| {
                let id = row.get::<_, i64>(0)?.cast_unsigned();
                let (created, expires) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                let value = row.get_ref(4)?.as_blob()?;
                if checksum(key, value, created, expires) != row.get::<_, i64>(3)?.cast_unsigned() {
                    return Ok((Found::Damaged, id));
                }
                // A row of the future was written before the clock was set back: its age is unknown.
                let fresh = created <= now && now < expires;
                Ok((if fresh { Found::Fresh(value.to_vec(), expires) } else { Found::Stale }, id))
            })
            .optional();
        match found {
            Ok(found) => Ok(found.unwrap_or((Found::Nothing, 0))),
            // A flipped bit in a row's header changes the type of a column.
            Err(
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..),
            ) => Ok((Found::Damaged, 0)),
            Err(error) => Err(error),
        }
    }
}

impl Inner {
    /// Reads `key`; a complaint comes with the generation of the file that was read.
    pub(super) fn look_up(&self, key: &[u8], now: UnixTime) -> Result<Found, (u64, rusqlite::Error)> {
        let mut place = self.reader();
        if !self.stats.up.load(Relaxed) {
            return Ok(Found::Nothing);
        }
        // Does not change while a reader is held.
        let generation = self.generation.load(Relaxed);
        // Who comes after one that has waited in vain does not wait again.
        let patient = !self.locked.load(Relaxed);
        let look = |reader: &mut Reader| {
            reader.be_patient(patient, &self.config)?;
            reader.look_up(key, millis(now))
        };
        let mut reader = match place.take() {
            Some(reader) => reader,
            None => Reader::open(self, patient).map_err(|error| self.refused(generation, error))?,
        };
        match look(&mut reader) {
            Ok((found, row)) => {
                if matches!(found, Found::Fresh(..)) {
                    self.marks.touch(row);
                }
                if !patient {
                    self.locked.store(false, Relaxed);
                }
                *place = Some(reader);
                Ok(found)
            }
            // The connection is dropped: the next look-up opens the file anew.
            Err(error) => Err(self.refused(generation, error)),
        }
    }

    fn refused(&self, generation: u64, error: rusqlite::Error) -> (u64, rusqlite::Error) {
        if Fault::of(&error) == Fault::Busy {
            self.locked.store(true, Relaxed);
        }
        (generation, error)
    }

    /// A reader that is free, or else the next in turn.
    fn reader(&self) -> MutexGuard<'_, Option<Reader>> {
        let turn = self.next_reader.fetch_add(1, Relaxed);
        let in_turn = |i: usize| &self.readers[(turn.wrapping_add(i)) % self.readers.len()];
        for i in 0..self.readers.len() {
            match in_turn(i).try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(reader)) => return reader.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        in_turn(0).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all readers, and holds up those who come until it is dropped.
    pub(super) fn close_readers(&self) -> Vec<MutexGuard<'_, Option<Reader>>> {
        let lock = |reader| Mutex::lock(reader).unwrap_or_else(PoisonError::into_inner);
        let mut readers: Vec<_> = self.readers.iter().map(lock).collect();
        for reader in &mut readers {
            **reader = None;
        }
        readers
    }
}
