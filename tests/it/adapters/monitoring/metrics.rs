use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daur_core::monitoring::histogram::Quantile;
use daur_core::rng::Rng;
use daur_std::monitoring::metrics::{
    Config, ConfigError, Distribution, Kind, OVERFLOW, Recorder, Refused, Registry, Value,
};
use proptest::prelude::*;

fn small() -> Registry {
    let config = Config { max_families: 3, max_label_sets: 2, max_series: 5, max_label_bytes: 16 };
    Registry::try_new(config).unwrap()
}

fn counter(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
    match registry.snapshot().value(name, labels) {
        Some(Value::Counter(total)) => Some(*total),
        _ => None,
    }
}

#[test]
fn rule_1_a_name_and_its_labels_are_one_series_whoever_asks() {
    let registry = Registry::new();
    let clone = registry.clone();
    registry.counter_of("requests", &[("code", "200"), ("method", "GET")]).increment();
    clone.counter_of("requests_total", &[("method", "GET"), ("code", "200")]).add(2);
    assert_eq!(counter(&registry, "requests", &[("method", "GET"), ("code", "200")]), Some(3));
    assert_eq!(registry.family("requests").unwrap().series.len(), 1);
    assert_eq!(counter(&registry, "requests", &[]), None);
    registry.counter("requests_total_total").add(5); // a page would take the name's end off again
    assert_eq!(counter(&registry, "requests", &[]), Some(5));
}

#[test]
fn rule_1_a_label_without_a_value_is_none() {
    let registry = Registry::new();
    registry.counter_of("requests", &[("code", "")]).increment();
    registry.counter("requests").add(2);
    assert_eq!(registry.family("requests").unwrap().series.len(), 1);
    for labels in [&[][..], &[("code", "")], &[("code", ""), ("method", "")]] {
        assert_eq!(counter(&registry, "requests", labels), Some(3));
    }
    assert_eq!(registry.try_counter("requests", &[("le", "")]).err(), Some(Refused::Label));
}

#[test]
fn rule_2_what_openmetrics_does_not_allow_is_refused_and_told() {
    let registry = small();
    for name in ["", "1st", "a b", "a-b", "é", "a{", "_total"] {
        let refused = registry.try_counter(name, &[]).err();
        assert_eq!(refused, Some(Refused::Name), "{name}");
    }
    for label in ["", "a:b", "__name__", "le", "quantile", OVERFLOW, "1", "a b"] {
        assert_eq!(registry.try_gauge("g", &[(label, "x")]).err(), Some(Refused::Label), "{label}");
    }
    assert_eq!(registry.try_gauge("g", &[("a", "1"), ("a", "2")]).err(), Some(Refused::Label));
    assert!(registry.snapshot().families.is_empty());

    registry.counter("a").increment();
    assert_eq!(registry.try_gauge("a", &[]).err(), Some(Refused::Kind(Kind::Counter)));
    assert_eq!(registry.try_gauge("a_total", &[]).err(), Some(Refused::Taken));
    let _ = registry.histogram("h");
    for taken in ["h_sum", "h_count", "h_bucket"] {
        assert_eq!(registry.try_gauge(taken, &[]).err(), Some(Refused::Taken), "{taken}");
    }
    registry.gauge("x_sum").set(1.0);
    assert_eq!(registry.try_histogram("x", &[]).err(), Some(Refused::Taken));
    assert_eq!(registry.try_gauge("fourth", &[]).err(), Some(Refused::Full));

    let before = registry.snapshot();
    let (count, level, sizes) = (registry.counter("no good"), registry.gauge("no good"), registry.histogram("no good"));
    count.add(10);
    count.increment();
    count.absolute(7);
    level.set(1.0);
    level.add(1.0);
    sizes.record(1.0);
    sizes.record_many(1.0, 5);
    assert_eq!((count.total(), level.value(), sizes.read().count), (0, None, 0));
    let after = registry.snapshot();
    assert_eq!((after.refused - before.refused, after.lost, after.rejected), (3, 7, 0));
    assert_eq!(after.families, before.families);
}

#[test]
fn rule_3_label_sets_beyond_the_bound_share_one_series() {
    let registry = small();
    for user in 0..10 {
        registry.counter_of("logins", &[("user", &user.to_string())]).increment();
    }
    let family = registry.family("logins").unwrap();
    assert_eq!((family.series.len(), family.overflowed), (3, 8));
    let last = family.series.last().unwrap();
    assert_eq!((last.labels.get(OVERFLOW), &last.value), (Some("true"), &Value::Counter(8)));
    // Those that were there before go on.
    registry.counter_of("logins", &[("user", "0")]).increment();
    assert_eq!(counter(&registry, "logins", &[("user", "0")]), Some(2));

    // Too long: 4 + 13 bytes.
    registry.gauge_of("depth", &[("path", "0123456789abc")]).set(1.0);
    registry.gauge_of("depth", &[("path", "0123456789ab")]).set(2.0);
    let family = registry.family("depth").unwrap();
    assert_eq!((family.series[0].labels.get("path"), family.overflowed), (Some("0123456789ab"), 1));

    // 3 of 5 series are there; a third family of two takes the last, and its next one overflows.
    for size in ["a", "b", "c"] {
        registry.histogram_of("size", &[("of", size)]).record(1.0);
    }
    let family = registry.family("size").unwrap();
    let counts: Vec<u64> = family
        .series
        .iter()
        .map(|series| match &series.value {
            Value::Histogram(seen) => seen.count,
            _ => 0,
        })
        .collect();
    assert_eq!((counts.iter().sum::<u64>(), family.overflowed), (3, 1));
}

#[test]
fn rule_4_every_record_of_many_threads_is_counted_once_those_that_have_ended_too() {
    let registry = Registry::new();
    let (hits, sizes, level) = (registry.counter("hits"), registry.histogram("sizes"), registry.gauge("level"));
    // More threads than there are lanes, in waves that hand their lanes on.
    for _ in 0..3 {
        let start = std::sync::Barrier::new(100);
        thread::scope(|scope| {
            for n in 0..100_u32 {
                let (hits, sizes, level, start) = (&hits, &sizes, &level, &start);
                scope.spawn(move || {
                    hits.increment(); // takes a lane, if there is one
                    start.wait();
                    for _ in 0..200 {
                        hits.add(2);
                        sizes.record(f64::from(n));
                        level.add(1.0);
                    }
                });
            }
        });
    }
    assert_eq!(hits.total(), 3 * 100 * 401);
    let seen = sizes.read();
    assert_eq!((seen.count, seen.sum), (60_000, 3.0 * 200.0 * 4_950.0));
    assert_eq!((seen.min, seen.max, seen.zeros), (Some(0.0), Some(99.0), 600));
    assert_eq!(level.value(), Some(60_000.0));
}

/// Ends the writers even if a claim about what they wrote fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn rule_5_a_snapshot_of_a_histogram_consists_of_whole_records() {
    let registry = Registry::new();
    let sizes = registry.histogram("sizes");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut rng = Rng::new(3);
                while !stop.load(Ordering::Relaxed) {
                    // All of one value, so that the sum tells the count; some new chunk now and then.
                    sizes.record(7.0);
                    if rng.at_most(999) == 0 {
                        sizes.record_many(7.0, 3);
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        let mut last = 0;
        for _ in 0..2_000 {
            let seen = sizes.read();
            assert_eq!(seen.count, seen.buckets.iter().map(|bucket| bucket.count).sum::<u64>());
            assert_eq!(seen.sum, seen.count as f64 * 7.0);
            assert!(seen.count >= last);
            last = seen.count;
        }
    });
}

#[test]
fn rule_6_what_is_no_value_changes_nothing_and_is_counted() {
    let registry = Registry::new();
    let (sizes, level) = (registry.histogram("sizes"), registry.gauge("level"));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE] {
        sizes.record(value);
        sizes.record_many(value, 2);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        level.set(value);
        level.add(value);
    }
    assert_eq!(registry.snapshot().rejected, 16);
    assert_eq!((sizes.read(), level.value()), (Distribution::default(), None));
    sizes.record(-0.0);
    level.set(f64::MAX);
    level.add(f64::MAX);
    assert_eq!((sizes.read().zeros, sizes.read().min, level.value()), (1, Some(0.0), Some(f64::MAX)));
    assert_eq!(registry.snapshot().rejected, 17);
}

#[test]
fn rule_7_counts_saturate_and_unset_is_not_zero() {
    let registry = Registry::new();
    let (hits, sizes) = (registry.counter("hits"), registry.histogram("sizes"));
    hits.add(u64::MAX - 1);
    thread::scope(|scope| _ = scope.spawn(|| hits.add(5)));
    hits.increment();
    assert_eq!(hits.total(), u64::MAX);
    sizes.record_many(2.0, u64::MAX);
    sizes.record(2.0);
    assert!(sizes.read().saturated);
    assert_eq!(sizes.read().count, u64::MAX);
    let level = registry.gauge("level");
    assert_eq!(level.value(), None);
    level.add(0.0);
    assert_eq!(level.value(), Some(0.0));

    let huge = registry.histogram("huge");
    for _ in 0..4 {
        huge.record(f64::MAX);
    }
    let seen = huge.read();
    assert_eq!((seen.sum, seen.saturated, seen.above, seen.count), (f64::MAX, true, 4, 4));
    assert_eq!(seen.quantile(Quantile::P50), Some(f64::MAX));
}

#[test]
fn rule_8_families_come_in_the_order_of_their_names_and_series_of_their_labels() {
    let registry = Registry::new();
    for (name, code) in [("b", "500"), ("a", "2"), ("b", "404"), ("c", "1"), ("b", "200")] {
        registry.counter_of(name, &[("code", code)]).increment();
    }
    let mut seen = Vec::new();
    registry.for_each(|family| {
        for series in &family.series {
            seen.push((family.name.clone(), series.labels.get("code").unwrap().to_owned()));
        }
    });
    let seen: Vec<(&str, &str)> = seen.iter().map(|(name, code)| (name.as_str(), code.as_str())).collect();
    assert_eq!(seen, [("a", "2"), ("b", "200"), ("b", "404"), ("b", "500"), ("c", "1")]);
}

#[test]
fn a_family_is_described_before_or_after_its_first_series() {
    let registry = small();
    registry.describe("took_seconds", "How long.", Some("seconds"));
    let _ = registry.histogram("took_seconds");
    let _ = registry.counter("hits_total");
    registry.describe("hits_total", "Hits \\ and\nmisses.", None);
    let snapshot = registry.snapshot();
    let told: Vec<_> =
        snapshot.families.iter().map(|f| (f.name.as_str(), f.help.as_str(), f.unit.as_deref())).collect();
    assert_eq!(told, [("hits", "Hits \\ and\nmisses.", None), ("took_seconds", "How long.", Some("seconds"))]);
    // Words are bounded too.
    registry.describe("third", "", None);
    registry.describe("fourth", "", None);
    assert_eq!(registry.snapshot().refused, 1);
    let json = serde_json::to_value(registry.snapshot()).unwrap();
    assert_eq!(json["families"][0]["series"][0]["value"]["Counter"], 0);
}

#[test]
fn a_config_out_of_its_range_is_refused() {
    let refused = |config: Config| Registry::try_new(config).err();
    assert_eq!(refused(Config { max_families: 0, ..Config::DEFAULT }), Some(ConfigError::Families));
    assert_eq!(refused(Config { max_label_sets: 100_001, ..Config::DEFAULT }), Some(ConfigError::LabelSets));
    assert_eq!(refused(Config { max_series: 0, ..Config::DEFAULT }), Some(ConfigError::Series));
    assert_eq!(refused(Config { max_label_bytes: 0, ..Config::DEFAULT }), Some(ConfigError::LabelBytes));
    assert_eq!(refused(Config::DEFAULT), None);
}

#[test]
fn quantiles_of_a_million_lognormal_values_are_within_the_stated_error() {
    for sigma in [1.0, 2.5] {
        let registry = Registry::new();
        let took = registry.histogram("took_seconds");
        let mut values = daur_tests::lognormal::values(11, sigma, 1_000_000, 0.002);
        values.iter().for_each(|value| took.record(*value));
        values.sort_unstable_by(f64::total_cmp);
        let seen = took.read();
        for (q, rank) in [(Quantile::P50, 500_000), (Quantile::P99, 990_000), (Quantile::P999, 999_000)] {
            let (told, truth) = (seen.quantile(q).unwrap(), values[rank - 1]);
            assert!((told / truth - 1.0).abs() <= 0.0109, "sigma {sigma}, {q:?}: {told} for {truth}");
        }
        assert_eq!((seen.min, seen.max), (values.first().copied(), values.last().copied()));
        // The sum of a million floats without what additions cut off.
        let exact = values.iter().map(|value| (value * 2_f64.powi(60)) as i128).sum::<i128>() as f64 / 2_f64.powi(60);
        assert!((seen.sum / exact - 1.0).abs() < 1e-15, "{} for {exact}", seen.sum);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_distribution_agrees_with_a_list(
        values in prop::collection::vec((0.0_f64..1.0, -140_i32..90).prop_map(|(m, e)| m * 2_f64.powi(e)), 1..200),
        split in any::<prop::sample::Index>(),
    ) {
        let registry = Registry::new();
        let at = split.index(values.len());
        let (one, other) = (registry.histogram("one"), registry.histogram("other"));
        values[..at].iter().for_each(|value| one.record(*value));
        values[at..].iter().for_each(|value| other.record(*value));
        let (mut merged, mut turned) = (one.read(), other.read());
        turned.merge(&merged);
        merged.merge(&other.read());
        prop_assert_eq!(&merged.buckets, &turned.buckets);
        prop_assert_eq!(merged.count, values.len() as u64);
        let mut naive: BTreeMap<i32, u64> = BTreeMap::new();
        let (mut zeros, mut above) = (0, 0);
        for value in &values {
            if *value <= Distribution::ZERO_THRESHOLD {
                zeros += 1;
            } else if *value > 2_f64.powi(64) {
                above += 1;
            } else {
                let bucket = merged.buckets.iter().find(|b| b.lower() < *value && *value <= b.upper());
                *naive.entry(bucket.expect("every value has a bucket").index).or_default() += 1;
            }
        }
        prop_assert_eq!((merged.zeros, merged.above), (zeros, above));
        prop_assert_eq!(merged.buckets.iter().map(|b| (b.index, b.count)).collect::<Vec<_>>(), naive.into_iter().collect::<Vec<_>>());
        for bound in [2_f64.powi(-32), 0.25, 1.0, 1024.0, f64::INFINITY] {
            prop_assert_eq!(merged.at_most(bound), values.iter().filter(|value| **value <= bound).count() as u64);
        }
    }
}

#[test]
fn facade_rule_1_names_that_openmetrics_does_not_allow_are_written_with_underscores() {
    let registry = Registry::new();
    let recorder = Recorder::new(registry.clone());
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!("http.requests", "status-code" => "200").increment(1);
        metrics::counter!("http/requests", "status.code" => "200").increment(1);
        metrics::gauge!("9lives").set(9);
        metrics::counter!("twice", "a" => "1", "a" => "2").increment(1);
    });
    assert_eq!(counter(&registry, "http_requests", &[("status_code", "200")]), Some(2));
    assert_eq!(counter(&registry, "twice", &[("a", "2")]), Some(1));
    assert_eq!(registry.snapshot().value("_9lives", &[]), Some(&Value::Gauge(Some(9.0))));
}

#[test]
fn facade_rule_2_what_the_registry_has_no_room_for_is_counted_there() {
    let registry = small();
    let recorder = Recorder::new(registry.clone());
    metrics::with_local_recorder(&recorder, || {
        for user in 0..5 {
            metrics::counter!("logins", "user" => user.to_string()).increment(1);
        }
        metrics::counter!("logins", "user" => "4").increment(1);
        metrics::gauge!("logins").set(1.0);
        metrics::histogram!("bad", "le" => "1").record(1.0);
    });
    let family = registry.family("logins").unwrap();
    assert_eq!((family.overflowed, &family.series[2].value), (4, &Value::Counter(4)));
    assert_eq!((registry.snapshot().refused, registry.snapshot().lost), (2, 2));
}

#[test]
fn facade_rule_3_absolute_raises_a_counter_and_never_lowers_it() {
    let registry = Registry::new();
    let recorder = Recorder::new(registry.clone());
    metrics::with_local_recorder(&recorder, || {
        let total = metrics::counter!("total");
        total.absolute(10);
        total.absolute(4);
        total.increment(1);
        total.absolute(11);
    });
    assert_eq!(counter(&registry, "total", &[]), Some(11));
}

#[test]
fn the_facade_reaches_every_verb_from_any_thread() {
    let registry = Registry::new();
    let recorder = Recorder::new(registry.clone());
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_histogram!("took_seconds", metrics::Unit::Seconds, "How long it took.");
        metrics::describe_counter!("jobs", "Jobs done.");
        let (level, took) = (metrics::gauge!("level"), metrics::histogram!("took_seconds"));
        let jobs = metrics::counter!("jobs", "kind" => "all");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        level.increment(3.0);
                        level.decrement(2.0);
                        took.record(0.5);
                        took.record_many(0.25, 2);
                        jobs.increment(1);
                    }
                });
            }
        });
        took.record(std::time::Duration::from_millis(125));
    });
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.value("level", &[]), Some(&Value::Gauge(Some(400.0))));
    assert_eq!(snapshot.value("jobs", &[("kind", "all")]), Some(&Value::Counter(400)));
    let Some(Value::Histogram(took)) = snapshot.value("took_seconds", &[]) else { panic!("no histogram") };
    assert_eq!((took.count, took.sum, took.min, took.max), (1_201, 400.125, Some(0.125), Some(0.5)));
    let family = registry.family("took_seconds").unwrap();
    assert_eq!((family.help.as_str(), family.unit.as_deref()), ("How long it took.", Some("seconds")));
}
