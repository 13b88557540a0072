use core::sync::atomic::AtomicU32;

use super::*;
use crate::rng::Rng;
use std::vec::Vec;

const T0: Instant = Instant::ZERO;

#[test]
fn the_oldest_sample_makes_room_and_the_statistics_keep_all() {
    let mut metrics: Collector<&str, 1, 3> = Collector::default();
    for n in 1..=5 {
        metrics.record("n", n, Instant::from_secs(n.unsigned_abs())).unwrap();
    }
    let kept: Vec<_> = metrics.samples("n").map(|(at, value)| (at.as_millis() / 1000, value)).collect();
    assert_eq!(kept, [(3, 3), (4, 4), (5, 5)]);
    let (stats, window) = (metrics.stats("n").unwrap(), metrics.window_stats("n").unwrap());
    assert_eq!((stats.count(), stats.sum(), stats.min(), stats.first()), (5, 15, 1, 1));
    assert_eq!((window.count(), window.sum(), window.min(), window.first()), (3, 12, 3, 3));
    assert_eq!((stats.first_at(), stats.last_at()), (Instant::from_secs(1), Instant::from_secs(5)));
}

#[test]
fn the_least_recently_recorded_series_makes_room() {
    let mut metrics: Collector<&str, 2, 1> = Collector::default();
    metrics.record("a", 1, T0).unwrap();
    metrics.record("b", 1, T0).unwrap();
    metrics.record("a", 2, T0).unwrap();
    metrics.record("c", 1, T0).unwrap();
    assert!(metrics.stats("b").is_none());
    assert_eq!(metrics.stats("a").unwrap().count(), 2);
    assert_eq!((metrics.snapshot().evicted, metrics.snapshot().series), (1, 2));
}

#[test]
fn a_full_table_refuses_if_it_was_told_to() {
    let mut metrics: Collector<&str, 1, 1> = Collector::new(Config { when_full: WhenFull::Refuse });
    metrics.record("a", 1, T0).unwrap();
    assert_eq!(metrics.record("b", 1, T0), Err(Refused::Full));
    assert_eq!((metrics.snapshot().refused, metrics.snapshot().records), (1, 1));
    assert!(metrics.remove("a") && !metrics.remove("a"));
    assert_eq!(metrics.record("b", 1, T0), Ok(()));
}

#[test]
fn what_is_no_finite_number_changes_nothing_and_is_counted() {
    let mut metrics: Collector<&str, 2, 4, f64> = Collector::default();
    metrics.record("x", 1.5, T0).unwrap();
    let before = metrics.stats("x");
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(metrics.record("x", value, T0), Err(Refused::Value));
        assert_eq!(metrics.record("fresh", value, T0), Err(Refused::Value));
        assert_eq!(metrics.add("steps", value, T0), Err(Refused::Value));
    }
    assert_eq!((metrics.stats("x"), metrics.snapshot().rejected, metrics.snapshot().series), (before, 9, 1));
}

#[test]
fn a_series_keeps_its_kind() {
    let mut metrics: Collector<&str, 4, 4> = Collector::default();
    metrics.add("c", 2, T0).unwrap();
    metrics.add("c", 3, T0).unwrap();
    metrics.set("g", -4, T0).unwrap();
    assert_eq!(metrics.stats("c").unwrap().last(), 5);
    assert_eq!(metrics.set("c", 1, T0), Err(Refused::Kind(Kind::Counter)));
    assert_eq!(metrics.add("g", 1, T0), Err(Refused::Kind(Kind::Gauge)));
    assert_eq!(metrics.add("c", -1, T0), Err(Refused::Value));
    assert_eq!((metrics.kind("c"), metrics.kind("none")), (Some(Kind::Counter), None));
    assert_eq!((metrics.snapshot().refused, metrics.snapshot().rejected), (2, 1));
}

#[test]
fn a_counter_that_reaches_its_end_is_marked() {
    let mut metrics: Collector<&str, 1, 1> = Collector::default();
    metrics.add("c", i64::MAX, T0).unwrap();
    metrics.add("c", 1, T0).unwrap();
    let stats = metrics.stats("c").unwrap();
    assert_eq!((stats.last(), stats.is_saturated()), (i64::MAX, true));
}

#[test]
fn ill_conditioned_data_keeps_its_deviation() {
    let mut wide = Stats::new(10_000_001_i64, T0);
    let mut narrow = Stats::new(10_000_001_i32, T0);
    for n in 1..3_000 {
        wide.record(10_000_001 + i64::from(n % 3), T0);
        narrow.record(10_000_001 + n % 3, T0);
    }
    let expected = (2.0 / 3.0 * 3_000.0 / 2_999.0_f64).sqrt();
    for (mean, deviation) in [(wide.mean(), wide.deviation()), (narrow.mean(), narrow.deviation())] {
        assert_eq!(mean, 10_000_002.0);
        assert!((deviation.unwrap() - expected).abs() < 1e-15);
    }
}

#[test]
fn a_first_value_far_from_the_others_costs_no_digit() {
    // One 0 and a million values near 10^12: the shift is useless, and the sums are still exact.
    let mut stats = Stats::new(0_i64, T0);
    let (mut sum, mut squares) = (0_i128, 0_i128);
    for i in 0..1_000_000 {
        let value = 1_000_000_000_000 + i % 2;
        stats.record(value, T0);
        sum += i128::from(value);
        squares += i128::from(value) * i128::from(value);
    }
    let n = 1_000_001_i128;
    let expected = ((n * squares - sum * sum) as f64 / (n * (n - 1)) as f64).sqrt();
    assert!((stats.deviation().unwrap() / expected - 1.0).abs() < 1e-15);
    assert!(!stats.is_saturated());
}

#[test]
fn the_extremes_of_the_types_do_not_overflow_in_between() {
    let mut stats = Stats::new(i64::MIN, T0);
    stats.record(i64::MAX, T0);
    assert_eq!((stats.sum(), stats.mean(), stats.is_saturated()), (-1, -0.5, false));
    assert!((stats.deviation().unwrap() / 2_f64.powf(63.5) - 1.0).abs() < 1e-15);
    stats.record(i64::MAX, T0);
    assert!(stats.is_saturated());
    let mut stats = Stats::new(i32::MIN, T0);
    stats.record(i32::MAX, T0);
    assert_eq!((stats.sum(), stats.is_saturated()), (-1, false));
    stats.record(i32::MAX, T0);
    assert!(stats.is_saturated());
}

#[test]
fn a_sum_saturates_at_the_end_that_it_has_reached() {
    // The first value has another sign than the sum.
    let mut stats = Stats::new(-1_i64, T0);
    stats.record(i64::MAX, T0);
    stats.record(i64::MAX, T0);
    assert_eq!((stats.sum(), stats.is_saturated()), (i64::MAX, true));
    let mut stats = Stats::new(1_i64, T0);
    stats.record(i64::MIN, T0);
    stats.record(i64::MIN, T0);
    assert_eq!((stats.sum(), stats.is_saturated()), (i64::MIN, true));
}

#[test]
fn floats_at_their_end_saturate_and_never_become_nan() {
    for end in [f64::MAX, f64::MIN] {
        let mut stats = Stats::new(end, T0);
        for value in [end, end, 1.0, -end, 2.0] {
            stats.record(value, T0);
        }
        let figures = stats.summary();
        assert!(figures.saturated);
        assert!(figures.sum.is_finite() && figures.mean.is_finite(), "{figures:?}");
        assert!(figures.deviation.is_some_and(f64::is_finite), "{figures:?}");
    }
}

#[test]
fn one_value_has_no_deviation() {
    assert_eq!(Stats::new(7_i64, T0).deviation(), None);
    assert_eq!(Stats::new(7_i64, T0).summary().mean, 7.0);
}

#[test]
fn floats_agree_with_the_naive_two_pass_figures() {
    let mut rng = Rng::new(9);
    let values: Vec<f64> = (0..1_000).map(|_| 1e6 + f64::from(rng.next_u32()) / 4e9).collect();
    let mut stats = Stats::new(values[0], T0);
    for value in &values[1..] {
        stats.record(*value, T0);
    }
    let mean = values.iter().sum::<f64>() / 1e3;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 999.0).sqrt();
    assert!((stats.mean() - mean).abs() < 1e-6 && (stats.deviation().unwrap() / deviation - 1.0).abs() < 1e-6);
}

#[test]
fn counters_stop_at_their_end() {
    let mut counter = Counter::new();
    counter.add(u64::MAX);
    counter.increment();
    assert_eq!(counter.total(), u64::MAX);
    let isr = IsrCounter(AtomicU32::new(u32::MAX - 1));
    isr.increment();
    isr.increment();
    assert_eq!(isr.total(), u32::MAX);
}

#[test]
fn the_mark_of_a_sum_that_left_its_range_stays_when_it_comes_back() {
    let mut stats = Stats::new(i64::MAX, T0);
    assert!(!stats.is_saturated());
    stats.record(1, T0);
    assert_eq!((stats.sum(), stats.is_saturated()), (i64::MAX, true));
    stats.record(-5, T0);
    assert!(stats.is_saturated());
    let mut stats = Stats::new(0, T0);
    stats.record(i64::MIN, T0);
    assert_eq!((stats.sum(), stats.is_saturated()), (i64::MIN, false));
    stats.record(-1, T0);
    stats.record(i64::MAX, T0);
    assert!(stats.is_saturated());
}

#[test]
fn rule_3_what_is_no_number_changes_nothing_and_is_no_first_value_either() {
    for nothing in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut stats = Stats::new(nothing, Instant::from_secs(1));
        assert_eq!((stats.count(), stats.sum(), stats.deviation(), stats.is_saturated()), (0, 0.0, None, false));
        stats.record(nothing, Instant::from_secs(2));
        assert_eq!(stats.count(), 0);
        for (at, value) in [(3, 4.0), (4, nothing), (5, 6.0)] {
            stats.record(value, Instant::from_secs(at));
        }
        let mut plain = Stats::new(4.0, Instant::from_secs(3));
        plain.record(6.0, Instant::from_secs(5));
        assert_eq!(stats.summary(), plain.summary());
        assert_eq!((stats.mean(), stats.min(), stats.max(), stats.first()), (5.0, 4.0, 6.0, 4.0));
    }
}
