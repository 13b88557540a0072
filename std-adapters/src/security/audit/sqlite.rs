//! The audit chain in SQLite: records and the key that moved on, in one transaction.

use std::fmt;
use std::io;
use std::path::Path;

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{
    Broken, Chain, Completeness, Entry, Event, Filter, Head, Kind, Outcome, Report, State, Verifier,
};
use daur_core::text::Text;
use daur_core::time::{Instant, UnixTime};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior, params};

use super::lines;
use crate::security::{keys, open, schema};

/// Says what went wrong with the audit log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// The database is not one of this program's.
    Schema(schema::Error),
    /// The operating system gave no random key.
    Random(io::Error),
    /// A new chain's first key could not be stored.
    Key(io::Error),
    /// The chain does not verify: the first bad record.
    Broken(Broken),
    /// A stored record is none: somebody wrote into the table.
    Unreadable {
        /// Its number.
        seq: u64,
    },
    /// What should take an export did not.
    Export(io::Error),
    /// A chain cannot be moved to where another one is.
    Two,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => write!(f, "the audit log: {error}"),
            Self::Schema(error) => write!(f, "the audit log: {error}"),
            Self::Random(error) => write!(f, "the audit log's key: {error}"),
            Self::Key(error) => write!(f, "a new chain's first key cannot be stored: {error}"),
            Self::Broken(broken) => broken.fmt(f),
            Self::Unreadable { seq } => write!(f, "audit record {seq} cannot be read"),
            Self::Export(error) => write!(f, "the audit log cannot be exported: {error}"),
            Self::Two => f.write_str("there are two audit chains, one where the other should be moved to"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => Some(error),
            Self::Schema(error) => Some(error),
            Self::Random(error) | Self::Key(error) | Self::Export(error) => Some(error),
            Self::Broken(broken) => Some(broken),
            Self::Unreadable { .. } | Self::Two => None,
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
        match error {
            schema::Error::Sqlite(error) => Self::Sqlite(error),
            other => Self::Schema(other),
        }
    }
}

pub(in crate::security) const SCHEMA: &str = "
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
CREATE INDEX IF NOT EXISTS audit_by_kind ON audit (kind);
CREATE INDEX IF NOT EXISTS audit_by_actor ON audit (actor);
CREATE INDEX IF NOT EXISTS audit_by_unix_ms ON audit (unix_ms);";

/// Records of a block: those whose numbers have the same quotient.
const BLOCK: u64 = 256;

/// Says of every full block what it holds.
pub(in crate::security) const FILL_BLOCKS: &str = "
INSERT INTO audit_blocks
SELECT seq / 256, sum(DISTINCT 1 << (kind & 31)), sum(DISTINCT 1 << (outcome & 31)),
    ',' || group_concat(DISTINCT hex(actor)) || ',', min(unix_ms), max(unix_ms)
FROM audit WHERE seq / 256 < (SELECT max(seq) / 256 FROM audit) GROUP BY seq / 256;";

/// What a block holds: whoever looks for something passes over those that have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Block {
    kinds: i64,
    outcomes: i64,
    actors: Vec<String>,
    /// The least and the greatest wall time, as SQLite takes them.
    times: Option<(i64, i64)>,
}

impl Block {
    fn add(&mut self, kind: u8, outcome: u8, actor: &str, unix_ms: Option<i64>) {
        self.kinds |= 1 << (kind & 31);
        self.outcomes |= 1 << (outcome & 31);
        if !self.actors.iter().any(|known| known == actor) {
            self.actors.push(actor.to_owned());
        }
        if let Some(ms) = unix_ms {
            let (first, last) = self.times.unwrap_or((ms, ms));
            self.times = Some((first.min(ms), last.max(ms)));
        }
    }

    /// What the records behind `seq` hold, that one included, of its own block.
    fn read(db: &Connection, seq: u64) -> Result<Self, Error> {
        let mut block = Self::default();
        let mut read =
            db.prepare_cached("SELECT kind, outcome, actor, unix_ms FROM audit WHERE seq BETWEEN ?1 AND ?2")?;
        let mut rows = read.query([(seq / BLOCK * BLOCK).cast_signed(), seq.cast_signed()])?;
        while let Some(row) = rows.next()? {
            // Whoever has put something else into the table finds it by no kind.
            let number = |column| row.get(column).unwrap_or(u8::MAX);
            block.add(number(0), number(1), row.get_ref(2)?.as_str().unwrap_or_default(), row.get(3)?);
        }
        Ok(block)
    }

    fn store(&self, db: &Connection, number: u64) -> Result<(), Error> {
        let mut actors = String::from(",");
        for actor in &self.actors {
            // As SQLite's `hex`.
            actors.extend(actor.bytes().map(|byte| format!("{byte:02X}")));
            actors.push(',');
        }
        let (first, last) = self.times.unzip();
        db.prepare_cached("INSERT OR REPLACE INTO audit_blocks VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            number.cast_signed(),
            self.kinds,
            self.outcomes,
            actors,
            first,
            last
        ])?;
        Ok(())
    }
}

const COLUMNS: &str = "seq, device, boot, at_ns, unix_ms, kind, outcome, actor, source, detail, tag";

/// Appends to the audit chain in a SQLite database and reads it. Blocks: call it from the blocking pool.
///
/// # Rules
/// 1. The records and the key that moved on are stored in one transaction, on disk before `append` returns.
/// 2. The chain's first key is told once, by the `open` that creates it, and not stored.
/// 3. Two processes on one database make one chain: each `append` goes on from what is stored.
/// 4. `check`, `verify`, `find`, `recent` and `export` read what is stored and change nothing.
/// 5. A key that has moved on is wiped from the database file; the write-ahead log may hold the last ones until
///    SQLite's next checkpoint, so whoever copies it can still forge those records that came since.
/// 6. `check` and `verify` hold the stored key against the chain: whoever cuts records off and sets the end back lacks
///    the key of that time, unless he copied it then. Such a one is found by a head that was kept elsewhere alone.
///
/// # Cost
/// One transaction with one sync of the disk for each call of `append`: give it all events that wait.
pub struct AuditLog {
    db: Connection,
    device: DeviceId,
    boot: BootId,
    head: Head,
    /// What the last, unfinished block holds up to a number, as far as this has written it.
    block: Option<(u64, Block)>,
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
        Self::open_with(path, device, boot, |_| Ok(()))
    }

    /// As [`open`](Self::open), and has `keep` store a new chain's first key before there is a chain: one whose key
    /// was lost on the way could never be verified.
    ///
    /// # Errors
    /// Those of `open`, and [`Error::Key`] if `keep` fails; the database then is as it was.
    pub fn open_with(
        path: &Path,
        device: DeviceId,
        boot: BootId,
        keep: impl FnOnce(&[u8; 32]) -> io::Result<()>,
    ) -> Result<(Self, Option<[u8; 32]>), Error> {
        let mut db = schema::open(path)?;
        // Keys that have moved on must not stay in free pages of the file.
        db.pragma_update(None, "secure_delete", "ON")?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (key, head) = match state(&transaction)? {
            Some(state) => (None, Head { seq: state.seq, tag: state.tag }),
            None => {
                let key = keys::random().map_err(Error::Random)?;
                store(&transaction, &State { seq: 0, tag: [0; 32], key })?;
                keep(&key).map_err(Error::Key)?;
                (Some(key), Head::default())
            }
        };
        transaction.commit()?;
        Ok((Self { db, device, boot, head, block: None }, key))
    }

    /// Whether the database at `path` has a chain. It is not changed, and not made.
    ///
    /// # Errors
    /// [`Error::Sqlite`] if it cannot be read.
    pub fn is_at(path: &Path) -> Result<bool, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let table = "SELECT 1 FROM sqlite_schema WHERE name = 'audit_state'";
        Ok(db.prepare(table)?.exists([])? && state(&db)?.is_some())
    }

    /// Moves the chain of the database `from` into the one at `to`, if there is one; says whether there was. So a chain
    /// that began beside users and sessions comes to a file of its own, and they to one that is seldom written to.
    ///
    /// It is on disk in its new place before it is gone from the old one. What was interrupted is done to its end by the next
    /// call.
    ///
    /// # Errors
    /// [`Error::Sqlite`]; [`Error::Two`] if `to` has another one. Then it is where it was.
    pub fn move_to(from: &Path, to: &Path) -> Result<bool, Error> {
        let mut old = schema::open(from)?;
        old.pragma_update(None, "secure_delete", "ON")?;
        // Held until it is gone: nobody goes on with it here meanwhile.
        let leaving = old.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(present) = state(&leaving)? else { return Ok(false) };
        let mut new = schema::open(to)?;
        new.pragma_update(None, "secure_delete", "ON")?;
        let path = from.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(from.to_owned()))?;
        new.execute("ATTACH ?1 AS old", [path])?;
        let coming = new.transaction()?;
        match state(&coming)? {
            None => coming.execute_batch(&format!(
                "INSERT INTO main.audit ({COLUMNS}) SELECT {COLUMNS} FROM old.audit;
                 INSERT INTO main.audit_state SELECT * FROM old.audit_state;
                 INSERT INTO main.audit_blocks SELECT * FROM old.audit_blocks"
            ))?,
            // It has come, and perhaps gone on.
            Some(state) if state.key == present.key => {}
            Some(_) => {
                let known = "SELECT 1 FROM main.audit WHERE seq = ?1 AND tag = ?2";
                if !coming.prepare(known)?.exists(params![present.seq.cast_signed(), present.tag])? {
                    return Err(Error::Two);
                }
            }
        }
        coming.commit()?;
        drop(new);
        leaving.execute_batch("DELETE FROM audit; DELETE FROM audit_state; DELETE FROM audit_blocks")?;
        leaving.commit()?;
        // Room is given back when it can be.
        let _ = old.execute_batch("VACUUM");
        Ok(true)
    }

    /// Appends events: all of them are on disk when it returns, or none. Gives the chain's new end.
    ///
    /// # Errors
    /// [`Error::Sqlite`]; the chain is as it was then.
    pub fn append(&mut self, events: &[(Event, Instant, Option<UnixTime>)]) -> Result<Head, Error> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let state = state(&transaction)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        // Another process may have gone on meanwhile.
        let known = self.block.take().filter(|(seq, _)| *seq == state.seq);
        let mut block = known.map_or_else(|| Block::read(&transaction, state.seq), |(_, block)| Ok(block))?;
        let mut chain = Chain::resume(self.device, self.boot, state);
        for (event, at, unix) in events {
            let entry = chain.append(event, *at, *unix);
            if entry.seq.is_multiple_of(BLOCK) {
                std::mem::take(&mut block).store(&transaction, entry.seq / BLOCK - 1)?;
            }
            insert(&transaction, &entry)?;
            let ms = entry.unix.map(|unix| unix.as_millis().cast_signed());
            block.add(event.kind as u8, event.outcome as u8, event.actor.as_str(), ms);
        }
        store(&transaction, chain.state())?;
        transaction.commit()?;
        self.head = chain.head();
        self.block = Some((self.head.seq, block));
        Ok(self.head)
    }

    /// The last `limit` records, the newest first.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Unreadable`].
    pub fn recent(&self, limit: u32) -> Result<Vec<Entry>, Error> {
        self.find(&Filter::ALL, limit)
    }

    /// The last `limit` records that `filter` asks for, the newest first. Blocks of 256 that have none of its kind, outcome, actor
    /// or wall time are passed over.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Unreadable`].
    pub fn find(&self, filter: &Filter<'_>, limit: u32) -> Result<Vec<Entry>, Error> {
        let (kind, outcome) = (filter.kind.map(|kind| kind as u8), filter.outcome.map(|outcome| outcome as u8));
        let wall = |unix: Option<UnixTime>| unix.map(|unix| i64::try_from(unix.as_millis()).unwrap_or(i64::MAX));
        let (since, before) = (wall(filter.since), wall(filter.before));
        // What SQLite can answer, of a record and of a block; the filter itself is asked as well. A number that SQLite takes for
        // a negative one is a very late time.
        let conditions: [(&str, &str, Option<&dyn ToSql>); 5] = [
            ("kind = ?", "kinds & (1 << (? & 31))", kind.as_ref().map(|it| it as _)),
            ("outcome = ?", "outcomes & (1 << (? & 31))", outcome.as_ref().map(|it| it as _)),
            ("actor = ?", "instr(actors, ',' || hex(?) || ',')", filter.actor.as_ref().map(|it| it as _)),
            ("(unix_ms >= ? OR unix_ms < 0)", "(last_ms >= ? OR first_ms < 0)", since.as_ref().map(|it| it as _)),
            ("unix_ms <= ?", "first_ms <= ?", before.as_ref().map(|it| it as _)),
        ];
        let (mut of_record, mut of_block, mut values) = (String::new(), String::new(), Vec::new());
        for (record, block, value) in conditions {
            if let Some(value) = value {
                values.push(value);
                let place = format!("?{}", values.len());
                for (all, one) in [(&mut of_record, record), (&mut of_block, block)] {
                    all.push_str(" AND ");
                    all.push_str(&one.replace('?', &place));
                }
            }
        }
        let ask = format!(
            "SELECT {COLUMNS} FROM audit WHERE seq BETWEEN ?{} AND ?{}{of_record} ORDER BY seq DESC",
            values.len() + 1,
            values.len() + 2
        );
        let snapshot = self.db.unchecked_transaction()?;
        let mut records = snapshot.prepare_cached(&ask)?;
        let mut found = Vec::new();
        // Those from one number to another; says whether there are enough now.
        let mut look = |from: i64, to: i64| -> Result<bool, Error> {
            let mut values: Vec<&dyn ToSql> = values.clone();
            values.extend([&from as &dyn ToSql, &to]);
            let mut rows = records.query(values.as_slice())?;
            while found.len() < limit as usize
                && let Some(row) = rows.next()?
            {
                let entry = entry(row)?;
                if filter.matches(&entry) {
                    found.push(entry);
                }
            }
            Ok(found.len() >= limit as usize)
        };
        if of_block.is_empty() {
            look(i64::MIN, i64::MAX)?;
            return Ok(found);
        }
        let size = BLOCK.cast_signed();
        let full: Option<i64> = snapshot.query_row("SELECT max(block) FROM audit_blocks", [], |row| row.get(0))?;
        let mut enough = look(full.map_or(i64::MIN, |full| (full + 1) * size), i64::MAX)?;
        let ask = format!("SELECT block FROM audit_blocks WHERE TRUE{of_block} ORDER BY block DESC");
        let mut blocks = snapshot.prepare_cached(&ask)?;
        let mut blocks = blocks.query(values.as_slice())?;
        while !enough && let Some(row) = blocks.next()? {
            let block: i64 = row.get(0)?;
            enough = look(block * size, block * size + size - 1)?;
        }
        Ok(found)
    }

    /// Writes all records as [lines], the oldest first, and gives the last one's head.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Unreadable`], [`Error::Export`].
    pub fn export(&self, to: &mut impl io::Write) -> Result<Head, Error> {
        let snapshot = self.db.unchecked_transaction()?;
        let mut all = snapshot.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
        let mut rows = all.query([])?;
        let mut head = Head::default();
        while let Some(row) = rows.next()? {
            let entry = entry(row)?;
            to.write_all(lines::line(&entry).as_bytes()).map_err(Error::Export)?;
            head = Head { seq: entry.seq, tag: entry.tag };
        }
        to.flush().map_err(Error::Export)?;
        Ok(head)
    }

    /// Checks the whole chain from its first key, and against a head that was kept elsewhere: tells what was changed
    /// apart from what was cut.
    ///
    /// # Errors
    /// [`Error::Sqlite`]. What is wrong with the chain is in the [`Report`].
    pub fn check(&self, key: [u8; 32], head: Option<Head>) -> Result<Report, Error> {
        check(&self.db, key, head)
    }

    /// As [`check`](Self::check), on a connection of its own: whoever writes to the chain meanwhile need not wait.
    ///
    /// # Errors
    /// Those of `check`; [`Error::Sqlite`] if there is no chain at `path`.
    pub fn check_at(path: &Path, key: [u8; 32], head: Option<Head>) -> Result<Report, Error> {
        check(&open(path)?, key, head)
    }

    /// As [`check`](Self::check), its two answers as one.
    ///
    /// # Errors
    /// [`Error::Broken`] names the first bad record.
    pub fn verify(&self, key: [u8; 32], head: Option<Head>) -> Result<Head, Error> {
        self.check(key, head)?.result().map_err(Error::Broken)
    }

    /// As [`check_at`](Self::check_at), its two answers as one.
    ///
    /// # Errors
    /// Those of `check_at`; [`Error::Broken`] names the first bad record.
    pub fn verify_at(path: &Path, key: [u8; 32], head: Option<Head>) -> Result<Head, Error> {
        Self::check_at(path, key, head)?.result().map_err(Error::Broken)
    }

    /// The chain's end after the last `append` of this value: keep it elsewhere, so that a later cut shows.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }
}

fn check(db: &Connection, key: [u8; 32], head: Option<Head>) -> Result<Report, Error> {
    // One snapshot: what is appended meanwhile is neither here nor in the state.
    let snapshot = db.unchecked_transaction()?;
    let mut verifier = head.map_or_else(|| Verifier::new(key), |head| Verifier::with_head(key, head));
    let mut all = snapshot.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let entry = match entry(row) {
            Ok(entry) => Some(entry),
            Err(Error::Unreadable { .. }) => None,
            Err(error) => return Err(error),
        };
        if lines::check(&mut verifier, entry.as_ref()).is_err() {
            break;
        }
    }
    let stored = stored_state(&snapshot)?;
    let mut report = verifier.report(stored.as_ref().map(|state| Head { seq: state.seq, tag: state.tag }));
    if report.result().is_ok() {
        let State { seq, tag, key } = verifier.state();
        // A chain and its state begin in one transaction: there is never one without the other.
        if stored.is_none_or(|stored| (stored.seq, &stored.tag, &stored.key) != (*seq, tag, key)) {
            report.integrity = Err(Broken::State { seq: *seq });
        }
    }
    // The stored state is no proof, since whoever cuts the chain can set it back; but it shows a careless cut.
    if head.is_none() && report.completeness == Completeness::Complete {
        report.completeness = Completeness::Unproven;
    }
    Ok(report)
}

fn state(db: &Connection) -> Result<Option<State>, Error> {
    let mut get = db.prepare_cached("SELECT seq, tag, key FROM audit_state WHERE one = 1")?;
    let state = get.query_row([], |row| Ok(State { seq: number(row, 0)?, tag: row.get(1)?, key: row.get(2)? }));
    Ok(state.optional()?)
}

/// The state for whoever checks it: one that cannot be read is none.
fn stored_state(db: &Connection) -> Result<Option<State>, Error> {
    let mut get = db.prepare_cached("SELECT seq, tag, key FROM audit_state WHERE one = 1")?;
    let read = |row: &Row<'_>| {
        let state = State { seq: number(row, 0).ok()?, tag: row.get(1).ok()?, key: row.get(2).ok()? };
        Some(state)
    };
    Ok(get.query_row([], |row| Ok(read(row))).optional()?.flatten())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::test_dir;

    type Timed = (Event, Instant, Option<UnixTime>);

    fn event(n: u64) -> Timed {
        let event = Event::new(Kind::Command, Outcome::Success, "alice", "127.0.0.1", &format!("echo {n}\n'; --"));
        (event, Instant::from_nanos(u64::MAX - n), n.is_multiple_of(2).then(|| UnixTime::from_secs(n)))
    }

    fn open_log(path: &Path, boot: u32) -> (AuditLog, Option<[u8; 32]>) {
        AuditLog::open(path, DeviceId::new("host").unwrap(), BootId(boot)).unwrap()
    }

    /// A log of ten records, as two lives wrote them.
    fn ten(path: &Path) -> (AuditLog, [u8; 32]) {
        let (mut log, key) = open_log(path, 1);
        log.append(&[event(1), event(2), event(3)]).unwrap();
        drop(log);
        let (mut log, none) = open_log(path, 2);
        assert_eq!(none, None, "the first key is told once");
        for n in 4..=10 {
            log.append(&[event(n)]).unwrap();
        }
        (log, key.unwrap())
    }

    #[test]
    fn a_chain_of_several_lives_verifies_and_lists_the_newest_first() {
        let dir = test_dir("audit");
        let (log, key) = ten(&dir.path().join("daur.db"));
        assert_eq!(log.head().seq, 10);
        assert_eq!(log.verify(key, None).unwrap(), log.head());
        assert_eq!(log.verify(key, Some(log.head())).unwrap(), log.head());
        assert_eq!(AuditLog::verify_at(&dir.path().join("daur.db"), key, Some(log.head())).unwrap(), log.head());
        let recent = log.recent(3).unwrap();
        assert_eq!(recent.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [10, 9, 8]);
        assert_eq!((recent[0].event, recent[0].at, recent[0].unix), event(10));
        assert!(matches!(log.verify([0; 32], None), Err(Error::Broken(Broken::Changed { seq: 1 }))));
    }

    #[test]
    fn what_is_changed_in_the_file_is_found_and_named() {
        for (sql, expected) in [
            ("UPDATE audit SET actor = 'bob' WHERE seq = 4", "audit record 4 was changed"),
            ("UPDATE audit SET unix_ms = NULL WHERE seq = 6", "audit record 6 was changed"),
            ("UPDATE audit SET kind = 200 WHERE seq = 5", "audit record 5 cannot be read"),
            ("UPDATE audit SET tag = x'00' WHERE seq = 5", "audit record 5 cannot be read"),
            ("DELETE FROM audit WHERE seq = 2", "audit record 2 is missing"),
            ("DELETE FROM audit WHERE seq > 8", "the audit chain was cut after record 8"),
            ("UPDATE audit_state SET seq = seq + 1", "the audit chain was cut after record 10"),
            ("UPDATE audit_state SET tag = zeroblob(32)", "audit record 10 was changed"),
            ("UPDATE audit_state SET seq = seq - 1", "the state to go on from audit record 10 was changed"),
            ("UPDATE audit_state SET key = zeroblob(32)", "the state to go on from audit record 10 was changed"),
            ("UPDATE audit_state SET key = x'00'", "the state to go on from audit record 10 was changed"),
            ("DELETE FROM audit_state", "the state to go on from audit record 10 was changed"),
            ("DELETE FROM audit; DELETE FROM audit_state", "the state to go on from audit record 0 was changed"),
        ] {
            let dir = test_dir("tamper");
            let (log, key) = ten(&dir.path().join("daur.db"));
            log.db.execute_batch(sql).unwrap();
            assert_eq!(log.verify(key, None).unwrap_err().to_string(), expected, "{sql}");
        }
    }

    #[test]
    fn rule_6_a_cut_that_sets_the_end_back_lacks_the_key_and_with_a_copy_of_it_is_found_by_the_head() {
        let dir = test_dir("cut");
        let path = dir.path().join("daur.db");
        let (mut log, key) = open_log(&path, 1);
        let key = key.unwrap();
        log.append(&(1..10).map(event).collect::<Vec<_>>()).unwrap();
        let copied = state(&log.db).unwrap().unwrap();
        let head = log.append(&[event(10)]).unwrap();
        log.db.execute("DELETE FROM audit WHERE seq = 10", []).unwrap();
        log.db.execute("UPDATE audit_state SET seq = 9, tag = ?1", [copied.tag]).unwrap();
        assert!(matches!(log.verify(key, None), Err(Error::Broken(Broken::State { seq: 9 }))));
        log.db.execute("UPDATE audit_state SET key = ?1", [copied.key]).unwrap();
        assert_eq!(log.verify(key, None).unwrap(), Head { seq: 9, tag: copied.tag });
        assert!(matches!(log.verify(key, Some(head)), Err(Error::Broken(Broken::Truncated { seq: 9 }))));
    }

    #[test]
    fn what_was_changed_and_what_was_cut_are_told_apart() {
        let dir = test_dir("report");
        let (log, key) = ten(&dir.path().join("daur.db"));
        let of = |head| log.check(key, head).map(|report| (report.integrity, report.completeness)).unwrap();
        assert_eq!(of(None), (Ok(()), Completeness::Unproven));
        assert_eq!(of(Some(log.head())), (Ok(()), Completeness::Complete));
        log.db.execute("DELETE FROM audit WHERE seq > 8", []).unwrap();
        assert_eq!(of(None), (Ok(()), Completeness::Truncated { seq: 8, of: 10 }));
        log.db.execute("UPDATE audit SET kind = 200 WHERE seq = 3", []).unwrap();
        assert_eq!(of(Some(log.head())), (Err(Broken::Unreadable { seq: 3 }), Completeness::Unproven));
    }

    #[test]
    fn find_gives_what_the_filter_matches_and_an_export_verifies_without_the_database() {
        let dir = test_dir("find");
        let (mut log, key) = open_log(&dir.path().join("daur.db"), 1);
        let times = [None, Some(0), Some(1_000), Some(i64::MAX.cast_unsigned()), Some(u64::MAX)];
        let mut events = Vec::new();
        for (n, unix) in (0_u64..).zip(times.iter().cycle().take(40)) {
            let kind = [Kind::Login, Kind::Command, Kind::Logout][n as usize % 3];
            let outcome = [Outcome::Success, Outcome::Denied][n as usize % 2];
            let actor = ["alice", "bob", "", "o'brien"][n as usize % 4];
            events.push((
                Event::new(kind, outcome, actor, "", ""),
                Instant::from_secs(n),
                unix.map(UnixTime::from_millis),
            ));
        }
        log.append(&events).unwrap();
        let all = log.recent(100).unwrap();
        assert_eq!(all.len(), 40);
        let at = |ms| Some(UnixTime::from_millis(ms));
        for filter in [
            Filter { kind: Some(Kind::Login), ..Filter::ALL },
            Filter { outcome: Some(Outcome::Denied), actor: Some("bob"), ..Filter::ALL },
            Filter { actor: Some("o'brien"), ..Filter::ALL },
            Filter { actor: Some("' OR 1 --"), ..Filter::ALL },
            Filter { since: at(0), ..Filter::ALL },
            Filter { since: at(1), before: at(u64::MAX), ..Filter::ALL },
            Filter { since: at(u64::MAX), ..Filter::ALL },
            Filter { before: at(1_000), ..Filter::ALL },
            Filter { before: at(i64::MAX.cast_unsigned() + 1), ..Filter::ALL },
            Filter { at_since: Some(Instant::from_secs(7)), at_before: Some(Instant::from_secs(30)), ..Filter::ALL },
        ] {
            let expected: Vec<_> = all.iter().filter(|entry| filter.matches(entry)).copied().collect();
            assert_eq!(log.find(&filter, 100).unwrap(), expected, "{filter:?}");
            assert_eq!(log.find(&filter, 2).unwrap(), expected[..expected.len().min(2)], "{filter:?}");
        }
        let mut text = Vec::new();
        assert_eq!(log.export(&mut text).unwrap(), log.head());
        let report = lines::verify_lines(text.as_slice(), key.unwrap(), Some(log.head())).unwrap();
        assert_eq!(report.result(), Ok(log.head()));
    }

    #[test]
    fn find_passes_over_blocks_that_have_nothing_of_it_and_over_no_others() {
        let dir = test_dir("blocks");
        let path = dir.path().join("daur.db");
        let kinds = [Kind::Command, Kind::Login, Kind::Logout, Kind::AccessDenied];
        let events: Vec<_> = (0..1_500_u64)
            .map(|n| {
                // Rare ones in one block each, times that go back, and some that are not known.
                let kind = if n == 300 { Kind::UserChange } else { kinds[(n / 500) as usize] };
                let outcome = if n % 97 == 0 { Outcome::Denied } else { Outcome::Success };
                let actor = ["alice", "bob", "", "o'brien, of ,"][if n % 400 == 7 { 3 } else { n as usize / 256 % 3 }];
                let unix = (n % 5 > 0).then(|| UnixTime::from_millis(if n % 600 == 1 { u64::MAX } else { n ^ 0x1FF }));
                (Event::new(kind, outcome, actor, "", ""), Instant::from_secs(n), unix)
            })
            .collect();
        let filters = |at: fn(u64) -> Option<UnixTime>| {
            let mut filters = vec![Filter::ALL, Filter { at_since: Some(Instant::from_secs(1_400)), ..Filter::ALL }];
            for kind in kinds.into_iter().chain([Kind::UserChange, Kind::Start]) {
                filters.push(Filter { kind: Some(kind), ..Filter::ALL });
                filters.push(Filter { kind: Some(kind), actor: Some("bob"), before: at(700), ..Filter::ALL });
            }
            for actor in ["alice", "", "o'brien, of ,", "o'brien", "nobody"] {
                filters.push(Filter { actor: Some(actor), ..Filter::ALL });
                filters.push(Filter { actor: Some(actor), outcome: Some(Outcome::Denied), ..Filter::ALL });
            }
            for ms in [0, 1, 255, 256, 511, 900, 1_499, u64::MAX] {
                filters.push(Filter { since: at(ms), ..Filter::ALL });
                filters.push(Filter { before: at(ms), ..Filter::ALL });
                filters.push(Filter { since: at(ms), before: at(ms.saturating_add(100)), ..Filter::ALL });
            }
            filters
        };
        let filters = filters(|ms| Some(UnixTime::from_millis(ms)));
        let judge = |log: &AuditLog| {
            let all = log.recent(10_000).unwrap();
            assert_eq!(all.len(), 1_500);
            for filter in &filters {
                let expected: Vec<_> = all.iter().filter(|entry| filter.matches(entry)).copied().collect();
                for limit in [1, 3, 10_000] {
                    let some = &expected[..expected.len().min(limit as usize)];
                    assert_eq!(log.find(filter, limit).unwrap(), some, "{filter:?}");
                }
            }
        };
        let (mut log, _) = open_log(&path, 1);
        for (turn, some) in events.chunks(37).enumerate() {
            // Two take turns, and one dies now and then.
            if turn % 5 == 0 {
                open_log(&path, 2).0.append(some).unwrap();
            } else {
                log.append(some).unwrap();
            }
        }
        judge(&log);
        let blocks = |db: &Connection| -> Vec<String> {
            let all = "SELECT concat_ws(' ', block, kinds, outcomes, length(actors), first_ms, last_ms)
                FROM audit_blocks ORDER BY block";
            let mut all = db.prepare(all).unwrap();
            all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let written = blocks(&log.db);
        assert_eq!(written.len(), 5);
        // A database of before there were blocks comes to the same.
        log.db.execute_batch("DROP TABLE audit_blocks; PRAGMA user_version = 2").unwrap();
        log.db.execute_batch(SCHEMA).unwrap();
        drop(log);
        let (log, _) = open_log(&path, 3);
        assert_eq!(blocks(&log.db), written);
        judge(&log);
    }

    #[test]
    fn a_chain_whose_first_key_cannot_be_stored_does_not_begin() {
        let dir = test_dir("no-key");
        let path = dir.path().join("daur.db");
        let device = DeviceId::new("host").unwrap();
        let refused = AuditLog::open_with(&path, device, BootId(1), |_| Err(io::ErrorKind::AlreadyExists.into()));
        assert!(matches!(refused, Err(Error::Key(_))));
        let mut kept = None;
        let (mut log, key) = AuditLog::open_with(&path, device, BootId(1), |key| {
            kept = Some(*key);
            Ok(())
        })
        .unwrap();
        assert_eq!((kept, key.is_some()), (key, true));
        log.append(&[event(1)]).unwrap();
        assert_eq!(log.verify(key.unwrap(), None).unwrap(), log.head());
    }

    #[test]
    fn a_chain_moves_to_a_file_of_its_own_also_when_that_was_interrupted() {
        let dir = test_dir("move");
        let (from, to) = (dir.path().join("daur.db"), dir.path().join("audit.db"));
        assert!(!AuditLog::move_to(&from, &to).unwrap());
        assert!(!to.exists(), "there was nothing to move");
        let (log, key) = ten(&from);
        let head = log.head();
        drop(log);
        let kept = dir.path().join("kept.db");
        Connection::open(&from).unwrap().execute("VACUUM INTO ?1", [kept.to_str().unwrap()]).unwrap();
        assert!(AuditLog::is_at(&from).unwrap());
        assert!(AuditLog::move_to(&from, &to).unwrap());
        assert!(!AuditLog::is_at(&from).unwrap() && AuditLog::is_at(&to).unwrap());
        assert!(!AuditLog::move_to(&from, &to).unwrap());
        assert_eq!(AuditLog::verify_at(&to, key, Some(head)).unwrap(), head);
        // As if the power had gone before it left, and then after it went on: `kept` has it still.
        for _ in 0..2 {
            std::fs::copy(&kept, &from).unwrap();
            assert!(AuditLog::move_to(&from, &to).unwrap());
            let (mut log, none) = open_log(&to, 3);
            assert_eq!(none, None);
            log.append(&[event(11)]).unwrap();
        }
        assert_eq!(AuditLog::verify_at(&to, key, None).unwrap().seq, 12);
        // Not over another one, nor over an earlier end of itself: somebody has gone on where it was.
        let other = dir.path().join("other.db");
        drop(ten(&other));
        assert!(matches!(AuditLog::move_to(&other, &to), Err(Error::Two)));
        std::fs::copy(&kept, &from).unwrap();
        open_log(&from, 4).0.append(&[event(0)]).unwrap();
        assert!(matches!(AuditLog::move_to(&from, &to), Err(Error::Two)));
        assert!(AuditLog::is_at(&from).unwrap());
    }

    #[test]
    fn two_writers_make_one_chain() {
        let dir = test_dir("writers");
        let path = dir.path().join("daur.db");
        let (mut one, key) = open_log(&path, 1);
        let (mut two, _) = open_log(&path, 2);
        for n in 0..10 {
            if n % 2 == 0 { &mut one } else { &mut two }.append(&[event(n)]).unwrap();
        }
        assert_eq!(one.verify(key.unwrap(), None).unwrap().seq, 10);
    }

    #[test]
    fn a_batch_is_stored_whole_or_not_at_all() {
        let dir = test_dir("batch");
        let (mut log, key) = ten(&dir.path().join("daur.db"));
        // The second record of the batch finds its number taken.
        log.db.execute("INSERT INTO audit SELECT 12, device, boot, at_ns, unix_ms, kind, outcome, actor, source, detail, tag FROM audit WHERE seq = 1", []).unwrap();
        assert!(log.append(&[event(11), event(12)]).is_err());
        log.db.execute("DELETE FROM audit WHERE seq = 12", []).unwrap();
        assert_eq!(log.verify(key, None).unwrap(), log.head());
        assert_eq!(log.append(&[event(11), event(12)]).unwrap().seq, 12);
        assert_eq!(log.verify(key, None).unwrap().seq, 12);
    }

    #[test]
    fn keys_that_have_moved_on_are_not_in_the_file() {
        let dir = test_dir("keys-gone");
        let path = dir.path().join("daur.db");
        let (log, key) = ten(&path);
        log.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(32).any(|window| window == key));
        drop(log);
    }
}
