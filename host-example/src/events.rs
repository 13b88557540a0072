//! What happens, by name: requests, commands, models, logins. Written in batches, kept for a while, counted for good.
//!
//! # Rules
//! 1. Nobody waits for an event to be written: one that finds no room is counted as lost, and so is one that the disk
//!    refuses. It is not the [`audit`](crate::audit), of which nothing is lost.
//! 2. Events are written in batches, each in one transaction: when there are `batch` of them, or the first of them has
//!    waited for `wait`. What waits when the server stops is written.
//! 3. The latest `rows` events are kept, with those that came in one batch with the oldest of them; the counts by name
//!    outlive them, and the server.
//! 4. Kinds, names and outcomes come from fixed lists: nothing that a client made up, no user, no text.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use daur_core::performance::batch as machine;
use daur_core::reliability::retry::{self, Attempts};
use daur_core::time::{Duration, UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::performance::batch::{self, Batching, Builder, Sender};
use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Events that may wait for the thread.
const WAITING: usize = 8_192;

/// How long events lie before the thread looks at them.
const NAP: Duration = Duration::from_millis(20);

/// Says how events are gathered and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Events that are kept. Default 100,000.
    pub rows: u64,
    /// Events in one transaction. Default 256.
    pub batch: u32,
    /// How long one waits for others. Default 1 s.
    pub wait: Duration,
}

impl Config {
    /// 100,000 events, in batches of 256 that wait for a second at most.
    pub const DEFAULT: Self = Self { rows: 100_000, batch: 256, wait: Duration::from_secs(1) };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.rows == 0 || self.rows > 1 << 30 {
            return Err(format!("`rows` is {}; it must be from 1 to {}", self.rows, 1 << 30));
        }
        if self.batch == 0 || self.batch as usize > WAITING {
            return Err(format!("`batch` is {}; it must be from 1 to {WAITING}", self.batch));
        }
        Ok(())
    }

    fn machine(&self) -> batch::Config {
        batch::Config {
            batch: machine::Config { max_items: Some(self.batch), max_bytes: None, max_wait: Some(self.wait) },
            queue: WAITING,
            // A lock that somebody holds is gone soon; a disk that is full is not, and others want to be written too.
            retry: retry::Config {
                max_attempts: Attempts::Limited(2),
                initial_delay: Duration::from_millis(20),
                ..retry::Config::DEFAULT
            },
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    at: UnixTime,
    kind: &'static str,
    /// Of the config or of a list.
    name: Cow<'static, str>,
    outcome: &'static str,
    took: Duration,
}

type Name = (String, String, String);

/// Records events; clones write to the same file.
#[derive(Clone)]
pub struct Events {
    sender: Sender<Event>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lost: AtomicU64,
    rows: AtomicU64,
    /// As committed.
    totals: Mutex<BTreeMap<Name, u64>>,
}

impl Shared {
    fn totals(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, u64>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often something has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// `request`, `command`, `model`, `login`.
    pub kind: String,
    /// The route, the program, the upstream.
    pub name: String,
    /// How it ended.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

/// Shows what was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Events that are kept.
    pub rows: u64,
    /// Events that were not recorded.
    pub lost: u64,
    /// All counts, the highest first.
    pub totals: Vec<Total>,
    /// The batches.
    pub batches: batch::Snapshot,
}

/// Ends the thread, once everything is written.
pub struct Writer(Batching);

impl Writer {
    /// Writes what waits. Whoever records after this is refused, and counted.
    pub async fn close(self) {
        self.0.close().await;
    }
}

/// Opens the file at `path` and starts its thread.
///
/// # Errors
/// SQLite's; no thread to be had.
pub fn open(path: &Path, config: Config) -> Result<(Events, Writer), Error> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(StdDuration::from_secs(2))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // An event is worth no wait for the disk; a batch is whole or not there.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    lay_out(&mut db)?;
    let shared = Arc::new(Shared::default());
    *shared.totals() = totals(&db)?;
    shared.rows.store(rows(&db)?, Ordering::Relaxed);
    let into = Arc::clone(&shared);
    let lost = Arc::clone(&shared);
    let (sender, batching) = Builder::new(config.machine())?
        .napping(NAP)
        .on_rejected(move |_| {
            lost.lost.fetch_add(1, Ordering::Relaxed);
        })
        .spawn_thread("events", move |events: &[Event]| {
            write(&mut db, events, config.rows, &into).inspect_err(|error| {
                tracing::warn!(%error, "{} events could not be written", events.len());
            })
        })?;
    Ok((Events { sender, shared }, Writer(batching)))
}

/// All counts of the file at `path`, the highest first; a server may be writing to it.
///
/// # Errors
/// SQLite's.
pub fn totals_at(path: &Path) -> Result<Vec<Total>, Error> {
    let db = Connection::open(path)?;
    db.busy_timeout(StdDuration::from_secs(2))?;
    Ok(named(&totals(&db)?))
}

/// A batch is a row, which costs a tenth of a row for each of its events; the view shows these.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS batches (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    events TEXT NOT NULL
) STRICT;
CREATE VIEW IF NOT EXISTS events AS SELECT first + key AS number, value->>0 AS at_ms, value->>1 AS kind, value->>2 AS name,
    value->>3 AS outcome, value->>4 AS took_us FROM batches, json_each(batches.events);
CREATE TABLE IF NOT EXISTS totals (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, name, outcome)
) STRICT, WITHOUT ROWID;";

/// Makes what is not there yet, and batches of the events that an earlier program kept in a table.
fn lay_out(db: &mut Connection) -> Result<(), rusqlite::Error> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old = change.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'events'")?.exists([])?;
    if old {
        change.execute_batch("ALTER TABLE events RENAME TO old")?;
    }
    change.execute_batch(SCHEMA)?;
    if old {
        change.execute_batch(
            "INSERT INTO batches SELECT max(number), min(number),
                 json_group_array(json_array(at_ms, kind, name, outcome, took_us) ORDER BY number)
             FROM old GROUP BY number / 256;
             DROP TABLE old",
        )?;
    }
    change.commit()
}

fn totals(db: &Connection) -> Result<BTreeMap<Name, u64>, rusqlite::Error> {
    let mut statement = db.prepare("SELECT kind, name, outcome, count FROM totals")?;
    let rows = statement
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, i64>(3)?.unsigned_abs())))?;
    rows.collect()
}

/// Writes one batch, all or nothing of it.
fn write(db: &mut Connection, events: &[Event], keep: u64, shared: &Shared) -> Result<(), rusqlite::Error> {
    let mut sums: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    let mut told = Vec::with_capacity(events.len());
    for Event { at, kind, name, outcome, took } in events {
        told.push((at.as_millis(), kind, name, outcome, took.as_micros()));
        *sums.entry((kind, name.as_ref(), outcome)).or_default() += 1;
    }
    let told = serde_json::to_string(&told).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let batch = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = batch.prepare_cached(
            "INSERT INTO batches SELECT before + ?1, before + 1, ?2
             FROM (SELECT coalesce(max(last), 0) AS before FROM batches)",
        )?;
        insert.execute(params![whole(events.len() as u64), told])?;
        let mut add = batch.prepare_cached(
            "INSERT INTO totals VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, name, outcome) DO UPDATE SET count = count + excluded.count",
        )?;
        for ((kind, name, outcome), count) in &sums {
            add.execute(params![kind, name, outcome, whole(*count)])?;
        }
        let mut forget =
            batch.prepare_cached("DELETE FROM batches WHERE last <= (SELECT max(last) FROM batches) - ?1")?;
        forget.execute([whole(keep)])?;
    }
    batch.commit()?;
    // It is committed: what fails from here on fails for the dashboard alone.
    if let Ok(rows) = rows(db) {
        shared.rows.store(rows, Ordering::Relaxed);
    }
    let mut totals = shared.totals();
    for ((kind, name, outcome), count) in sums {
        *totals.entry((kind.to_owned(), name.to_owned(), outcome.to_owned())).or_default() += count;
    }
    Ok(())
}

/// Events that are kept: their numbers follow each other, and the lowest go first.
fn rows(db: &Connection) -> Result<u64, rusqlite::Error> {
    // Each end by itself is one step into the table; both in one question would be a walk through all of it.
    let ends = "SELECT coalesce((SELECT last FROM batches ORDER BY last DESC LIMIT 1)
        - (SELECT first FROM batches ORDER BY last LIMIT 1) + 1, 0)";
    db.prepare_cached(ends)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn named(totals: &BTreeMap<Name, u64>) -> Vec<Total> {
    let one = |((kind, name, outcome), count): (&Name, &u64)| Total {
        kind: kind.clone(),
        name: name.clone(),
        outcome: outcome.clone(),
        count: *count,
    };
    let mut totals: Vec<Total> = totals.iter().map(one).collect();
    totals.sort_by_key(|total| Reverse(total.count));
    totals
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Events {
    /// Records that `name` happened, how it ended and how long it took. Never waits.
    pub fn record(
        &self,
        kind: &'static str,
        name: impl Into<Cow<'static, str>>,
        outcome: &'static str,
        took: Duration,
    ) {
        let at = SystemWallClock.unix_now().unwrap_or(UnixTime::from_secs(0));
        if self.sender.try_send(Event { at, kind, name: name.into(), outcome, took }).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was recorded.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let totals = named(&self.shared.totals());
        Snapshot {
            rows: self.shared.rows.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            totals,
            batches: self.sender.snapshot(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicU32;

    struct File(PathBuf);

    impl File {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("events-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp").join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn open(&self, config: Config) -> (Events, Writer) {
            open(&self.0.join("events.db"), config).unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn three(events: &Events) {
        events.record("command", "uname", "success", Duration::from_millis(3));
        events.record("command", "uname", "success", Duration::from_millis(4));
        events.record("login", "login", "failure", Duration::ZERO);
    }

    #[tokio::test]
    async fn rule_2_what_waits_at_the_end_is_written_in_one_batch() {
        let file = File::new();
        let (events, writer) = file.open(Config { wait: Duration::from_secs(3_600), ..Config::DEFAULT });
        three(&events);
        writer.close().await;
        let shown = events.snapshot();
        assert_eq!((shown.rows, shown.lost, shown.batches.delivered), (3, 0, 3));
        assert_eq!(shown.batches.batches.by_flush, 1);
        let first = Total { kind: "command".into(), name: "uname".into(), outcome: "success".into(), count: 2 };
        assert_eq!((shown.totals.len(), &shown.totals[0]), (2, &first));
        // Rule 1: nobody is there to take another one.
        three(&events);
        assert_eq!(events.snapshot().lost, 3);
    }

    #[tokio::test]
    async fn rule_3_the_latest_are_kept_and_the_counts_outlive_them_and_the_server() {
        let file = File::new();
        let config = Config { rows: 2, batch: 1, ..Config::DEFAULT };
        for round in 1..=3 {
            let (events, writer) = file.open(config);
            three(&events);
            writer.close().await;
            let shown = events.snapshot();
            assert_eq!((shown.rows, shown.totals[0].count, shown.totals[1].count), (2, 2 * round, round));
        }
        let db = Connection::open(file.0.join("events.db")).unwrap();
        let told: (String, i64) = db
            .query_row("SELECT kind, took_us FROM events ORDER BY number LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(told, ("command".to_owned(), 4_000));
    }

    #[tokio::test]
    async fn the_events_of_an_earlier_program_stay_and_are_seen_as_before() {
        let file = File::new();
        let old = Connection::open(file.0.join("events.db")).unwrap();
        old.execute_batch(
            "CREATE TABLE events (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
                 name TEXT NOT NULL, outcome TEXT NOT NULL, took_us INTEGER NOT NULL) STRICT;
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)
             INSERT INTO events SELECT n + 10, n * 1000, 'login', 'a\"b', 'success', n FROM n",
        )
        .unwrap();
        drop(old);
        for rows in [600, 603] {
            let (events, writer) = file.open(Config::DEFAULT);
            assert_eq!(events.snapshot().rows, rows);
            three(&events);
            writer.close().await;
        }
        let db = Connection::open(file.0.join("events.db")).unwrap();
        let seen = "SELECT count(*), count(DISTINCT number), min(number), max(number), sum(took_us = number - 10),
            sum(name = 'a\"b' AND at_ms = 1000 * took_us) FROM events";
        let seen: [i64; 6] = db
            .query_row(seen, [], |row| {
                let mut all = [0; 6];
                for (column, figure) in all.iter_mut().enumerate() {
                    *figure = row.get(column)?;
                }
                Ok(all)
            })
            .unwrap();
        assert_eq!(seen, [606, 606, 11, 616, 600, 600]);
    }

    #[tokio::test]
    async fn rule_1_a_disk_that_refuses_loses_events_and_nothing_else() {
        let file = File::new();
        let (events, writer) = file.open(Config { batch: 3, ..Config::DEFAULT });
        Connection::open(file.0.join("events.db")).unwrap().execute_batch("DROP TABLE totals").unwrap();
        three(&events);
        writer.close().await;
        let shown = events.snapshot();
        assert_eq!((shown.lost, shown.batches.rejected, shown.rows, shown.totals.len()), (3, 3, 0, 0));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let wrong = |config: Config| config.validate().unwrap_err();
        assert_eq!(Config::DEFAULT.validate(), Ok(()));
        assert!(wrong(Config { rows: 0, ..Config::DEFAULT }).contains("`rows`"));
        assert!(wrong(Config { batch: 0, ..Config::DEFAULT }).contains("`batch`"));
    }
}
