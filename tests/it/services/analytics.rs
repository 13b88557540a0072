//! Analytics: the rules, and naive models beside them.

use std::collections::{BTreeMap, HashMap, HashSet};

use daur_core::services::analytics::{
    Analytics, Config, ConfigError, Funnel, FunnelError, Refused, Sketch, Stage, Top,
};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

type Small = Analytics<3, 4, 2, 64>;

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

#[test]
fn rule_1_names_beyond_the_places_are_counted_together() {
    let mut analytics = Small::default();
    for name in ["a", "b", "a", "c", "d", "e", "a", "d"] {
        analytics.track_event(name, &[], at(1));
    }
    let counts: Vec<_> = analytics.events().map(|event| (event.name.as_str(), event.total)).collect();
    assert_eq!(counts, [("a", 3), ("b", 1), ("c", 1)]);
    let shown = analytics.snapshot();
    assert_eq!((shown.total, shown.other, shown.names), (8, 3, 3));
    assert!(analytics.event("d").is_none());
}

#[test]
fn rule_2_windows_turn_with_events_and_polls_and_not_with_a_clock_that_steps_back() {
    let mut analytics = Small::new(Config { window: Duration::from_secs(60) });
    assert_eq!(analytics.poll_at(), None);
    let windows = |analytics: &Small| analytics.event("a").map(|event| (event.total, event.window, event.last_window));
    analytics.track_event("a", &[("user", "x")], at(100));
    analytics.track_event("a", &[("user", "y")], at(159));
    assert_eq!((windows(&analytics), analytics.poll_at()), (Some((2, 2, 0)), Some(at(160))));
    analytics.poll(Instant::from_nanos(at(160).as_nanos() - 1));
    assert_eq!(windows(&analytics), Some((2, 2, 0)), "before the end nothing changes");
    analytics.poll(at(160));
    assert_eq!(windows(&analytics), Some((2, 0, 2)));
    let shown = analytics.snapshot();
    assert_eq!((shown.users, shown.users_window, shown.users_last_window, shown.windows), (2, 0, 2, 1));
    analytics.track_event("a", &[("user", "x")], at(5));
    assert_eq!((windows(&analytics), analytics.snapshot().windows), (Some((3, 1, 2)), 1));
    // A window in which nothing was: the last one is empty.
    analytics.track_event("a", &[], at(1_000));
    assert_eq!(windows(&analytics), Some((4, 1, 0)));
    assert_eq!((analytics.snapshot().window_began, analytics.snapshot().users_last_window), (at(1_000), 0));
    analytics.poll(Instant::MAX);
    assert_eq!(windows(&analytics), Some((4, 0, 0)));
}

#[test]
fn rule_3_the_most_frequent_properties_come_first() {
    let mut analytics = Small::default();
    for (page, times) in [("status", 5), ("logs", 3), ("about", 1)] {
        for _ in 0..times {
            analytics.track_event("open", &[("page", page), ("user", "alice")], at(1));
        }
    }
    let top: Vec<_> =
        analytics.properties().map(|top| (top.item.value.as_str(), top.count, top.overestimate)).collect();
    assert_eq!(top, [("status", 5, 0), ("logs", 3, 0), ("about", 1, 0)]);
    assert_eq!(analytics.snapshot().properties, 9, "a user is no property");
}

#[test]
fn rule_4_users_are_counted_once() {
    let mut analytics = Small::default();
    for round in 0..3 {
        for user in ["alice", "bob", "carol"] {
            analytics.track_event("open", &[("user", user)], at(round));
        }
    }
    assert_eq!(analytics.snapshot().users, 3);
    let mut other: Sketch<64> = Sketch::new();
    other.insert(b"dave");
    other.merge(analytics.users());
    assert_eq!(other.estimate(), 4);
}

#[test]
fn rule_5_a_metric_without_a_place_or_a_name_is_refused_and_counted() {
    let mut analytics = Small::default();
    for value in [10_000_001, 10_000_002, 10_000_003] {
        analytics.track_metric("size", value, at(1)).unwrap();
    }
    analytics.track_metric("depth", -1, at(2)).unwrap();
    assert_eq!(analytics.track_metric("third", 1, at(3)), Err(Refused::Full));
    assert_eq!(analytics.track_metric("", 1, at(3)), Err(Refused::NoName));
    analytics.track_event("", &[("user", "alice")], at(3));
    let size = analytics.metric_stats("size").unwrap();
    assert_eq!((size.count, size.mean, size.deviation), (3, 10_000_002.0, Some(1.0)));
    assert_eq!(analytics.metric_stats("third"), None);
    let shown = analytics.snapshot();
    assert_eq!((shown.metrics, shown.refused, shown.total, shown.users), (2, 3, 0, 0));
}

#[test]
fn a_window_or_a_funnel_of_no_time_is_refused() {
    assert_eq!(Small::try_new(Config { window: Duration::ZERO }).unwrap_err(), ConfigError::NoWindow);
    assert_eq!(Funnel::<1>::try_new(Duration::ZERO).unwrap_err(), FunnelError);
    assert!(Small::try_new(Config::DEFAULT).is_ok());
}

mod sketch {
    use super::*;

    /// The relative errors over many streams of `n` different users.
    fn errors<const REGISTERS: usize>(n: u64) -> (f64, f64) {
        let streams = 200;
        let (mut sum, mut squares) = (0.0, 0.0);
        for stream in 0..streams {
            let mut sketch: Sketch<REGISTERS> = Sketch::new();
            for user in 0..n {
                sketch.insert(format!("{stream}/{user}").as_bytes());
            }
            let error = sketch.estimate() as f64 / n as f64 - 1.0;
            (sum, squares) = (sum + error, squares + error * error);
        }
        (sum / f64::from(streams), (squares / f64::from(streams)).sqrt())
    }

    #[test]
    fn rule_1_the_error_is_the_stated_one_from_the_first_to_many() {
        for n in [1, 10, 50, 100, 160, 300, 1_000, 20_000] {
            let (bias, deviation) = errors::<64>(n);
            assert!(bias.abs() < 0.04 && deviation < 0.145, "{n} in 64: {bias} {deviation}");
        }
        for n in [1, 10, 100, 640, 1_000, 10_000] {
            let (bias, deviation) = errors::<256>(n);
            assert!(bias.abs() < 0.02 && deviation < 0.073, "{n} in 256: {bias} {deviation}");
        }
    }

    #[test]
    fn rule_1_the_first_few_are_counted_almost_exactly_in_many_registers() {
        let mut sketch: Sketch<1024> = Sketch::new();
        assert_eq!(sketch.estimate(), 0);
        for n in 1..=20_u64 {
            sketch.insert(&n.to_le_bytes());
            assert!(sketch.estimate().abs_diff(n) <= 1, "{n}: {}", sketch.estimate());
        }
    }

    #[test]
    fn rule_4_the_estimate_is_the_same_on_every_target() {
        let mut users: Sketch<64> = Sketch::new();
        for user in 0..1_000_u32 {
            users.insert(&user.to_le_bytes());
        }
        // As `firmware-example/tests/observability.rs` has it.
        assert_eq!(users.estimate(), 942);
    }

    #[test]
    fn a_sketch_that_is_full_of_everything_says_many_and_does_not_panic() {
        let mut sketch: Sketch<16> = Sketch::new();
        for register in 0..16_u64 {
            sketch.insert_hash(register << 60);
        }
        assert!(sketch.estimate() > 1 << 35, "{}", sketch.estimate());
    }

    proptest! {
        #[test]
        fn rules_2_and_3_repeating_changes_nothing_and_merging_is_exact(
            one in prop::collection::vec(any::<u16>(), 0..400),
            other in prop::collection::vec(any::<u16>(), 0..400),
        ) {
            let of = |items: &[u16]| {
                let mut sketch: Sketch<64> = Sketch::new();
                let mut before = 0;
                for item in items {
                    sketch.insert(&item.to_le_bytes());
                    assert!(sketch.estimate() >= before, "no item lowers the estimate");
                    before = sketch.estimate();
                    assert!(!sketch.insert(&item.to_le_bytes()));
                }
                sketch
            };
            let mut merged = of(&one);
            merged.merge(&of(&other));
            let both: Vec<u16> = other.iter().chain(&one).copied().collect();
            prop_assert_eq!(merged, of(&both));
        }
    }
}

mod top {
    use super::*;

    proptest! {
        #[test]
        fn the_bounds_of_space_saving_hold(items in prop::collection::vec((0..5_u8, 0..4_u8), 0..300)) {
            let mut top: Top<u8, 6> = Top::new();
            let mut exact: HashMap<u8, u64> = HashMap::new();
            for (high, low) in &items {
                // A few items come often, many come rarely.
                let item = if *high == 0 { 10 + low * 7 + high } else { *high };
                top.record(item);
                *exact.entry(item).or_default() += 1;
            }
            prop_assert_eq!(top.total(), items.len() as u64);
            prop_assert_eq!(top.iter().map(|ranked| ranked.count).sum::<u64>(), top.total());
            for ranked in top.iter() {
                let truth = exact[&ranked.item];
                prop_assert!(ranked.count - ranked.overestimate <= truth && truth <= ranked.count);
            }
            for (item, count) in &exact {
                let present = top.iter().any(|ranked| ranked.item == *item);
                prop_assert!(present || *count * 6 <= top.total());
            }
            let counts: Vec<_> = top.iter().map(|ranked| std::cmp::Reverse(ranked.count)).collect();
            prop_assert!(counts.is_sorted());
        }
    }
}

mod funnel {
    use super::*;

    #[test]
    fn rule_1_the_last_moment_counts_and_the_next_does_not() {
        let mut funnel: Funnel<2> = Funnel::new(Duration::from_secs(10));
        funnel.track(Stage::First, b"a", at(5));
        assert_eq!(funnel.poll_at(), Some(at(15) + Duration::from_nanos(1)));
        funnel.poll(at(15));
        assert_eq!(funnel.snapshot().waiting, 1);
        assert!(funnel.track(Stage::Second, b"a", at(15)));
        assert!(!funnel.track(Stage::Second, b"a", at(15)), "once");
        funnel.track(Stage::First, b"a", at(20));
        funnel.poll(at(30) + Duration::from_nanos(1));
        let shown = funnel.snapshot();
        assert_eq!((shown.entered, shown.converted, shown.expired, shown.waiting), (2, 1, 1, 0));
    }

    #[test]
    fn rule_3_who_entered_longest_ago_is_forgotten_first_and_counted() {
        let mut funnel: Funnel<2> = Funnel::new(Duration::from_secs(100));
        for (secs, user) in [(1, b"a"), (2, b"b"), (3, b"a"), (4, b"c")] {
            funnel.track(Stage::First, user, at(secs));
        }
        assert!(!funnel.track(Stage::Second, b"b", at(5)) && funnel.track(Stage::Second, b"a", at(5)));
        let shown = funnel.snapshot();
        assert_eq!((shown.entered, shown.converted, shown.forgotten, shown.waiting), (3, 1, 1, 1));
    }

    proptest! {
        /// Beside a list of everybody with no bound on it.
        #[test]
        fn conversions_are_within_what_was_forgotten_of_the_truth(
            steps in prop::collection::vec((0..8_u64, 0..6_u8, any::<bool>()), 0..200),
            back in prop::collection::vec(0..200_usize, 0..3),
        ) {
            let within = Duration::from_secs(10);
            let (mut small, mut large): (Funnel<3>, Funnel<6>) = (Funnel::new(within), Funnel::new(within));
            let mut under_way: BTreeMap<u8, Instant> = BTreeMap::new();
            let (mut entered, mut converted, mut now) = (0, 0, at(100));
            let back: HashSet<usize> = back.into_iter().collect();
            for (step, (pause, user, first)) in steps.into_iter().enumerate() {
                now = if back.contains(&step) { at(50) } else { now + Duration::from_secs(pause) };
                under_way.retain(|_, at| now.since(*at) <= within);
                let stage = if first { Stage::First } else { Stage::Second };
                let here = large.track(stage, &[user], now);
                small.track(stage, &[user], now);
                if first {
                    entered += u64::from(under_way.insert(user, now).is_none());
                } else {
                    let truth = under_way.remove(&user).is_some();
                    converted += u64::from(truth);
                    prop_assert_eq!(here, truth);
                }
            }
            let (small, large) = (small.snapshot(), large.snapshot());
            prop_assert_eq!((large.entered, large.converted, large.forgotten), (entered, converted, 0));
            prop_assert!(small.converted <= converted && converted <= small.converted + small.forgotten);
            for shown in [small, large] {
                prop_assert_eq!(shown.entered, shown.converted + shown.expired + shown.forgotten + shown.waiting);
            }
        }
    }
}

proptest! {
    /// Beside maps with no bound on them: exact by name while there are places, in sum always.
    #[test]
    fn the_counts_are_those_of_a_naive_model(
        events in prop::collection::vec((0..5_u8, 0..40_u64), 0..200),
        window in 1..60_u64,
    ) {
        let mut analytics = Small::new(Config { window: Duration::from_secs(window) });
        let mut totals: BTreeMap<u8, u64> = BTreeMap::new();
        let mut order = Vec::new();
        let (mut now, mut began, mut inside): (u64, u64, BTreeMap<u8, u32>) = (7, 7, BTreeMap::new());
        for (index, (name, pause)) in events.iter().enumerate() {
            now += if index == 0 { 0 } else { *pause };
            if now - began >= window {
                began = if now - began < 2 * window { began + window } else { now };
                inside.clear();
            }
            analytics.track_event(&format!("event {name}"), &[], at(now));
            *totals.entry(*name).or_default() += 1;
            *inside.entry(*name).or_default() += 1;
            if !order.contains(name) {
                order.push(*name);
            }
        }
        for (place, name) in order.iter().enumerate() {
            let counted = analytics.event(&format!("event {name}")).map(|event| (event.total, event.window));
            let expected = (totals[name], inside.get(name).copied().unwrap_or(0));
            prop_assert_eq!(counted, (place < 3).then_some(expected));
        }
        prop_assert_eq!(analytics.snapshot().total, events.len() as u64);
    }
}
