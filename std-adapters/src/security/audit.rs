//! The audit chain in SQLite: record and ratcheted key in one transaction.

use std::path::Path;
use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Broken, Entry, Event, Head};
use daur_core::time::{Instant, UnixTime};

/// Appends to and reads from the chain; blocking: call it from the blocking pool.
pub struct AuditLog { db: rusqlite::Connection }

/// Says what went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// The operating system gave no random key.
    Random,
    /// The chain does not verify.
    Broken(Broken),
    /// A stored record cannot be read.
    Unreadable {
        /// Its number.
        seq: u64,
    },
}

impl AuditLog {
    /// Opens the chain in the database at `path`. A new chain gives its first key, once, for whoever shall verify it:
    /// it is not stored in the database.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Random`].
    pub fn open(path: &Path, device: DeviceId, boot: BootId) -> Result<(Self, Option<[u8; 32]>), Error> { let _ = (path, device, boot); todo!() }
    /// Appends the events in one transaction: all of them are on disk when it returns, or none.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn append(&mut self, events: &[(Event, Instant, Option<UnixTime>)]) -> Result<Head, Error> { let _ = (events, &self.db); todo!() }
    /// The last `limit` records, newest first.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Unreadable`].
    pub fn recent(&self, limit: u32) -> Result<Vec<Entry>, Error> { let _ = limit; todo!() }
    /// Checks the whole chain from its first key, and its end against `head` if one was kept elsewhere.
    ///
    /// # Errors
    /// [`Error::Broken`] names the first bad record.
    pub fn verify(&self, key: [u8; 32], head: Option<Head>) -> Result<Head, Error> { let _ = (key, head); todo!() }
    /// The chain's end.
    #[must_use]
    pub fn head(&self) -> Head { todo!() }
}
