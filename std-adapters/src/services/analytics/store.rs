//! The file: its schema and its statements.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use daur_core::services::analytics::{Funnel, Sketch, Stage};
use daur_core::time::Instant;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::writer::Sums;
use super::{Config, Event, EventReport, FunnelReport, Metric, OTHER, PropertyReport, Report, Total, Way, times};
use crate::sqlite::{self, Fault, Format, Identity, PAGE, whole};

const FORMAT: Format = Format {
    // `DauA` in ASCII.
    application: 0x4461_7541,
    version: 1,
    create: "CREATE TABLE IF NOT EXISTS events (
                 number INTEGER PRIMARY KEY,
                 at_ms INTEGER NOT NULL,
                 name TEXT NOT NULL,
                 user INTEGER
             ) STRICT;
             CREATE INDEX IF NOT EXISTS events_at ON events (at_ms);
             CREATE TABLE IF NOT EXISTS repeats (
                 event INTEGER PRIMARY KEY,
                 times INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE IF NOT EXISTS properties (
                 event INTEGER NOT NULL,
                 place INTEGER NOT NULL,
                 key TEXT NOT NULL,
                 value TEXT NOT NULL,
                 PRIMARY KEY (event, place)
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS totals (
                 name TEXT NOT NULL PRIMARY KEY,
                 count INTEGER NOT NULL,
                 first_ms INTEGER NOT NULL,
                 last_ms INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS metrics (
                 name TEXT NOT NULL PRIMARY KEY,
                 count INTEGER NOT NULL,
                 mean REAL NOT NULL,
                 min REAL NOT NULL,
                 max REAL NOT NULL,
                 last REAL NOT NULL,
                 moment REAL NOT NULL,
                 first_ms INTEGER NOT NULL,
                 last_ms INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID;",
    discard: "DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS repeats; DROP TABLE IF EXISTS properties;
              DROP TABLE IF EXISTS totals; DROP TABLE IF EXISTS metrics;",
};
/// Events that each new one lets go for their age.
const AGE_STEP: u64 = 16;
/// Events that go at a time where room is needed.
const ROOM_STEP: i64 = 256;
/// Bytes that an event and its properties take at most.
const LARGEST: u64 = 2_048;
/// Properties in a report.
const TOP: i64 = 32;
/// Registers of a report's sketches.
const REGISTERS: usize = 1_024;
/// Parts of a funnel of a report, so that a user is looked for in one of them, and the users under way in each: room for
/// more than 4,096 together, however they are spread.
const PARTS: usize = 64;
const UNDER_WAY: usize = 128;

/// Where and how the events are kept.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) in_memory: bool,
}

pub(super) struct Store {
    place: Place,
    connection: Connection,
    identity: Identity,
    /// Events in the file.
    kept: u64,
}

impl sqlite::Store for Store {
    type Config = Place;
    const FORMAT: Format = FORMAT;

    fn open(path: &Path, place: &Place) -> Result<Self, (Fault, rusqlite::Error)> {
        let config = &place.config;
        let connection = if place.in_memory {
            let connection = Connection::open_in_memory().and_then(|connection| {
                connection.execute_batch(FORMAT.create)?;
                Ok(connection)
            });
            connection.map_err(|error| (Fault::Other, error))?
        } else {
            sqlite::open(path, &FORMAT, config.busy_timeout, config.max_bytes)?
        };
        let kept = kept(&connection).map_err(|error| (Fault::of(&error), error))?;
        Ok(Self { place: *place, connection, identity: Identity::of(path), kept })
    }

    fn is_in_place(&mut self, path: &Path) -> bool {
        self.place.in_memory || self.identity.is_in_place(path)
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

impl Store {
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    pub(super) fn used_bytes(&self) -> Result<u64, rusqlite::Error> {
        Ok(sqlite::used_pages(&self.connection)? * PAGE)
    }

    pub(super) fn shrink(&self, pages: u64) -> Result<(), rusqlite::Error> {
        sqlite::shrink(&self.connection, pages)
    }

    /// The sums that the file has.
    pub(super) fn sums(&mut self) -> Result<Sums, rusqlite::Error> {
        let mut sums = Sums::default();
        let mut statement = self.connection.prepare_cached("SELECT name, count, first_ms, last_ms FROM totals")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let total = Total { count: number(row, 1)?, first_ms: number(row, 2)?, last_ms: number(row, 3)? };
            sums.totals.insert(row.get(0)?, total);
        }
        let all = "SELECT name, count, mean, min, max, last, moment, first_ms, last_ms FROM metrics";
        let mut statement = self.connection.prepare_cached(all)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let metric = Metric {
                count: number(row, 1)?,
                mean: row.get(2)?,
                min: row.get(3)?,
                max: row.get(4)?,
                last: row.get(5)?,
                moment: row.get(6)?,
                first_ms: number(row, 7)?,
                last_ms: number(row, 8)?,
            };
            // What a flipped bit has put out of order is begun anew: a sum with it would be no number.
            let figures = [metric.mean, metric.min, metric.max, metric.last, metric.moment];
            if figures.into_iter().all(f64::is_finite) && metric.min <= metric.mean && metric.mean <= metric.max {
                sums.metrics.insert(row.get(0)?, metric);
            }
        }
        Ok(sums)
    }

    /// Writes all of it, or nothing, and lets go what is not to be kept.
    pub(super) fn write(&mut self, events: &[Event], sums: &Sums) -> Result<(), rusqlite::Error> {
        let config = self.place.config;
        let mut kept = self.kept;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Before they come, since the file never grows beyond its size.
        let pages = config.max_bytes / PAGE;
        let incoming = (events.len() as u64 * LARGEST).div_ceil(PAGE);
        while sqlite::used_pages(&tx)? + incoming > pages - pages / 8 {
            match forget(&tx, OLDEST, None, ROOM_STEP)? {
                0 => break,
                gone => kept = kept.saturating_sub(gone),
            }
        }
        {
            let mut insert = tx.prepare_cached("INSERT INTO events (at_ms, name, user) VALUES (?1, ?2, ?3)")?;
            let mut repeat = tx.prepare_cached("INSERT OR REPLACE INTO repeats VALUES (?1, ?2)")?;
            let mut add = tx.prepare_cached("INSERT INTO properties VALUES (?1, ?2, ?3, ?4)")?;
            for event in events {
                insert.execute(params![whole(event.at), event.name, event.user.map(u64::cast_signed)])?;
                let number = tx.last_insert_rowid();
                if event.times > 1 {
                    repeat.execute([number, whole(event.times)])?;
                }
                for (place, (key, value)) in (0_i64..).zip(&event.properties) {
                    add.execute(params![number, place, key, value])?;
                }
            }
            let mut total = tx.prepare_cached("INSERT OR REPLACE INTO totals VALUES (?1, ?2, ?3, ?4)")?;
            for (name, Total { count, first_ms, last_ms }) in &sums.totals {
                total.execute(params![name, whole(*count), whole(*first_ms), whole(*last_ms)])?;
            }
            let mut metric =
                tx.prepare_cached("INSERT OR REPLACE INTO metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
            for (name, m) in &sums.metrics {
                let (count, first, last) = (whole(m.count), whole(m.first_ms), whole(m.last_ms));
                metric.execute(params![name, count, m.mean, m.min, m.max, m.last, m.moment, first, last])?;
            }
        }
        kept += times(events);
        kept = kept.saturating_sub(retain(&tx, &config, events, kept)?);
        tx.commit()?;
        self.kept = kept;
        Ok(())
    }

    /// All that the events which are kept tell; those whose name is not in `totals` together.
    pub(super) fn report(
        &mut self,
        now: u64,
        ways: &[Way],
        totals: &BTreeMap<String, Total>,
    ) -> Result<Report, rusqlite::Error> {
        let windows = self.place.config.windows;
        let mut tally = Tally::new(ways, totals);
        let all = "SELECT at_ms, name, user, coalesce(times, 1)
            FROM events LEFT JOIN repeats ON event = number ORDER BY number";
        let mut statement = self.connection.prepare_cached(all)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (at, user) = (number(row, 0)?, row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned));
            let inside = windows.map(|window| at <= now && now - at < window.as_millis());
            tally.add(at, row.get_ref(1)?.as_str().unwrap_or_default(), user, inside, number(row, 3)?);
        }
        let top = "SELECT key, value, sum(coalesce(times, 1)) AS count
            FROM properties LEFT JOIN repeats USING (event)
            GROUP BY key, value ORDER BY count DESC, key, value LIMIT ?1";
        let mut statement = self.connection.prepare_cached(top)?;
        let properties = statement.query_map([TOP], |row| {
            Ok(PropertyReport { key: row.get(0)?, value: row.get(1)?, count: number(row, 2)? })
        })?;
        let properties = properties.collect::<Result<_, _>>()?;
        Ok(Report { properties, complete: true, ..tally.report(now) })
    }
}

/// What a pass over the events finds out.
struct Tally<'a> {
    ways: &'a [Way],
    totals: &'a BTreeMap<String, Total>,
    kept: u64,
    in_windows: [u64; 3],
    users: Box<Sketch<REGISTERS>>,
    users_in_windows: Box<[Sketch<REGISTERS>; 3]>,
    events: HashMap<String, Named>,
    funnels: Vec<Vec<Funnel<UNDER_WAY>>>,
}

#[derive(Default)]
struct Named {
    in_windows: [u64; 3],
    users: Box<Sketch<REGISTERS>>,
}

impl<'a> Tally<'a> {
    fn new(ways: &'a [Way], totals: &'a BTreeMap<String, Total>) -> Self {
        Self {
            ways,
            totals,
            kept: 0,
            in_windows: [0; 3],
            users: Box::default(),
            users_in_windows: Box::default(),
            events: HashMap::new(),
            funnels: ways
                .iter()
                .filter_map(|way| Funnel::try_new(way.within).ok())
                .map(|one| vec![one; PARTS])
                .collect(),
        }
    }

    fn add(&mut self, at: u64, name: &str, user: Option<u64>, inside: [bool; 3], times: u64) {
        self.kept += times;
        // As they are counted: otherwise each name of many would take a sketch.
        let counted = if self.totals.contains_key(name) { name } else { OTHER };
        if !self.events.contains_key(counted) {
            self.events.insert(counted.to_owned(), Named::default());
        }
        let Some(named) = self.events.get_mut(counted) else { return };
        for (window, inside) in inside.into_iter().enumerate() {
            self.in_windows[window] += u64::from(inside) * times;
            named.in_windows[window] += u64::from(inside) * times;
        }
        let Some(user) = user else { return };
        self.users.insert_hash(user);
        named.users.insert_hash(user);
        for (sketch, _) in self.users_in_windows.iter_mut().zip(inside).filter(|(_, inside)| *inside) {
            sketch.insert_hash(user);
        }
        let part = (user % PARTS as u64) as usize;
        for (way, parts) in self.ways.iter().zip(&mut self.funnels) {
            let stage = match name {
                name if name == way.first => Stage::First,
                name if name == way.second => Stage::Second,
                _ => continue,
            };
            for _ in 0..times {
                parts[part].track(stage, &user.to_le_bytes(), Instant::from_millis(at));
            }
        }
    }

    fn report(mut self, now: u64) -> Report {
        let events = self.events.into_iter().map(|(name, named)| EventReport {
            name,
            in_windows: named.in_windows.to_vec(),
            users: named.users.estimate(),
            ..EventReport::default()
        });
        let funnels = self.ways.iter().zip(&mut self.funnels).map(|(way, parts)| {
            let mut shown = FunnelReport {
                first: way.first.clone(),
                second: way.second.clone(),
                within_ms: way.within.as_millis(),
                ..FunnelReport::default()
            };
            for funnel in parts {
                funnel.poll(Instant::from_millis(now));
                let part = funnel.snapshot();
                shown.entered += part.entered;
                shown.converted += part.converted;
                shown.expired += part.expired;
                shown.forgotten += part.forgotten;
                shown.waiting += part.waiting;
            }
            shown
        });
        Report {
            kept: self.kept,
            in_windows: self.in_windows.to_vec(),
            users: self.users.estimate(),
            users_in_windows: self.users_in_windows.iter().map(Sketch::estimate).collect(),
            events: events.collect(),
            funnels: funnels.collect(),
            ..Report::default()
        }
    }
}

const OLDEST: &str = "SELECT number, coalesce(times, 1)
    FROM events LEFT JOIN repeats ON event = number ORDER BY number LIMIT ?1";
const AGED: &str = "SELECT number, coalesce(times, 1)
    FROM events LEFT JOIN repeats ON event = number WHERE at_ms < ?2 ORDER BY at_ms LIMIT ?1";

/// Lets go what is too old, and what is too much of the `kept` ones. Says how many.
fn retain(tx: &Transaction<'_>, config: &Config, events: &[Event], kept: u64) -> Result<u64, rusqlite::Error> {
    let mut gone = forget(tx, OLDEST, None, whole(kept.saturating_sub(config.rows.into())))?;
    // By the latest event's time: what the clock says.
    if let Some(latest) = events.last() {
        let oldest = whole(latest.at.saturating_sub(config.max_age.as_millis()));
        gone += forget(tx, AGED, Some(oldest), whole(AGE_STEP.saturating_mul(times(events))))?;
    }
    Ok(gone)
}

/// Deletes up to `limit` of the events that `which` names, and their properties. Says how many.
fn forget(tx: &Transaction<'_>, which: &str, before: Option<i64>, limit: i64) -> Result<u64, rusqlite::Error> {
    let mut left = limit;
    let mut select = tx.prepare_cached(which)?;
    let mut rows = if let Some(before) = before { select.query([limit, before]) } else { select.query([limit]) }?;
    let (mut gone, mut part) = (Vec::new(), None);
    while left > 0
        && let Some(row) = rows.next()?
    {
        let (number, times) = (row.get(0)?, row.get::<_, i64>(1)?.max(1));
        if times > left {
            part = Some([number, times - left]);
            left = 0;
        } else {
            gone.push(number);
            left -= times;
        }
    }
    drop(rows);
    for of in ["properties WHERE event", "repeats WHERE event", "events WHERE number"] {
        let mut delete = tx.prepare_cached(&format!("DELETE FROM {of} = ?1"))?;
        for number in &gone {
            delete.execute([number])?;
        }
    }
    if let Some(part) = part {
        tx.prepare_cached("UPDATE repeats SET times = ?2 WHERE event = ?1")?.execute(part)?;
    }
    Ok((limit - left).unsigned_abs())
}

fn kept(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let all = "SELECT (SELECT count(*) FROM events) + (SELECT coalesce(sum(times - 1), 0) FROM repeats)";
    connection.prepare_cached(all)?.query_row([], |row| number(row, 0))
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}
