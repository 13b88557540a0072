//! The audit chain in SQLite: records and the key that moved on, in one transaction.

use std::fmt;
use std::io;
use std::path::Path;

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Broken, Chain, Entry, Event, Head, Kind, Outcome, State, Verifier};
use daur_core::text::Text;
use daur_core::time::{Instant, UnixTime};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{keys, open};

/// Says what went wrong with the audit log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// The operating system gave no random key.
    Random(io::Error),
    /// The chain does not verify: the first bad record.
    Broken(Broken),
    /// A stored record is none: somebody wrote into the table.
    Unreadable {
        /// Its number.
        seq: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => write!(f, "the audit log: {error}"),
            Self::Random(error) => write!(f, "the audit log's key: {error}"),
            Self::Broken(broken) => broken.fmt(f),
            Self::Unreadable { seq } => write!(f, "audit record {seq} cannot be read"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Broken(broken) => Some(broken),
            Self::Unreadable { .. } => None,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

const SCHEMA: &str = "
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
) STRICT;";

const COLUMNS: &str = "seq, device, boot, at_ns, unix_ms, kind, outcome, actor, source, detail, tag";

/// Appends to the audit chain in a SQLite database and reads it. Blocks: call it from the blocking pool.
///
/// # Rules
/// 1. The records and the key that moved on are stored in one transaction, on disk before `append` returns.
/// 2. The chain's first key is told once, by the `open` that creates it, and not stored.
/// 3. Two processes on one database make one chain: each `append` goes on from what is stored.
/// 4. `verify` and `recent` read what is stored and change nothing.
///
/// # Cost
/// One transaction with one sync of the disk for each call of `append`: give it all events that wait.
pub struct AuditLog {
    db: Connection,
    device: DeviceId,
    boot: BootId,
    head: Head,
}

impl AuditLog {
    /// Opens the chain in the database at `path`, to be continued by this device in this life.
    ///
    /// A new chain gives its first key, for whoever shall verify it. Keep it away from this machine: with it the
    /// whole chain can be made anew.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Random`].
    pub fn open(path: &Path, device: DeviceId, boot: BootId) -> Result<(Self, Option<[u8; 32]>), Error> {
        let mut db = open(path)?;
        // Keys that have moved on must not stay in free pages of the file.
        db.pragma_update(None, "secure_delete", "ON")?;
        db.execute_batch(SCHEMA)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (key, head) = match state(&transaction)? {
            Some(state) => (None, Head { seq: state.seq, tag: state.tag }),
            None => {
                let key = keys::random().map_err(Error::Random)?;
                store(&transaction, &State { seq: 0, tag: [0; 32], key })?;
                (Some(key), Head::default())
            }
        };
        transaction.commit()?;
        Ok((Self { db, device, boot, head }, key))
    }

    /// Appends events: all of them are on disk when it returns, or none. Gives the chain's new end.
    ///
    /// # Errors
    /// [`Error::Sqlite`]; the chain is as it was then.
    pub fn append(&mut self, events: &[(Event, Instant, Option<UnixTime>)]) -> Result<Head, Error> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let state = state(&transaction)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let mut chain = Chain::resume(self.device, self.boot, state);
        for (event, at, unix) in events {
            insert(&transaction, &chain.append(event, *at, *unix))?;
        }
        store(&transaction, chain.state())?;
        transaction.commit()?;
        self.head = chain.head();
        Ok(self.head)
    }

    /// The last `limit` records, the newest first.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Unreadable`].
    pub fn recent(&self, limit: u32) -> Result<Vec<Entry>, Error> {
        let mut recent = self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq DESC LIMIT ?1"))?;
        let mut rows = recent.query([limit])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(entry(row)?);
        }
        Ok(entries)
    }

    /// Checks the whole chain from its first key, and against a head that was kept elsewhere.
    ///
    /// # Errors
    /// [`Error::Broken`] or [`Error::Unreadable`] names the first bad record.
    pub fn verify(&self, key: [u8; 32], head: Option<Head>) -> Result<Head, Error> {
        // One snapshot: what is appended meanwhile is neither here nor in the state.
        let snapshot = self.db.unchecked_transaction()?;
        let mut verifier = head.map_or_else(|| Verifier::new(key), |head| Verifier::with_head(key, head));
        let mut all = snapshot.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            verifier.check(&entry(row)?).map_err(Error::Broken)?;
        }
        // The stored state is no proof, since whoever cuts the chain can set it back; but it shows a careless cut.
        let stored = state(&snapshot)?.map(|state| Head { seq: state.seq, tag: state.tag });
        verifier.finish(stored).map_err(Error::Broken)
    }

    /// The chain's end after the last `append` of this value: keep it elsewhere, so that a later cut shows.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }
}

fn state(db: &Connection) -> Result<Option<State>, Error> {
    let mut get = db.prepare_cached("SELECT seq, tag, key FROM audit_state WHERE one = 1")?;
    let state = get.query_row([], |row| Ok(State { seq: number(row, 0)?, tag: row.get(1)?, key: row.get(2)? }));
    Ok(state.optional()?)
}

fn store(transaction: &Transaction<'_>, state: &State) -> Result<(), Error> {
    transaction.prepare_cached("INSERT OR REPLACE INTO audit_state VALUES (1, ?1, ?2, ?3)")?.execute(params![
        state.seq.cast_signed(),
        state.tag,
        state.key
    ])?;
    Ok(())
}

fn insert(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), Error> {
    transaction.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?.execute(
        params![
            entry.seq.cast_signed(),
            entry.device.as_str(),
            entry.boot.0,
            entry.at.as_nanos().cast_signed(),
            entry.unix.map(|unix| unix.as_millis().cast_signed()),
            entry.event.kind as u8,
            entry.event.outcome as u8,
            entry.event.actor.as_str(),
            entry.event.source.as_str(),
            entry.event.detail.as_str(),
            entry.tag
        ],
    )?;
    Ok(())
}

/// SQLite's integers have a sign; all 64 bits come back as they went in.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A record as stored; whatever cannot be one is unreadable, not an error of SQLite.
fn entry(row: &Row<'_>) -> Result<Entry, Error> {
    let seq = number(row, 0)?;
    let read = || {
        let text = |column| row.get_ref(column).ok()?.as_str().ok();
        let unix: Option<i64> = row.get(4).ok()?;
        Some(Entry {
            seq,
            device: DeviceId::new(text(1)?).ok()?,
            boot: BootId(row.get(2).ok()?),
            at: Instant::from_nanos(number(row, 3).ok()?),
            unix: unix.map(|ms| UnixTime::from_millis(ms.cast_unsigned())),
            event: Event {
                kind: Kind::from_number(row.get(5).ok()?)?,
                outcome: Outcome::from_number(row.get(6).ok()?)?,
                actor: Text::new(text(7)?).ok()?,
                source: Text::new(text(8)?).ok()?,
                detail: Text::new(text(9)?).ok()?,
            },
            tag: row.get(10).ok()?,
        })
    };
    read().ok_or(Error::Unreadable { seq })
}
