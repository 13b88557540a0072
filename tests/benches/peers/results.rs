//! The result cache beside plain SQLite through `rusqlite`, each set up as its documentation does.
//!
//! `rusqlite` alone: a table of keys, values and ends, statements prepared once. `as it comes` is what SQLite does by default: a rollback
//! journal and a sync at each commit; the others have the write-ahead log and a sync at checkpoints, as ours has.

use std::cell::Cell;
use std::hint::black_box;
use std::path::PathBuf;
use std::rc::Rc;

use daur_core::time::{Duration, UnixTime};
use daur_std::services::result_cache::{Config, Key, ResultCache, Stored};
use rusqlite::{Connection, OptionalExtension, params};

use crate::harness::{Options, Subject, compare, subject};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
/// Rows that are looked up: 20 MiB, so that neither has all of them among its own pages by default.
const ROWS: u64 = 4_096;
const LOOKUPS: u32 = 128;
const SETS: u32 = 8;
const BATCH: u32 = 512;

/// A folder that goes at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Rc<Self> {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-results-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder below target");
        Rc::new(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(i: u64) -> Key {
    Key::of([i.to_le_bytes()])
}

/// The next number, in no order that a page cache could learn.
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 32
}

fn ours(name: &str, config: Config, rows: u64, len: usize) -> (Rc<Folder>, Rc<ResultCache>) {
    let folder = Folder::new(name);
    let cache = ResultCache::open(folder.0.join("results.db"), config).expect("a file");
    for i in 0..rows {
        if cache.snapshot().queued_bytes > 4 << 20 {
            cache.flush();
        }
        cache.set_later(&key(i), &vec![1; len], MINUTE, NOW);
    }
    cache.flush();
    (folder, Rc::new(cache))
}

fn plain(name: &str, wal: bool, rows: u64, len: usize) -> (Rc<Folder>, Rc<Connection>) {
    let folder = Folder::new(name);
    let connection = Connection::open(folder.0.join("plain.db")).expect("a file");
    if wal {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).expect("a log");
        connection.pragma_update(None, "synchronous", "NORMAL").expect("a mode");
    }
    let table = "CREATE TABLE results (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL)";
    connection.execute_batch(table).expect("a table");
    connection.execute_batch("CREATE INDEX ends ON results (expires); BEGIN").expect("an index");
    (0..rows).for_each(|i| put(&connection, i, &vec![1; len]));
    connection.execute_batch("COMMIT").expect("written");
    (folder, Rc::new(connection))
}

fn put(connection: &Connection, i: u64, value: &[u8]) {
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO results VALUES (?1, ?2, ?3)").expect("a statement");
    insert.execute(params![&key(i)[..], value, 1_800_000_060_i64]).expect("written");
}

fn find(connection: &Connection, i: u64) -> Option<Vec<u8>> {
    let mut find =
        connection.prepare_cached("SELECT value FROM results WHERE key = ?1 AND expires > ?2").expect("a statement");
    find.query_row(params![&key(i)[..], 1_800_000_000_i64], |row| row.get(0)).optional().expect("read")
}

pub(crate) fn run(options: &Options) {
    hits(options, "result cache: hit of 4 KiB, 4,096 rows");
    single(options, "result cache: set of 200 bytes, each waited for");
    batched(options, "result cache: set of 200 bytes, queued");
}

fn hits(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let get = |label: &'static str, name: &str, config: Config| {
        let (folder, cache) = ours(name, config, ROWS, 4_096);
        let mut state = 1;
        subject(label, LOOKUPS, move || {
            let _kept = &folder;
            for _ in 0..LOOKUPS {
                assert!(black_box(cache.get(&key(step(&mut state) % ROWS), NOW)).is_some());
            }
        })
    };
    let peer = |label: &'static str, name: &str, wal: bool| {
        let (folder, connection) = plain(name, wal, ROWS, 4_096);
        let mut state = 1;
        subject(label, LOOKUPS, move || {
            let _kept = &folder;
            for _ in 0..LOOKUPS {
                assert!(black_box(find(&connection, step(&mut state) % ROWS)).is_some());
            }
        })
    };
    let subjects = vec![
        get("daur", "hit", Config::DEFAULT),
        get("daur (64 MiB of pages)", "hit-pages", Config { page_cache_bytes: 64 << 20, ..Config::DEFAULT }),
        get("daur (mapped)", "hit-mapped", Config { mmap_bytes: 64 << 20, ..Config::DEFAULT }),
        peer("rusqlite", "plain-hit", true),
        peer("rusqlite (as it comes)", "default-hit", false),
    ];
    compare(options, title, subjects);
}

/// Sets of new keys, from a number on that goes up.
fn sets(label: &'static str, many: u32, mut set: impl FnMut(std::ops::Range<u64>) + 'static) -> Subject {
    let next = Cell::new(1 << 32);
    subject(label, many, move || {
        let from = next.get();
        next.set(from + u64::from(many));
        set(from..from + u64::from(many));
    })
}

fn single(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let (folder, cache) = ours("set", Config::DEFAULT, 0, 0);
    let daur = sets("daur", SETS, move |numbers| {
        let _kept = &folder;
        for i in numbers {
            assert_eq!(cache.set(&key(i), &[1; 200], MINUTE, NOW), Stored::Yes);
        }
    });
    let peer = |label: &'static str, name: &str, wal: bool| {
        let (folder, connection) = plain(name, wal, 0, 0);
        sets(label, SETS, move |numbers| {
            let _kept = &folder;
            numbers.for_each(|i| put(&connection, i, &[1; 200]));
        })
    };
    compare(
        options,
        title,
        vec![daur, peer("rusqlite", "plain-set", true), peer("rusqlite (as it comes)", "default-set", false)],
    );
}

fn batched(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let (folder, cache) = ours("queued", Config::DEFAULT, 0, 0);
    let daur = sets("daur", BATCH, move |numbers| {
        let _kept = &folder;
        numbers.for_each(|i| cache.set_later(&key(i), &[1; 200], MINUTE, NOW));
        cache.flush();
    });
    let (folder, connection) = plain("plain-row", true, 0, 0);
    let row = sets("rusqlite (a transaction a row)", BATCH, move |numbers| {
        let _kept = &folder;
        numbers.for_each(|i| put(&connection, i, &[1; 200]));
    });
    let (folder, connection) = plain("plain-batch", true, 0, 0);
    let batch = sets("rusqlite (a transaction for all)", BATCH, move |numbers| {
        let _kept = &folder;
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        numbers.for_each(|i| put(&connection, i, &[1; 200]));
        connection.execute_batch("COMMIT").expect("written");
    });
    // From 20.8 to 3.5 microseconds.
    compare(options, title, vec![daur, row.target(0.17), batch]);
}
