//! Jobs kept in SQLite.

use std::path::Path;
use std::sync::Mutex;

use daur_core::time::Duration;
use rusqlite::{Connection, OptionalExtension, params};

use super::job::held;
use super::{Journal, Kept};
use crate::error::Error;
use crate::sqlite::{self, Format};

const FORMAT: Format = Format {
    application: 0x6461_736a, // "dasj"
    version: 1,
    create: "CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, plan TEXT NOT NULL, next_run INTEGER, last_run INTEGER, \
             runs INTEGER NOT NULL, failed INTEGER NOT NULL, error TEXT) WITHOUT ROWID",
    discard: "DROP TABLE IF EXISTS job",
};
/// As much as a table of jobs can need.
const MAX_BYTES: u64 = 64 << 20;
const BUSY: Duration = Duration::from_secs(5);

/// Keeps jobs in a file of SQLite. What is saved survives the process and the power: a row is written through before its run begins.
#[derive(Debug)]
pub struct Sqlite(Mutex<Connection>);

impl Sqlite {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// [`Error::Store`] if it is damaged, locked, or another program's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let failed = |error| Error::store("opening the journal of jobs", error);
        let connection = sqlite::open(path.as_ref(), &FORMAT, BUSY, MAX_BYTES).map_err(|(_, error)| failed(error))?;
        // A run that is not remembered would be done twice.
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Keeps them as long as the process lives.
    ///
    /// # Errors
    /// [`Error::Store`] if SQLite has no memory.
    pub fn in_memory() -> Result<Self, Error> {
        let failed = |error| Error::store("opening the journal of jobs", error);
        let connection = Connection::open_in_memory().map_err(failed)?;
        connection.execute_batch(FORMAT.create).map_err(failed)?;
        Ok(Self(Mutex::new(connection)))
    }
}

impl Journal for Sqlite {
    fn load(&self, name: &str) -> Result<Option<Kept>, Error> {
        let connection = held(&self.0);
        let load = || {
            let text = "SELECT name, plan, next_run, last_run, runs, failed, error FROM job WHERE name = ?1";
            connection.prepare_cached(text)?.query_row([name], |row| {
                Ok(Kept {
                    name: row.get(0)?,
                    plan: row.get(1)?,
                    next: row.get(2)?,
                    last: row.get(3)?,
                    runs: row.get::<_, i64>(4)?.unsigned_abs(),
                    failed: row.get::<_, i64>(5)?.unsigned_abs(),
                    error: row.get(6)?,
                })
            })
        };
        load().optional().map_err(|error| Error::store("reading a kept job", error))
    }

    fn save(&self, kept: &Kept) -> Result<(), Error> {
        let connection = held(&self.0);
        // One statement, one transaction.
        let text = "INSERT INTO job (name, plan, next_run, last_run, runs, failed, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                    ON CONFLICT (name) DO UPDATE SET plan = ?2, next_run = ?3, last_run = ?4, runs = ?5, failed = ?6, error = ?7";
        let (runs, failed) = (kept.runs.cast_signed(), kept.failed.cast_signed());
        let row = params![kept.name, kept.plan, kept.next, kept.last, runs, failed, kept.error];
        let save = || connection.prepare_cached(text)?.execute(row);
        save().map(drop).map_err(|error| Error::store("keeping a job", error))
    }

    fn forget(&self, name: &str) -> Result<(), Error> {
        let connection = held(&self.0);
        let forget = || connection.prepare_cached("DELETE FROM job WHERE name = ?1")?.execute([name]);
        forget().map(drop).map_err(|error| Error::store("forgetting a job", error))
    }
}
