use daur_core::monitoring::metrics::{Collector, Config, Refused, Stats, WhenFull};
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
