//! The file: its schema and its statements.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::writer::Pending;
use super::{Config, Plan, Series, Step};
use crate::sqlite::{self, Fault, Format, Identity, PAGE, whole};

const FORMAT: Format = Format {
    // `DauH` in ASCII.
    application: 0x4461_7548,
    version: 1,
    // A row is told by the length of its step and not by its tier's number, so that another config reads it right.
    create: "CREATE TABLE IF NOT EXISTS series (
                 id INTEGER PRIMARY KEY,
                 name TEXT NOT NULL UNIQUE,
                 used INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE IF NOT EXISTS points (
                 step INTEGER NOT NULL,
                 series INTEGER NOT NULL,
                 slot INTEGER NOT NULL,
                 count INTEGER NOT NULL,
                 mean REAL NOT NULL,
                 min REAL NOT NULL,
                 max REAL NOT NULL,
                 PRIMARY KEY (step, series, slot)
             ) STRICT, WITHOUT ROWID;",
    discard: "DROP TABLE IF EXISTS series; DROP TABLE IF EXISTS points;",
};

/// The mean is kept between least and greatest, which a rounded one of equal values is not.
const UPSERT: &str = "INSERT INTO points VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT DO UPDATE SET
        mean = max(min(min, excluded.min), min(max(max, excluded.max),
            mean * (count * 1.0 / (count + excluded.count))
            + excluded.mean * (excluded.count * 1.0 / (count + excluded.count)))),
        min = min(min, excluded.min),
        max = max(max, excluded.max),
        count = count + excluded.count
    RETURNING count";

/// The connection, and what is known of the file without reading it.
pub(super) struct Store {
    config: Config,
    connection: Connection,
    identity: Identity,
    /// `None` after a write that failed.
    held: Option<Held>,
}

/// Which series there are, and how many rows of each.
#[derive(Clone, Default)]
struct Held {
    series: HashMap<Arc<str>, Known>,
    rows: HashMap<(usize, i64), u64>,
    latest: u64,
    /// Counts writes: the mark of the latest series.
    clock: i64,
}

#[derive(Clone, Copy)]
struct Known {
    id: i64,
    used: i64,
}

impl sqlite::Store for Store {
    type Config = Config;
    const FORMAT: Format = FORMAT;

    fn open(path: &Path, config: &Config) -> Result<Self, (Fault, rusqlite::Error)> {
        let connection = sqlite::open(path, &FORMAT, config.busy_timeout, config.max_bytes())?;
        let identity = Identity::of(path);
        let mut store = Self { config: *config, connection, identity, held: None };
        store.prepare().map_err(|error| (Fault::of(&error), error))?;
        Ok(store)
    }

    fn is_in_place(&mut self, path: &Path) -> bool {
        self.identity.is_in_place(path)
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

impl Store {
    /// Forgets what another config has kept, in other steps or more of it, and looks what is there.
    fn prepare(&mut self) -> Result<(), rusqlite::Error> {
        let [a, b, c, d] = self.config.tiers.map(|tier| whole(tier.step.as_millis()));
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM points WHERE step NOT IN (?1, ?2, ?3, ?4)", [a, b, c, d])?;
        let beyond =
            "DELETE FROM series WHERE id IN (SELECT id FROM series ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?1)";
        tx.execute(beyond, [self.config.max_series])?;
        tx.execute("DELETE FROM points WHERE series NOT IN (SELECT id FROM series)", [])?;
        for ((tier, series), rows) in look(&tx, &self.config)?.rows {
            let tier = &self.config.tiers[tier];
            if rows > tier.rows() {
                let oldest = "DELETE FROM points WHERE step = ?1 AND series = ?2 AND slot IN
                    (SELECT slot FROM points WHERE step = ?1 AND series = ?2 ORDER BY slot LIMIT ?3)";
                tx.execute(oldest, [whole(tier.step.as_millis()), series, whole(rows - tier.rows())])?;
            }
        }
        tx.commit()?;
        self.held = Some(look(&self.connection, &self.config)?);
        Ok(())
    }

    pub(super) fn used_bytes(&self) -> Result<u64, rusqlite::Error> {
        Ok(sqlite::used_pages(&self.connection)? * PAGE)
    }

    pub(super) fn shrink(&self, pages: u64) -> Result<(), rusqlite::Error> {
        sqlite::shrink(&self.connection, pages)
    }

    /// Rows in all, and the names of the series in their order.
    pub(super) fn held(&self) -> Option<(u64, Vec<Arc<str>>)> {
        let held = self.held.as_ref()?;
        let mut names: Vec<_> = held.series.keys().cloned().collect();
        names.sort_unstable();
        Some((held.rows.values().sum(), names))
    }

    /// Writes all that waits, or nothing. Says which series found no place.
    pub(super) fn write(
        &mut self,
        pending: &Pending,
        fresh: &HashSet<Arc<str>>,
    ) -> Result<HashSet<Arc<str>>, rusqlite::Error> {
        // What is known is true of the file again only once the transaction is committed.
        let held = self.held.take();
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let held = match held {
            Some(held) => held,
            None => look(&tx, &self.config)?,
        };
        let mut writing = Writing { tx: &tx, config: &self.config, held, fresh, present: pending.present };
        writing.held.clock += 1;
        let mut refused = HashSet::new();
        let mut seated = HashSet::new();
        for (name, rows) in &pending.rows {
            match writing.place(name, &seated)? {
                Some(id) => {
                    seated.insert(Arc::clone(name));
                    writing.add(id, rows)?;
                }
                None => {
                    refused.insert(Arc::clone(name));
                }
            }
        }
        let held = writing.held;
        tx.commit()?;
        self.held = Some(held);
        Ok(refused)
    }

    /// When the latest row is from, in milliseconds since 1970.
    pub(super) fn latest(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.latest)
    }

    /// Answers as planned.
    pub(super) fn read(&mut self, plan: &Plan) -> Result<Series, rusqlite::Error> {
        let mut answer = plan.unanswered();
        let unit = self.config.tiers[plan.tier].step.as_millis().max(1);
        let (first, end) = (answer.from_ms / unit, answer.to_ms.div_ceil(unit));
        let rows = "SELECT slot, count, mean, min, max FROM points
             WHERE step = ?1 AND series = (SELECT id FROM series WHERE name = ?2) AND slot >= ?3 AND slot < ?4";
        let mut statement = self.connection.prepare_cached(rows)?;
        for (name, steps) in &mut answer.series {
            let mut rows = statement.query(params![whole(unit), name, whole(first), whole(end)])?;
            while let Some(row) = rows.next()? {
                let (slot, count) = (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs());
                let row = Step { count, mean: row.get(2)?, min: row.get(3)?, max: row.get(4)? };
                let at = slot.saturating_mul(unit).saturating_sub(plan.from) / plan.step.max(1);
                // What a flipped bit has put out of order is a gap.
                let sound = count > 0 && row.min <= row.mean && row.mean <= row.max;
                if let Some(step) = usize::try_from(at).ok().and_then(|at| steps.get_mut(at)).filter(|_| sound) {
                    *step = Some(step.map_or(row, |step| step.with(row)));
                }
            }
        }
        answer.complete = true;
        Ok(answer)
    }
}

fn look(connection: &Connection, config: &Config) -> Result<Held, rusqlite::Error> {
    let mut held = Held::default();
    let mut statement = connection.prepare_cached("SELECT id, name, used FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let known = Known { id: row.get(0)?, used: row.get(2)? };
        held.clock = held.clock.max(known.used);
        held.series.insert(row.get::<_, String>(1)?.into(), known);
    }
    let mut statement =
        connection.prepare_cached("SELECT step, series, count(*), max(slot) FROM points GROUP BY step, series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let step: i64 = row.get(0)?;
        if let Some(tier) = config.tiers.iter().position(|tier| whole(tier.step.as_millis()) == step) {
            held.rows.insert((tier, row.get(1)?), row.get::<_, i64>(2)?.unsigned_abs());
            held.latest = held.latest.max(row.get::<_, i64>(3)?.saturating_mul(step).unsigned_abs());
        }
    }
    Ok(held)
}

/// One transaction.
struct Writing<'a> {
    tx: &'a Transaction<'a>,
    config: &'a Config,
    held: Held,
    fresh: &'a HashSet<Arc<str>>,
    present: u64,
}

impl Writing<'_> {
    /// The id of the series `name`, a new one if there is room or a series that makes room.
    fn place(&mut self, name: &Arc<str>, seated: &HashSet<Arc<str>>) -> Result<Option<i64>, rusqlite::Error> {
        let used = self.held.clock;
        if let Some(known) = self.held.series.get_mut(name) {
            known.used = used;
            self.tx.prepare_cached("UPDATE series SET used = ?2 WHERE id = ?1")?.execute([known.id, used])?;
            return Ok(Some(known.id));
        }
        while self.held.series.len() >= usize::from(self.config.max_series) {
            let idle =
                self.held.series.iter().filter(|(name, _)| !self.fresh.contains(*name) && !seated.contains(*name));
            let Some((oldest, known)) = idle.min_by_key(|(_, known)| (known.used, known.id)) else { return Ok(None) };
            let (oldest, id) = (Arc::clone(oldest), known.id);
            self.forget(id)?;
            self.held.series.remove(&oldest);
        }
        self.tx.prepare_cached("INSERT INTO series (name, used) VALUES (?1, ?2)")?.execute(params![name, used])?;
        let id = self.tx.last_insert_rowid();
        self.held.series.insert(Arc::clone(name), Known { id, used });
        Ok(Some(id))
    }

    fn forget(&mut self, id: i64) -> Result<(), rusqlite::Error> {
        for (at, tier) in self.config.tiers.iter().enumerate() {
            let mut delete = self.tx.prepare_cached("DELETE FROM points WHERE step = ?1 AND series = ?2")?;
            delete.execute([whole(tier.step.as_millis()), id])?;
            self.held.rows.remove(&(at, id));
        }
        self.tx.prepare_cached("DELETE FROM series WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    fn add(&mut self, id: i64, rows: &BTreeMap<(usize, u64), Step>) -> Result<(), rusqlite::Error> {
        let tx = self.tx;
        let mut upsert = tx.prepare_cached(UPSERT)?;
        for ((tier, slot), row) in rows {
            let step = whole(self.config.tiers[*tier].step.as_millis());
            let count: i64 = upsert
                .query_row(params![step, id, whole(*slot), whole(row.count), row.mean, row.min, row.max], |row| {
                    row.get(0)
                })?;
            if count == whole(row.count) {
                *self.held.rows.entry((*tier, id)).or_default() += 1;
            }
        }
        for (at, tier) in self.config.tiers.iter().enumerate() {
            let beyond = self.held.rows.get(&(at, id)).copied().unwrap_or(0).saturating_sub(tier.rows());
            let step = tier.step.as_millis();
            for _ in 0..beyond {
                self.drop_farthest(step, id)?;
            }
            if beyond > 0 {
                self.held.rows.insert((at, id), tier.rows());
            }
        }
        Ok(())
    }

    /// Deletes the row that is farthest from the present: the first or the last.
    fn drop_farthest(&self, step: u64, id: i64) -> Result<(), rusqlite::Error> {
        let present = whole(self.present / step.max(1));
        let end = |order: &str| -> Result<Option<i64>, rusqlite::Error> {
            let sql = format!("SELECT slot FROM points WHERE step = ?1 AND series = ?2 ORDER BY slot {order} LIMIT 1");
            self.tx.prepare_cached(&sql)?.query_row([whole(step), id], |row| row.get(0)).optional()
        };
        let (Some(first), Some(last)) = (end("ASC")?, end("DESC")?) else { return Ok(()) };
        let farthest = if last.abs_diff(present) > first.abs_diff(present) { last } else { first };
        let delete = "DELETE FROM points WHERE step = ?1 AND series = ?2 AND slot = ?3";
        self.tx.prepare_cached(delete)?.execute([whole(step), id, farthest])?;
        Ok(())
    }
}
