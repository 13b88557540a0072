//! The history: its rules, a naive model beside it, and everything that can happen to its file.

use std::fs;
use std::path::Path;

use daur_core::time::{Duration, UnixTime};
use daur_std::error::Error;
use daur_std::monitoring::history::{Config, History, MAX_NAME, Series, Snapshot, Step, Tier};
use proptest::prelude::*;
use rusqlite::{Connection, TransactionBehavior};

use crate::adapters::folder::Folder;

/// A multiple of every step.
const NOW: u64 = 1_800_000_000;

fn open(folder: &Folder) -> History {
    History::open(folder.file(), Config::DEFAULT).unwrap()
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn steps(series: &Series, name: &str) -> Vec<Option<Step>> {
    series.series[name].clone()
}

fn counts(snapshot: &Snapshot) -> (u64, u64, u64, u64) {
    let Snapshot { offered, written, waiting, lost, refused, .. } = *snapshot;
    assert_eq!(offered, written + waiting + lost + refused, "{snapshot:?}");
    (written, waiting, lost, refused)
}

#[test]
fn rule_1_a_spike_of_one_second_is_in_every_tier() {
    let folder = Folder::new("history", "spike");
    let history = open(&folder);
    for second in 0..600 {
        history.append(at(NOW + second), &[("cpu", if second == 123 { 990.0 } else { 10.0 })]);
    }
    for (points, step_ms) in [(601, 1_000), (61, 10_000), (11, 60_000), (2, 600_000)] {
        let shown = history.query(&["cpu"], at(NOW), at(NOW + 600), points).unwrap();
        assert_eq!((shown.step_ms, shown.complete), (step_ms, true));
        let cpu = steps(&shown, "cpu");
        assert_eq!(cpu.len() as u64, 600_000 / step_ms);
        let spike = cpu[(123_000 / step_ms) as usize].unwrap();
        assert_eq!((spike.min, spike.max), (if step_ms == 1_000 { 990.0 } else { 10.0 }, 990.0));
        let count = step_ms / 1_000;
        let mean = (980.0 + 10.0 * count as f64) / count as f64;
        assert!((spike.mean - mean).abs() < 1e-9 && spike.count == count, "{spike:?}");
        assert_eq!(cpu.iter().flatten().filter(|step| step.max > 10.0).count(), 1);
    }
}

const SMALL: Config = Config {
    tiers: [
        Tier::new(Duration::from_secs(1), Duration::from_secs(5)),
        Tier::new(Duration::from_secs(2), Duration::from_secs(12)),
        Tier::new(Duration::from_secs(6), Duration::from_secs(60)),
        Tier::new(Duration::from_secs(30), Duration::from_secs(300)),
    ],
    max_series: 3,
    ..Config::DEFAULT
};

#[test]
fn rule_1_the_mean_of_equal_values_is_their_value() {
    let folder = Folder::new("history", "equal");
    let history = open(&folder);
    let values = [0.1, 70.3, 1.0 / 3.0, -5.0, f64::MAX, -f64::MAX, f64::MIN_POSITIVE];
    let names: Vec<String> = values.iter().map(|value| format!("{value:e}")).collect();
    let together: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    for second in 0..61 {
        history.append(at(NOW + second), &together);
        // Each is added to what the file has.
        history.flush();
    }
    for points in [62, 8, 2] {
        let shown = history.query(&[], at(NOW), at(NOW + 61), points).unwrap();
        assert!(shown.series.is_empty());
        for (name, value) in &together {
            let shown = history.query(&[name], at(NOW), at(NOW + 61), points).unwrap();
            for step in steps(&shown, name).into_iter().take((61_000 / shown.step_ms) as usize) {
                let step = step.expect("no gap");
                assert_eq!((step.min, step.mean, step.max), (*value, *value, *value));
            }
        }
    }
}

#[test]
fn rule_2_no_jump_of_the_clock_takes_more_rows_than_it_adds() {
    let folder = Folder::new("history", "jump");
    let history = History::open(folder.file(), SMALL).unwrap();
    for second in 0..300 {
        history.append(at(NOW + second), &[("v", second as f64)]);
        history.flush();
    }
    let last = |points| {
        let shown = history.query(&["v"], at(NOW + 295), at(NOW + 300), points).unwrap();
        (shown.step_ms, steps(&shown, "v").iter().flatten().map(|step| step.max).collect::<Vec<_>>())
    };
    let before = last(6);
    assert_eq!(before, (1_000, vec![295.0, 296.0, 297.0, 298.0, 299.0]));
    let rows = history.snapshot().rows;
    // For two seconds the clock says 2099 and then 1970.
    history.append(at(4_070_908_800), &[("v", -1.0)]);
    history.flush();
    history.append(at(3), &[("v", -2.0)]);
    history.flush();
    // Back again: what was strange goes first, and what was there is there.
    for second in 300..303 {
        history.append(at(NOW + second), &[("v", second as f64)]);
        history.flush();
    }
    let shown = history.query(&["v"], at(NOW + 298), at(NOW + 303), 6).unwrap();
    let values: Vec<_> = steps(&shown, "v").iter().flatten().map(|step| step.max).collect();
    assert_eq!((shown.step_ms, values), (1_000, vec![298.0, 299.0, 300.0, 301.0, 302.0]));
    assert!(history.snapshot().rows <= SMALL.max_rows() && history.snapshot().rows >= rows - 1);
    let day = history.query(&["v"], at(NOW), at(NOW + 303), 12).unwrap();
    assert_eq!(day.step_ms, 30_000);
    assert_eq!(steps(&day, "v").iter().flatten().map(|step| step.count).sum::<u64>(), 303, "not one was lost");
}

#[test]
fn rule_3_a_gap_stays_a_gap_in_each_tier() {
    let folder = Folder::new("history", "gap");
    let history = open(&folder);
    for second in (0..60).chain(240..300) {
        history.append(at(NOW + second), &[("v", 1.0)]);
    }
    history.append(at(NOW), &[("other", 0.0)]);
    for points in [301, 31, 6] {
        let shown = history.query(&["v", "other", "never"], at(NOW), at(NOW + 300), points).unwrap();
        let per_minute = (60_000 / shown.step_ms) as usize;
        for (place, step) in steps(&shown, "v").iter().enumerate() {
            let gap = (per_minute..4 * per_minute).contains(&place);
            assert_eq!(step.is_none(), gap, "{place} of {points}");
        }
        assert_eq!(steps(&shown, "other").iter().flatten().count(), 1);
        assert_eq!(steps(&shown, "other")[0].unwrap().mean, 0.0, "a zero that was appended is no gap");
        assert!(steps(&shown, "never").iter().all(Option::is_none));
    }
}

#[test]
fn rule_4_a_question_that_makes_no_sense_is_refused_by_name() {
    let folder = Folder::new("history", "question");
    let history = open(&folder);
    let wrong = |names: &[&str], from, to, points| match history.query(names, at(from), at(to), points) {
        Err(Error::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(&["v"], 0, 1, 0), "points");
    assert_eq!(wrong(&["v"], 0, 1, 4_097), "points");
    assert_eq!(wrong(&["v"], 1, 1, 5), "from");
    assert_eq!(wrong(&["v"], 2, 1, 5), "from");
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(wrong(&many, 0, 1, 5), "names");
    // The whole of time is a question like others.
    let all = history.query(&["v"], UnixTime::from_millis(0), UnixTime::from_millis(u64::MAX), 4_096).unwrap();
    assert!(all.complete && all.t.len() <= 4_096);
}

#[test]
fn rule_5_what_is_no_value_is_refused_and_counted() {
    let folder = Folder::new("history", "refused");
    let history = open(&folder);
    let (fits, long) = ("n".repeat(MAX_NAME), "n".repeat(MAX_NAME + 1));
    let values =
        [("a", f64::NAN), ("a", f64::INFINITY), ("a", f64::NEG_INFINITY), ("", 1.0), (&long, 1.0), (&fits, f64::MAX)];
    history.append(at(NOW), &values);
    history.append(at(NOW), &[] as &[(&str, f64)]);
    history.flush();
    assert_eq!(counts(&history.snapshot()), (1, 0, 0, 5));
    assert_eq!(history.names(), [fits]);
}

#[test]
fn rule_5_the_figures_of_many_threads_add_up() {
    let folder = Folder::new("history", "threads");
    let history = open(&folder);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let history = &history;
            scope.spawn(move || {
                for second in 0..500 {
                    history.append(at(NOW + second), &[(format!("thread {thread}"), 1.0), ("all".into(), 1.0)]);
                }
            });
        }
        // At every moment, and nothing that was offered is gone.
        let mut before = 0;
        while before < 8_000 {
            let snapshot = history.snapshot();
            counts(&snapshot);
            assert!(snapshot.offered >= before, "{snapshot:?}");
            before = snapshot.offered;
        }
    });
    history.flush();
    let snapshot = history.snapshot();
    let (written, waiting, lost, refused) = counts(&snapshot);
    assert_eq!((snapshot.offered, waiting, lost, refused), (8_000, 0, 0, 0));
    assert_eq!((written, snapshot.series), (8_000, 9));
    let shown = history.query(&["all"], at(NOW), at(NOW + 500), 1).unwrap();
    assert_eq!(steps(&shown, "all")[0].unwrap().count, 4_000);
}

#[test]
fn rule_6_a_new_series_takes_the_place_of_one_that_is_no_longer_told() {
    let folder = Folder::new("history", "series");
    let history = History::open(folder.file(), SMALL).unwrap();
    for (second, name) in ["a", "b", "c", "a"].into_iter().enumerate() {
        history.append(at(NOW + second as u64), &[(name, 1.0)]);
        history.flush();
    }
    // All three had a value since it was opened.
    history.append(at(NOW + 9), &[("d", 1.0), ("a", 1.0)]);
    history.flush();
    assert_eq!(
        (history.names(), counts(&history.snapshot())),
        (vec!["a".into(), "b".into(), "c".into()], (5, 0, 0, 1))
    );
    drop(history);
    // After a restart `b` has gone longest without one; `c` comes again and is safe.
    let history = History::open(folder.file(), SMALL).unwrap();
    history.append(at(NOW + 10), &[("c", 1.0), ("d", 1.0)]);
    history.flush();
    assert_eq!(history.names(), ["a", "c", "d"]);
    let gone = history.query(&["b"], at(NOW), at(NOW + 60), 10).unwrap();
    assert!(steps(&gone, "b").iter().all(Option::is_none));
    // What comes again begins anew.
    history.append(at(NOW + 11), &[("b", 7.0)]);
    history.flush();
    assert_eq!(history.names(), ["b", "c", "d"]);
    let back = history.query(&["b"], at(NOW), at(NOW + 60), 10).unwrap();
    assert_eq!(steps(&back, "b").iter().flatten().map(|step| step.count).sum::<u64>(), 1);
}

#[test]
fn a_restart_keeps_the_charts_and_another_config_those_of_its_tiers() {
    let folder = Folder::new("history", "restart");
    let history = open(&folder);
    for second in 0..120 {
        history.append(at(NOW + second), &[("v", second as f64)]);
    }
    let before = history.query(&["v"], at(NOW), at(NOW + 120), 300).unwrap();
    let closed = history.close();
    assert_eq!(counts(&closed), (120, 0, 0, 0));

    let history = open(&folder);
    assert_eq!(history.query(&["v"], at(NOW), at(NOW + 120), 300).unwrap(), before);
    // The step under way goes on where it was.
    history.append(at(NOW + 119), &[("v", 1_000.0)]);
    let last = history.query(&["v"], at(NOW + 119), at(NOW + 120), 2).unwrap();
    assert_eq!(steps(&last, "v")[0], Some(Step { count: 2, mean: 559.5, min: 119.0, max: 1_000.0 }));
    drop(history);

    let mut other = Config::DEFAULT;
    other.tiers[0] = Tier::new(Duration::from_secs(2), Duration::from_secs(600));
    let history = History::open(folder.file(), other).unwrap();
    let shown = history.query(&["v"], at(NOW), at(NOW + 120), 300).unwrap();
    assert!(shown.step_ms == 2_000 && steps(&shown, "v").iter().all(Option::is_none), "there are none of two seconds");
    let shown = history.query(&["v"], at(NOW), at(NOW + 120), 13).unwrap();
    assert_eq!((shown.step_ms, steps(&shown, "v").iter().flatten().count()), (10_000, 12));
}

#[test]
fn rule_2_a_smaller_config_keeps_the_latest_of_a_larger_one() {
    let folder = Folder::new("history", "smaller");
    let names: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
    let mut keep = 3_000;
    let tiers = SMALL.tiers.map(|tier| {
        keep += 60;
        Tier::new(tier.step, Duration::from_secs(keep))
    });
    let history = History::open(folder.file(), Config { tiers, max_series: 9, ..SMALL }).unwrap();
    for second in 0..400 {
        let values: Vec<_> = names.iter().map(|name| (name.as_str(), second as f64)).collect();
        history.append(at(NOW + second), &values);
    }
    for name in &names {
        history.append(at(NOW + 400), &[(name.as_str(), 400.0)]);
        history.flush();
    }
    assert!(history.close().rows > SMALL.max_rows());

    let history = History::open(folder.file(), SMALL).unwrap();
    let snapshot = history.snapshot();
    assert_eq!((history.names(), snapshot.series), (vec!["s6".into(), "s7".into(), "s8".into()], 3));
    assert!(snapshot.rows <= SMALL.max_rows() && snapshot.bytes <= SMALL.max_bytes(), "{snapshot:?}");
    let shown = history.query(&["s8"], at(NOW + 396), at(NOW + 401), 6).unwrap();
    let values: Vec<_> = steps(&shown, "s8").iter().flatten().map(|step| step.max).collect();
    assert_eq!((shown.step_ms, values), (1_000, vec![396.0, 397.0, 398.0, 399.0, 400.0]));
    history.append(at(NOW + 401), &[("s8", 401.0)]);
    history.flush();
    assert_eq!(counts(&history.snapshot()), (1, 0, 0, 0));
}

#[test]
fn rule_7_a_lock_held_elsewhere_makes_values_wait_and_then_lost_and_nobody_slow() {
    let folder = Folder::new("history", "locked");
    let config = Config { queue: 100, busy_timeout: Duration::from_millis(1), ..Config::DEFAULT };
    let history = History::open(folder.file(), config).unwrap();
    history.append(at(NOW), &[("v", 1.0)]);
    history.flush();
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    for second in 1..=150 {
        history.append(at(NOW + second), &[("v", 1.0)]);
    }
    history.flush();
    assert_eq!(counts(&history.snapshot()), (1, 100, 50, 0));
    let shown = history.query(&["v"], at(NOW), at(NOW + 200), 1).unwrap();
    assert!(shown.complete && steps(&shown, "v")[0].unwrap().count == 1, "it can be read meanwhile");
    drop(lock);
    history.flush();
    assert_eq!(counts(&history.snapshot()), (101, 0, 50, 0));
    let shown = history.query(&["v"], at(NOW), at(NOW + 200), 1).unwrap();
    assert_eq!(steps(&shown, "v")[0].unwrap().count, 101);
}

#[test]
fn rule_7_a_file_locked_at_the_start_is_waited_for() {
    let folder = Folder::new("history", "locked-start");
    drop(open(&folder));
    let other = Connection::open(folder.file()).unwrap();
    other.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let config = Config { busy_timeout: Duration::from_millis(1), ..Config::DEFAULT };
    let history = History::open(folder.file(), config).unwrap();
    history.append(at(NOW), &[("v", 1.0)]);
    history.flush();
    assert!(!history.snapshot().up);
    let shown = history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap();
    assert!(!shown.complete && steps(&shown, "v").iter().all(Option::is_none));
    drop(other);
    let shown = history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap();
    assert!(shown.complete && steps(&shown, "v")[0].is_some());
    assert_eq!((history.snapshot().up, folder.quarantined()), (true, 0));
}

fn with_a_damaged_file(name: &str, damage: impl FnOnce(&Path)) {
    let folder = Folder::new("history", name);
    let history = open(&folder);
    history.append(at(NOW), &[("v", 1.0)]);
    drop(history);
    damage(&folder.file());
    let history = open(&folder);
    history.append(at(NOW + 1), &[("v", 2.0)]);
    let shown = history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap();
    assert_eq!(steps(&shown, "v").iter().flatten().count(), 1);
    assert_eq!((folder.quarantined(), counts(&history.snapshot())), (1, (1, 0, 0, 0)));
}

#[test]
fn rule_7_a_damaged_file_goes_into_quarantine() {
    with_a_damaged_file("garbage", |file| fs::write(file, [7; 9_000]).unwrap());
    with_a_damaged_file("zeros", |file| fs::write(file, [0; 9_000]).unwrap());
    with_a_damaged_file("empty", |file| fs::write(file, []).unwrap());
    with_a_damaged_file("half", |file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    });
    with_a_damaged_file("tables", |file| {
        let other = Connection::open(file).unwrap();
        other.execute_batch("DROP TABLE points; CREATE TABLE points (other TEXT)").unwrap();
    });
}

#[test]
fn rule_7_damage_under_the_running_history_costs_what_was_and_not_what_comes() {
    let folder = Folder::new("history", "damage");
    let history = open(&folder);
    for second in 0..500 {
        history.append(at(NOW + second), &[("v", 1.0), ("w", 1.0)]);
    }
    history.flush();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("DROP TABLE points").unwrap();
    drop(other);
    history.append(at(NOW + 500), &[("v", 2.0)]);
    let shown = history.query(&["v"], at(NOW), at(NOW + 501), 1).unwrap();
    assert_eq!(steps(&shown, "v")[0].unwrap().count, 1);
    let snapshot = history.snapshot();
    assert_eq!((counts(&snapshot), snapshot.quarantined, folder.quarantined()), ((1_001, 0, 0, 0), 1, 1));
}

#[test]
fn rule_7_a_deleted_file_is_made_anew() {
    let folder = Folder::new("history", "deleted");
    let history = open(&folder);
    history.append(at(NOW), &[("v", 1.0)]);
    history.flush();
    // The file last: what is made anew when it is missed keeps its own log.
    for suffix in ["-wal", "-shm", ""] {
        let _ = fs::remove_file(folder.path.join(format!("history.db{suffix}")));
    }
    history.append(at(NOW + 1), &[("v", 2.0)]);
    let shown = history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap();
    assert_eq!(steps(&shown, "v").iter().flatten().count(), 1);
    assert!(folder.file().exists());
    // The folder too, and later it is there again.
    drop(fs::rename(&folder.path, folder.path.with_extension("gone")));
    history.append(at(NOW + 2), &[("v", 3.0)]);
    history.flush();
    assert_eq!((history.snapshot().up, history.snapshot().waiting), (false, 1));
    fs::rename(folder.path.with_extension("gone"), &folder.path).unwrap();
    history.flush();
    let shown = history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap();
    assert_eq!((steps(&shown, "v").iter().flatten().count(), counts(&history.snapshot()).0), (2, 3));
}

#[test]
fn rule_7_a_database_that_somebody_puts_in_its_place_is_not_overlaid_with_the_log() {
    let folder = Folder::new("history", "replaced");
    let history = open(&folder);
    history.append(at(NOW), &[("v", 1.0)]);
    history.flush();
    let other = folder.path.join("other.db");
    let theirs = Connection::open(&other).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (7)").unwrap();
    drop(theirs);
    fs::rename(&other, folder.file()).unwrap();
    history.append(at(NOW + 1), &[("v", 2.0)]);
    history.flush();
    assert_eq!((counts(&history.snapshot()), history.snapshot().up), ((1, 1, 0, 0), false));
    drop(history);
    let theirs = Connection::open(folder.file()).unwrap();
    assert_eq!(theirs.query_row("SELECT x FROM theirs", [], |row| row.get::<_, i64>(0)), Ok(7));
    assert_eq!(folder.quarantined(), 0);
}

#[test]
fn rule_7_a_database_of_another_program_is_refused_and_left_alone() {
    let folder = Folder::new("history", "foreign");
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let before = fs::read(folder.file()).unwrap();
    assert!(matches!(History::open(folder.file(), Config::DEFAULT), Err(Error::Store { .. })));
    assert_eq!((fs::read(folder.file()).unwrap(), folder.quarantined()), (before, 0));
    // As is a place where nothing can be created.
    assert!(History::open(folder.path.join("nowhere/history.db"), Config::DEFAULT).is_err());
}

#[test]
fn the_file_stays_within_its_bound_when_every_row_is_there() {
    let folder = Folder::new("history", "bound");
    let config = Config { max_series: 16, queue: 1 << 20, ..SMALL };
    let config = Config {
        tiers: config.tiers.map(|tier| Tier::new(tier.step, Duration::from_secs(tier.keep.as_secs() * 10))),
        ..config
    };
    let history = History::open(folder.file(), config).unwrap();
    let names: Vec<String> = (0..16).map(|n| format!("{n:0>64}")).collect();
    for second in 0..4_000 {
        let values: Vec<_> = names.iter().map(|name| (name.as_str(), second as f64 / 7.0)).collect();
        history.append(at(NOW + second), &values);
    }
    history.flush();
    let snapshot = history.snapshot();
    assert_eq!((snapshot.rows, counts(&snapshot)), (config.max_rows(), (64_000, 0, 0, 0)));
    assert!(snapshot.bytes <= config.max_bytes(), "{snapshot:?}");
    assert!(fs::metadata(folder.file()).unwrap().len() <= config.max_bytes());
}

#[test]
fn a_config_that_cannot_be_is_named() {
    let field = |config: Config| match config.validate() {
        Err(Error::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert!(Config::DEFAULT.validate().is_ok());
    assert_eq!(Config::DEFAULT.max_bytes() / 100_000, 704, "as its cost says");
    let tier = |at: usize, step: Duration, keep: u64| {
        let mut config = Config::DEFAULT;
        config.tiers[at] = Tier::new(step, Duration::from_secs(keep));
        config
    };
    assert_eq!(field(tier(0, Duration::ZERO, 600)), "tiers");
    assert_eq!(field(tier(0, Duration::from_micros(1_500), 600)), "tiers");
    assert_eq!(field(tier(0, Duration::from_secs(1), 0)), "tiers");
    assert_eq!(field(tier(1, Duration::from_secs(1), 21_600)), "tiers");
    assert_eq!(field(tier(1, Duration::from_millis(1_500), 21_600)), "tiers");
    assert_eq!(field(tier(1, Duration::from_secs(10), 600)), "tiers");
    assert_eq!(field(tier(3, Duration::from_secs(600), 1 << 40)), "tiers");
    assert_eq!(field(Config { max_series: 0, ..Config::DEFAULT }), "max_series");
    assert_eq!(field(Config { max_series: u16::MAX, ..Config::DEFAULT }), "max_series");
    assert_eq!(field(Config { queue: 0, ..Config::DEFAULT }), "queue");
    assert_eq!(field(Config { busy_timeout: Duration::MAX, ..Config::DEFAULT }), "busy_timeout");
}

#[tokio::test]
async fn a_task_asks_without_blocking_and_may_give_up() {
    let folder = Folder::new("history", "async");
    let history = open(&folder);
    history.append(at(NOW), &[("v", 1.0)]);
    drop(history.query_async(&["v"], at(NOW), at(NOW + 10), 10));
    let shown = history.query_async(&["v"], at(NOW), at(NOW + 10), 10).await.unwrap();
    assert_eq!(shown, history.query(&["v"], at(NOW), at(NOW + 10), 10).unwrap());
    assert_eq!(steps(&shown, "v")[0], Some(Step { count: 1, mean: 1.0, min: 1.0, max: 1.0 }));
}

/// All that was appended in a step.
fn naive(values: &[(u64, f64)], from: u64, step: u64) -> Option<(u64, f64, f64, f64)> {
    let inside = || values.iter().filter(|(at, _)| (from..from + step).contains(at)).map(|(_, value)| *value);
    let count = inside().count();
    let min = inside().fold(f64::INFINITY, f64::min);
    let max = inside().fold(f64::NEG_INFINITY, f64::max);
    (count > 0).then(|| (count as u64, inside().sum::<f64>() / count as f64, min, max))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With a clock that goes forward, every answer is what thinning all values by hand gives.
    #[test]
    fn an_answer_is_what_thinning_by_hand_gives(
        pauses in prop::collection::vec((0..4_000_u64, -50..50_i32), 1..200),
        questions in prop::collection::vec((0..330_000_u64, 1..330_000_u64, 1..40_usize), 1..12),
        restart in any::<bool>(),
        case in any::<u64>(),
    ) {
        let folder = Folder::new("history", &format!("model-{case}"));
        let mut history = History::open(folder.file(), SMALL).unwrap();
        let mut now = NOW * 1_000;
        let mut values = Vec::new();
        for (pause, value) in pauses {
            now += pause;
            values.push((now, f64::from(value)));
            history.append(UnixTime::from_millis(now), &[("v", f64::from(value))]);
        }
        if restart {
            drop(history);
            history = History::open(folder.file(), SMALL).unwrap();
        }
        for (ago, long, points) in questions {
            // No farther back than the coarsest tier reaches.
            let from = now - ago.min(300_000);
            let shown = history.query(&["v"], UnixTime::from_millis(from), UnixTime::from_millis(from + long), points);
            let shown = shown.unwrap();
            prop_assert!(shown.complete && shown.t.len() <= points);
            prop_assert!(shown.from_ms <= from && shown.to_ms >= from + long);
            for (t, step) in shown.t.iter().zip(&shown.series["v"]) {
                // The first step may begin before what the tier still has.
                if *t >= from {
                    let expected = naive(&values, *t, shown.step_ms);
                    prop_assert_eq!(step.map(|step| (step.count, step.min, step.max)), expected.map(|e| (e.0, e.2, e.3)));
                    if let (Some(step), Some(expected)) = (step, expected) {
                        prop_assert!((step.mean - expected.1).abs() < 1e-9);
                    }
                }
            }
        }
    }

    /// With a clock that jumps both ways, nothing is shown that was not there, and every bound holds.
    #[test]
    fn whatever_the_clock_does_nothing_is_made_up_and_the_bounds_hold(
        values in prop::collection::vec((prop_oneof![0..400_000_u64, any::<u64>()], 0..3_usize, -9..9_i32), 1..150),
        case in any::<u64>(),
    ) {
        let folder = Folder::new("history", &format!("jumps-{case}"));
        let history = History::open(folder.file(), SMALL).unwrap();
        let names = ["a", "b", "c"];
        let mut all = vec![Vec::new(); 3];
        for (time, name, value) in &values {
            history.append(UnixTime::from_millis(*time), &[(names[*name], f64::from(*value))]);
            all[*name].push((*time, f64::from(*value)));
        }
        history.flush();
        let snapshot = history.snapshot();
        prop_assert_eq!(counts(&snapshot), (values.len() as u64, 0, 0, 0));
        prop_assert!(snapshot.rows <= SMALL.max_rows() && snapshot.bytes <= SMALL.max_bytes());
        let shown = history.query(&names, UnixTime::from_millis(0), UnixTime::from_millis(400_000), 40).unwrap();
        for (name, values) in names.iter().zip(&all) {
            for (t, step) in shown.t.iter().zip(&shown.series[*name]) {
                let Some(step) = step else { continue };
                let there = naive(values, *t, shown.step_ms);
                let there = there.is_some_and(|(count, _, min, max)| {
                    let ordered = [min, step.min, step.mean, step.max, max].is_sorted();
                    step.count <= count && ordered
                });
                prop_assert!(there, "{:?} at {}", step, t);
            }
        }
    }
}
