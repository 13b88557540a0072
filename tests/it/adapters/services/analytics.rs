//! Analytics on hosts: the rules, and everything that can happen to the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use daur_core::time::{Duration, UnixTime};
use daur_std::error::Error;
use daur_std::services::analytics::{
    Analytics, Config, MAX_FUNNELS, MAX_NAMES, OTHER, Report, Snapshot, analytics_collector, init,
};
use proptest::prelude::*;
use rusqlite::{Connection, TransactionBehavior};

use crate::adapters::folder::Folder;

const NOW: u64 = 1_800_000_000;

fn open(folder: &Folder) -> Analytics {
    Analytics::open(folder.file(), Config::DEFAULT).unwrap()
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn counts(snapshot: &Snapshot) -> (u64, u64, u64, u64) {
    let Snapshot { tracked, written, waiting, lost, refused, .. } = *snapshot;
    assert_eq!(tracked, written + waiting + lost + refused, "{snapshot:?}");
    (written, waiting, lost, refused)
}

#[test]
fn a_report_tells_counts_by_window_users_properties_and_funnels() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    analytics.add_funnel("open", "run", Duration::from_secs(60)).unwrap();
    analytics.add_funnel("open", "run", Duration::from_secs(60)).unwrap();
    let open = |user: &str, page: &str, secs| {
        analytics.track_event_at("open", &[("user", user), ("page", page)], at(secs));
    };
    open("alice", "/old", NOW - 8 * 86_400);
    open("alice", "/status", NOW - 2 * 86_400);
    open("bob", "/status", NOW - 7_200);
    open("alice", "/status", NOW - 100);
    analytics.track_event_at("run", &[("user", "alice")], at(NOW - 40));
    analytics.track_event_at("run", &[("user", "carol")], at(NOW - 30));
    open("carol", "/logs", NOW - 20);
    // Of the future, as a clock that was set back leaves them: in no window.
    open("dave", "/logs", NOW + 5);
    let report = analytics.report_at(at(NOW));
    assert!(report.complete);
    assert_eq!((report.total, report.kept, report.users), (8, 8, 4));
    assert_eq!((&report.in_windows[..], &report.users_in_windows[..]), (&[4, 5, 6][..], &[2, 3, 3][..]));
    let open = &report.events[0];
    assert_eq!((open.name.as_str(), open.total, &open.in_windows[..], open.users), ("open", 6, &[2, 3, 4][..], 4));
    assert_eq!((open.first_ms, open.last_ms), ((NOW - 8 * 86_400) * 1_000, (NOW + 5) * 1_000));
    assert_eq!((report.events[1].name.as_str(), report.events[1].users), ("run", 2));
    let properties: Vec<_> = report.properties.iter().map(|top| (top.value.as_str(), top.count)).collect();
    assert_eq!(properties, [("/status", 3), ("/logs", 2), ("/old", 1)]);
    let funnel = &report.funnels[0];
    assert_eq!((report.funnels.len(), funnel.entered, funnel.converted, funnel.expired), (1, 6, 1, 3));
    assert_eq!((funnel.waiting, funnel.forgotten), (2, 0));
}

#[test]
fn rule_1_and_5_a_lock_held_elsewhere_makes_events_wait_and_then_lost() {
    let folder = Folder::new("analytics", "locked");
    let config = Config { queue: 10, busy_timeout: Duration::from_millis(1), ..Config::DEFAULT };
    let analytics = Analytics::open(folder.file(), config).unwrap();
    analytics.track_event_at("open", &[], at(NOW));
    analytics.flush();
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    for _ in 0..15 {
        analytics.track_event_at("open", &[], at(NOW));
    }
    analytics.track_event_at("", &[], at(NOW));
    analytics.flush();
    assert_eq!(counts(&analytics.snapshot()), (1, 10, 5, 1));
    assert_eq!(analytics.report_at(at(NOW)).total, 1, "what waits is not counted yet");
    drop(lock);
    let report = analytics.report_at(at(NOW));
    assert_eq!((report.total, report.kept), (11, 11));
    assert_eq!(counts(&analytics.close()), (11, 0, 5, 1));
}

#[test]
fn rule_2_the_latest_rows_are_kept_and_none_beyond_their_age() {
    let folder = Folder::new("analytics", "rows");
    let config = Config { rows: 10, max_age: Duration::from_secs(100), ..Config::DEFAULT };
    let analytics = Analytics::open(folder.file(), config).unwrap();
    for second in 0..30 {
        analytics.track_event_at("open", &[("second", &second.to_string())], at(NOW + second));
    }
    let report = analytics.report_at(at(NOW + 30));
    assert_eq!((report.total, report.kept, analytics.snapshot().kept), (30, 10, 10));
    assert_eq!(report.properties.iter().map(|top| top.value.as_str()).min(), Some("20"), "their properties went too");
    // All of them are older than that by now.
    analytics.track_event_at("open", &[], at(NOW + 1_000));
    let report = analytics.report_at(at(NOW + 1_000));
    assert_eq!((report.total, report.kept, report.properties.len()), (31, 1, 0));
}

#[test]
fn rule_2_events_that_are_alike_to_the_millisecond_are_counted_and_kept_one_by_one() {
    let folder = Folder::new("analytics", "alike");
    let config = Config { rows: 100, ..Config::DEFAULT };
    let open = || Analytics::open(folder.file(), config).unwrap();
    let shown = |analytics: &Analytics, now| {
        let Report { total, kept, in_windows, properties, funnels, .. } = analytics.report_at(at(now));
        let properties: Vec<_> = properties.into_iter().map(|one| (one.value, one.count)).collect();
        (total, kept, in_windows[0], properties, funnels.first().map(|way| (way.entered, way.converted)))
    };
    let page = |name: &str| vec![(name.to_owned(), 40)];
    let mut analytics = open();
    analytics.add_funnel("open", "buy", Duration::from_secs(60)).unwrap();
    for n in 0..40 {
        analytics.track_event_at("open", &[("user", "alice"), ("page", "/a")], at(NOW + n / 20));
    }
    for user in ["alice", "alice", "bob"] {
        analytics.track_event_at("buy", &[("user", user)], at(NOW + 2));
    }
    let (_, _, _, _, way) = shown(&analytics, NOW + 3);
    let by_hand = Analytics::in_memory(config).unwrap();
    by_hand.add_funnel("open", "buy", Duration::from_secs(60)).unwrap();
    for n in 0..40 {
        // As above, and never alike.
        let no = n.to_string();
        by_hand.track_event_at("open", &[("user", "alice"), ("no", &no)], at(NOW + n / 20));
    }
    for (n, user) in ["alice", "alice", "bob"].into_iter().enumerate() {
        let no = n.to_string();
        by_hand.track_event_at("buy", &[("user", user), ("no", &no)], at(NOW + 2));
    }
    assert_eq!(way, shown(&by_hand, NOW + 3).4);
    drop(analytics);
    analytics = open();
    assert_eq!(analytics.snapshot().kept, 43);
    assert_eq!(shown(&analytics, NOW + 3), (43, 43, 43, page("/a"), None));
    // Of the 40, in two rows, 3 and then 20 more make room.
    for n in 0..60 {
        analytics.track_event_at("read", &[("no", &n.to_string())], at(NOW + 3));
    }
    let left = |analytics: &Analytics| {
        let (total, kept, _, properties, _) = shown(analytics, NOW + 3);
        let pages: u64 = properties.iter().filter(|(value, _)| value == "/a").map(|(_, count)| count).sum();
        (total, kept, pages)
    };
    assert_eq!(left(&analytics), (103, 100, 37));
    for _ in 0..20 {
        analytics.track_event_at("read", &[], at(NOW + 3));
    }
    assert_eq!(left(&analytics), (123, 100, 17));
    // For its age, no more than 16 go with one event.
    let late = NOW + 2 + Config::DEFAULT.max_age.as_secs();
    analytics.track_event_at("read", &[], at(late));
    assert_eq!(left(&analytics), (124, 100 - 16, 0));
    assert_eq!(counts(&analytics.close()), (61 + 20, 0, 0, 0));
}

#[test]
fn rule_2_a_clock_that_is_wrong_for_a_moment_costs_little() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    for second in 0..500 {
        analytics.track_event_at("open", &[], at(NOW + second));
    }
    analytics.flush();
    analytics.track_event_at("open", &[], at(4_070_908_800));
    analytics.track_event_at("open", &[], at(NOW + 500));
    let kept = analytics.report_at(at(NOW + 500)).kept;
    assert!((502 - 32..=502).contains(&kept), "{kept}");
}

#[test]
fn rule_2_the_file_stays_within_its_size() {
    let folder = Folder::new("analytics", "size");
    let config = Config { max_bytes: 1 << 20, queue: 1 << 20, ..Config::DEFAULT };
    let analytics = Analytics::open(folder.file(), config).unwrap();
    let long = "v".repeat(128);
    for number in 0..4_000 {
        analytics.track_event_at("open", &[("a", &long), ("b", &long), ("c", &number.to_string())], at(NOW));
    }
    analytics.flush();
    let snapshot = analytics.snapshot();
    assert_eq!(counts(&snapshot), (4_000, 0, 0, 0));
    assert!(snapshot.kept > 500 && snapshot.kept < 4_000 && snapshot.bytes <= 1 << 20, "{snapshot:?}");
    let report = analytics.report_at(at(NOW));
    assert_eq!((report.total, report.kept), (4_000, snapshot.kept));
}

#[test]
fn rule_3_counts_and_metrics_outlive_the_events_and_the_process() {
    let folder = Folder::new("analytics", "restart");
    for round in 1..=3_u64 {
        let analytics = Analytics::open(folder.file(), Config { rows: 2, ..Config::DEFAULT }).unwrap();
        for value in [10_000_001.0, 10_000_002.0, 10_000_003.0] {
            analytics.track_event_at("open", &[], at(NOW + round));
            analytics.track_metric("size", value);
        }
        let report = analytics.report_at(at(NOW + round));
        assert_eq!((report.total, report.kept, report.events[0].first_ms), (3 * round, 2, (NOW + 1) * 1_000));
        let size = analytics.metric_stats("size").unwrap();
        let n = 3.0 * round as f64;
        assert_eq!((size.count, size.mean, size.last), (3 * round, 10_000_002.0, 10_000_003.0));
        assert!((size.deviation().unwrap() - (2.0 * round as f64 / (n - 1.0)).sqrt()).abs() < 1e-9);
        assert_eq!(report.metrics[0].deviation, size.deviation());
        drop(analytics);
    }
}

#[test]
fn rule_3_names_beyond_the_places_are_counted_together() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    for number in 0..MAX_NAMES + 44 {
        analytics.track_event_at(&format!("event {number}"), &[("user", &number.to_string())], at(NOW));
    }
    analytics.track_event_at("event 0", &[], at(NOW));
    let report = analytics.report_at(at(NOW));
    assert_eq!((report.total, report.events.len()), (MAX_NAMES as u64 + 45, MAX_NAMES + 1));
    let other = &report.events[0];
    assert_eq!((other.name.as_str(), other.total, other.in_windows[0]), (OTHER, 44, 44));
    assert!(other.users.abs_diff(44) <= 2, "the users of all of them together: {}", other.users);
    assert_eq!((report.events[1].name.as_str(), report.events[1].total), ("event 0", 2));
}

#[test]
fn rule_4_what_is_kept_of_a_user_is_not_the_name() {
    let folder = Folder::new("analytics", "users");
    let analytics = open(&folder);
    analytics.track_event_at("open", &[("user", "alice@example.org"), ("page", "/x")], at(NOW));
    drop(analytics);
    let bytes = fs::read(folder.file()).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"alice") && bytes.windows(2).any(|window| window == b"/x"));
}

#[test]
fn rule_5_damage_costs_the_events_and_not_the_counts() {
    let folder = Folder::new("analytics", "damage");
    let analytics = open(&folder);
    for _ in 0..100 {
        analytics.track_event_at("open", &[], at(NOW));
    }
    analytics.track_metric("size", 1.0);
    analytics.flush();
    Connection::open(folder.file()).unwrap().execute_batch("DROP TABLE events").unwrap();
    analytics.track_event_at("open", &[], at(NOW + 1));
    let report = analytics.report_at(at(NOW + 1));
    assert_eq!((report.total, report.kept, folder.quarantined()), (101, 1, 1));
    // They are in the new file too.
    analytics.flush();
    drop(analytics);
    let analytics = open(&folder);
    let report = analytics.report_at(at(NOW + 1));
    assert_eq!((report.total, report.kept, report.metrics.len()), (101, 1, 1));
}

#[test]
fn rule_5_damage_at_the_last_write_costs_no_counts_either() {
    let folder = Folder::new("analytics", "last");
    let analytics = open(&folder);
    for name in ["open", "close", "close"] {
        analytics.track_event_at(name, &[], at(NOW));
    }
    analytics.track_metric("size", 1.0);
    analytics.flush();
    Connection::open(folder.file()).unwrap().execute_batch("DROP TABLE events").unwrap();
    analytics.track_event_at("open", &[], at(NOW + 1));
    assert_eq!(counts(&analytics.close()), (4, 0, 0, 0));
    let analytics = open(&folder);
    assert_eq!(analytics.totals(), [("close".to_owned(), 2), ("open".to_owned(), 2)]);
    assert_eq!((analytics.metric_stats("size").map(|size| size.count), folder.quarantined()), (Some(1), 1));
}

#[test]
fn rule_5_a_file_locked_at_the_start_is_waited_for_and_its_counts_go_on() {
    let folder = Folder::new("analytics", "start");
    let analytics = open(&folder);
    analytics.track_event_at("open", &[], at(NOW));
    analytics.track_metric("size", 1.0);
    drop(analytics);
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let config = Config { busy_timeout: Duration::from_millis(1), ..Config::DEFAULT };
    let analytics = Analytics::open(folder.file(), config).unwrap();
    analytics.track_event_at("open", &[], at(NOW + 1));
    analytics.track_metric("size", 3.0);
    analytics.flush();
    assert_eq!(counts(&analytics.snapshot()), (0, 1, 0, 0));
    drop(other);
    let report = analytics.report_at(at(NOW + 1));
    assert_eq!((report.total, report.kept, report.events[0].first_ms), (2, 2, NOW * 1_000));
    let size = analytics.metric_stats("size").unwrap();
    assert_eq!((size.count, size.mean, size.last), (2, 2.0, 3.0));
}

#[test]
fn rule_5_a_metric_that_is_out_of_order_in_the_file_is_begun_anew() {
    let folder = Folder::new("analytics", "order");
    for damage in ["mean = 9e999", "max = -1", "moment = -9e999"] {
        let analytics = open(&folder);
        analytics.track_event_at("open", &[], at(NOW));
        analytics.track_metric("size", 1.0);
        drop(analytics);
        Connection::open(folder.file()).unwrap().execute_batch(&format!("UPDATE metrics SET {damage}")).unwrap();
        let analytics = open(&folder);
        analytics.track_metric("size", 2.0);
        analytics.track_metric("size", -2.0);
        let size = analytics.metric_stats("size").unwrap();
        assert_eq!((size.count, size.mean, size.deviation()), (2, 0.0, Some(8.0_f64.sqrt())), "{damage}");
        analytics.track_event_at("open", &[], at(NOW));
        assert_eq!(counts(&analytics.close()), (1, 0, 0, 0), "{damage}");
        fs::remove_file(folder.file()).unwrap();
    }
}

#[test]
fn rule_5_a_damaged_empty_or_deleted_file_is_made_anew_and_a_foreign_one_refused() {
    for (name, content) in [("garbage", vec![7; 9_000]), ("zeros", vec![0; 9_000]), ("empty", vec![])] {
        let folder = Folder::new("analytics", name);
        fs::write(folder.file(), content).unwrap();
        let analytics = open(&folder);
        analytics.track_event_at("open", &[], at(NOW));
        assert_eq!((analytics.report_at(at(NOW)).kept, folder.quarantined()), (1, 1));
        // The file last: what is made anew when it is missed keeps its own log.
        for suffix in ["-wal", "-shm", ""] {
            let _ = fs::remove_file(folder.path.join(format!("analytics.db{suffix}")));
        }
        analytics.track_event_at("open", &[], at(NOW));
        let report = analytics.report_at(at(NOW));
        assert_eq!((report.total, report.kept, folder.file().exists()), (2, 1, true));
    }
    let folder = Folder::new("analytics", "foreign");
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(Analytics::open(folder.file(), Config::DEFAULT), Err(Error::Store { .. })));
    assert!(Analytics::open(folder.path.join("nowhere/a.db"), Config::DEFAULT).is_err());
}

#[test]
fn rule_6_what_is_no_value_of_a_metric_is_refused() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    for value in [f64::NAN, f64::INFINITY, 1.0, f64::NEG_INFINITY] {
        analytics.track_metric("m", value);
    }
    analytics.track_metric("", 1.0);
    for number in 0..MAX_NAMES {
        analytics.track_metric(&number.to_string(), f64::MAX);
        analytics.track_metric(&number.to_string(), -f64::MAX);
    }
    assert_eq!(analytics.snapshot().metrics_refused, 6);
    assert_eq!(analytics.metric_stats("m").unwrap().count, 1);
    assert_eq!(analytics.metric_stats("0").unwrap().mean, 0.0);
    assert_eq!((analytics.metric_stats("m").unwrap().deviation(), analytics.metric_stats("255")), (None, None));
}

#[test]
fn what_is_too_long_is_cut_at_a_character_and_counted() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    let many: Vec<(String, String)> = (0..10).map(|n| (format!("key {n}"), "ö".repeat(100))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    analytics.track_event_at(&"€".repeat(40), &many, at(NOW));
    let report = analytics.report_at(at(NOW));
    assert_eq!((report.events[0].name.len(), report.properties.len()), (63, 8));
    assert_eq!((report.properties[0].value.len(), analytics.snapshot().cut), (128, 1 + 8 + 2));
    // A metric is found by the name that it was given.
    let long = "m".repeat(70);
    analytics.track_metric(&long, 1.0);
    assert_eq!((analytics.metric_stats(&long).map(|metric| metric.count), analytics.snapshot().cut), (Some(1), 12));
    // Hostile texts are texts.
    analytics.track_event_at("'); DROP TABLE events; --", &[("\0", "\"<script>")], at(NOW));
    let report = analytics.report_at(at(NOW));
    assert!(report.properties.iter().any(|top| top.key == "\0" && top.value == "\"<script>"));
}

#[test]
fn funnels_and_configs_that_cannot_be_are_named() {
    let analytics = Analytics::in_memory(Config::DEFAULT).unwrap();
    let second = Duration::from_secs(1);
    let field = |error: Result<(), Error>| match error {
        Err(Error::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(analytics.add_funnel("a", "b", Duration::ZERO)), "within");
    assert_eq!(field(analytics.add_funnel("a", "a", second)), "second");
    assert_eq!(field(analytics.add_funnel("", "a", second)), "second");
    let long = "x".repeat(64);
    assert_eq!(field(analytics.add_funnel(&format!("{long}1"), &format!("{long}2"), second)), "second");
    for number in 0..MAX_FUNNELS {
        analytics.add_funnel("a", &format!("b{number}"), second).unwrap();
    }
    assert_eq!(field(analytics.add_funnel("a", "c", second)), "funnels");
    assert_eq!(field(Config { rows: 0, ..Config::DEFAULT }.validate()), "rows");
    assert_eq!(field(Config { max_age: Duration::ZERO, ..Config::DEFAULT }.validate()), "max_age");
    assert_eq!(field(Config { max_bytes: 1, ..Config::DEFAULT }.validate()), "max_bytes");
    assert_eq!(field(Config { queue: 0, ..Config::DEFAULT }.validate()), "queue");
    assert_eq!(field(Config { windows: [Duration::ZERO; 3], ..Config::DEFAULT }.validate()), "windows");
    assert_eq!(field(Config { busy_timeout: Duration::MAX, ..Config::DEFAULT }.validate()), "busy_timeout");
}

#[test]
fn there_is_one_for_all_and_it_is_made_once() {
    analytics_collector().track_event("started", &[]);
    assert!(analytics_collector().totals().len() <= 1);
    analytics_collector().flush();
    assert_eq!(analytics_collector().totals(), [("started".to_owned(), 1)]);
    assert!(init(Analytics::in_memory(Config::DEFAULT).unwrap()).is_err());
}

#[test]
fn the_figures_of_many_threads_add_up() {
    let folder = Folder::new("analytics", "threads");
    let analytics = open(&folder);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let analytics = &analytics;
            scope.spawn(move || {
                for number in 0..500 {
                    analytics.track_event_at(&format!("t{thread}"), &[("user", &format!("{number}"))], at(NOW));
                    analytics.track_metric("m", 1.0);
                }
            });
        }
        // At every moment, and nothing that was tracked is gone.
        let mut before = 0;
        while before < 4_000 {
            let snapshot = analytics.snapshot();
            counts(&snapshot);
            assert!(snapshot.tracked >= before, "{snapshot:?}");
            before = snapshot.tracked;
        }
    });
    let report = analytics.report_at(at(NOW));
    assert_eq!((report.total, report.kept, report.metrics[0].metric.count), (4_000, 4_000, 4_000));
    assert!(report.users.abs_diff(500) < 50, "{}", report.users);
    assert_eq!(counts(&analytics.close()), (4_000, 0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Beside counting by hand: each window, each name, users while they are few.
    #[test]
    fn a_report_is_what_counting_by_hand_gives(
        events in prop::collection::vec((0..4_u8, 0..5_u8, 0..8_000_000_u64), 0..80),
        now in 0..9_000_000_u64,
    ) {
        let analytics = Analytics::in_memory(Config { rows: 1_000, max_age: Duration::MAX, ..Config::DEFAULT }).unwrap();
        let mut by_hand: BTreeMap<String, (u64, [u64; 3], BTreeSet<u8>)> = BTreeMap::new();
        for (name, user, secs) in &events {
            let name = format!("event {name}");
            analytics.track_event_at(&name, &[("user", &user.to_string())], at(*secs));
            let known = by_hand.entry(name).or_default();
            known.0 += 1;
            for (window, length) in [3_600, 86_400, 604_800].into_iter().enumerate() {
                known.1[window] += u64::from(*secs <= now && now - *secs < length);
            }
            known.2.insert(*user);
        }
        let report = analytics.report_at(at(now));
        prop_assert_eq!(report.events.len(), by_hand.len());
        for event in &report.events {
            let (total, windows, users) = &by_hand[&event.name];
            prop_assert_eq!((event.total, &event.in_windows[..], event.users), (*total, &windows[..], users.len() as u64));
        }
        prop_assert!(report.events.is_sorted_by_key(|event| std::cmp::Reverse(event.total)));
    }
}
