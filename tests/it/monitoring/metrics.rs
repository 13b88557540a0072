use daur_core::monitoring::metrics::{Collector, Config, Counter, Refused, Sample, Stats, Tally, WhenFull};
use daur_core::time::Instant;
use proptest::prelude::*;

/// Mean and deviation in two passes over the values shifted by a value in the middle: precise enough to
/// be compared with.
fn two_passes(values: &[i64], offset: i64) -> (f64, f64) {
    let n = values.len() as f64;
    let shifted: Vec<f64> = values.iter().map(|value| (value - offset) as f64).collect();
    let mean = shifted.iter().sum::<f64>() / n;
    let squares: f64 = shifted.iter().map(|value| (value - mean) * (value - mean)).sum();
    (offset as f64 + mean, (squares / (n - 1.0)).sqrt())
}

proptest! {
    #[test]
    fn mean_and_deviation_do_not_depend_on_the_offset(
        offset in prop::sample::select(vec![0_i64, 10_000_002, -1_000_000_000_000, 1 << 52]),
        small in prop::collection::vec(-1_000_i64..1_000, 2..200),
    ) {
        let values: Vec<i64> = small.iter().map(|value| offset + value).collect();
        let mut stats = Stats::new(values[0], Instant::ZERO);
        values[1..].iter().for_each(|value| stats.record(*value, Instant::ZERO));
        let (mean, deviation) = two_passes(&values, offset);
        prop_assert!((stats.mean() - mean).abs() <= 1.0_f64.max(mean.abs()) * 4e-16 + 1e-9);
        prop_assert!((stats.deviation().unwrap() - deviation).abs() <= deviation * 1e-12 + 1e-12);
        prop_assert_eq!(stats.sum(), values.iter().sum::<i64>());
    }

    #[test]
    fn a_collector_agrees_with_a_list(
        samples in prop::collection::vec((0_usize..3, -100_i64..100), 0..200),
    ) {
        const KEYS: [&str; 3] = ["a", "b", "c"];
        let mut metrics: Collector<&str, 3, 8> = Collector::default();
        let mut lists: [Vec<i64>; 3] = Default::default();
        for (n, (key, value)) in samples.iter().enumerate() {
            metrics.record(KEYS[*key], *value, Instant::from_millis(n as u64)).unwrap();
            lists[*key].push(*value);
        }
        for (key, list) in KEYS.iter().zip(&lists) {
            let stats = metrics.stats(*key);
            prop_assert_eq!(stats.map(|s| (s.count() as usize, s.last())), list.last().map(|last| (list.len(), *last)));
            prop_assert_eq!(stats.map(|s| (s.min(), s.max())), list.iter().min().copied().zip(list.iter().max().copied()));
            let kept = &list[list.len().saturating_sub(8)..];
            prop_assert_eq!(metrics.samples(*key).map(|(_, value)| value).collect::<Vec<_>>(), kept);
            prop_assert_eq!(metrics.window_stats(*key).map(|s| s.sum()), (!kept.is_empty()).then(|| kept.iter().sum()));
        }
        prop_assert_eq!(metrics.snapshot().records, samples.len() as u64);
    }
}

/// Whether both agree in 14 digits.
fn same(told: f64, exact: f64) -> bool {
    (told - exact).abs() <= exact.abs() * 1e-14
}

fn of<V: Sample>(values: impl IntoIterator<Item = V>) -> Stats<V> {
    let mut values = values.into_iter();
    let mut stats = Stats::new(values.next().unwrap(), Instant::ZERO);
    values.for_each(|value| stats.record(value, Instant::ZERO));
    stats
}

#[test]
fn mean_and_deviation_of_ill_conditioned_data_have_14_digits() {
    // NumAcc1, NumAcc3 and NumAcc4 of the statistical reference datasets of NIST, in units of their last digit: the
    // deviation is 1 exactly. A float sum of squares has none of these digits.
    let around = |middle: i64| (0..1_001).map(move |n| if n == 0 { middle } else { middle - 1 + 2 * (n % 2) });
    for middle in [10_000_002_i64, 100_000_002, 1_000_000_000_001, -10_000_002, 1 << 50] {
        let stats = of(around(middle));
        assert_eq!((stats.mean(), stats.deviation()), (middle as f64, Some(1.0)), "{middle}");
        let floats = of(around(middle).map(|value| value as f64));
        assert!(same(floats.mean(), middle as f64) && same(floats.deviation().unwrap(), 1.0), "{middle}: {floats:?}");
        if let Ok(middle) = i32::try_from(middle) {
            let stats = of(around(middle.into()).map(|value| i32::try_from(value).unwrap()));
            assert_eq!((stats.mean(), stats.deviation()), (f64::from(middle), Some(1.0)));
        }
    }
    let stats = of([10_000_001_i64, 10_000_003, 10_000_002]);
    assert_eq!((stats.mean(), stats.deviation()), (10_000_002.0, Some(1.0)));

    // 10,000,002 +- 1, a million of each, after a first value that is far from all: 0.
    let values = || [0_i64].into_iter().chain((0..2_000_000).map(|n| 10_000_001 + 2 * (n % 2)));
    let (n, sum) = (2_000_001_i128, values().map(i128::from).sum::<i128>());
    let squares: i128 = values().map(|value| i128::from(value) * i128::from(value)).sum();
    let variance = (n * squares - sum * sum) as f64 / (n * (n - 1)) as f64;
    let (exact, floats) = (of(values()), of(values().map(|value| value as f64)));
    for deviation in [exact.deviation(), floats.deviation()] {
        assert!(same(deviation.unwrap(), variance.sqrt()), "{deviation:?} for {}", variance.sqrt());
    }
    for mean in [exact.mean(), floats.mean()] {
        assert!(same(mean, sum as f64 / n as f64));
    }
}

#[test]
fn a_counter_of_halves_is_one_number_to_others() {
    let mut counter = Counter::from(u64::from(u32::MAX));
    counter.increment();
    counter.add(1 << 40);
    assert_eq!(counter.total(), (1 << 32) + (1 << 40));
    let json = serde_json::to_string(&counter).unwrap();
    assert_eq!((json.as_str(), serde_json::from_str::<Counter>(&json).unwrap()), ("1103806595072", counter));
    assert!(size_of::<Counter>() <= 8 && size_of::<Tally>() <= 24);
}

proptest! {
    #[test]
    fn a_tally_agrees_with_a_list(
        values in prop::collection::vec((any::<u32>(), 0_u32..32).prop_map(|(v, s)| v >> s), 0..40),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(values.len() + 1);
        let tally = |values: &[u32]| {
            let mut tally = Tally::new();
            values.iter().for_each(|value| tally.record(*value));
            tally
        };
        let (mut one, mut other) = (tally(&values[..at]), tally(&values[at..]));
        let first = one;
        one.merge(&other);
        other.merge(&first);
        prop_assert_eq!(one, other);
        prop_assert_eq!(one, tally(&values));
        prop_assert_eq!((one.min(), one.max()), (values.iter().min().copied(), values.iter().max().copied()));
        prop_assert_eq!((one.count(), one.sum()), (values.len() as u64, values.iter().map(|v| u64::from(*v)).sum()));
        prop_assert!(!one.is_saturated());
    }
}

#[test]
fn a_host_may_key_its_series_by_anything() {
    let mut metrics: Collector<String, 1, 2, f64> = Collector::new(Config { when_full: WhenFull::Refuse });
    metrics.record("route".to_owned() + "/api", 0.25, Instant::ZERO).unwrap();
    assert_eq!(metrics.stats("route/api").unwrap().mean(), 0.25);
    assert_eq!(metrics.record("other".into(), 1.0, Instant::ZERO), Err(Refused::Full));
    assert_eq!(Refused::Full.to_string(), "no room for another series");
    let (key, _, stats) = metrics.iter().next().unwrap();
    assert_eq!((key.as_str(), stats.count()), ("route/api", 1));
}
