use daur_core::monitoring::histogram::{Auto, Cells, Dense, Full, Histogram, Quantile};
use daur_core::rng::Rng;
use proptest::prelude::*;

/// Latencies in microseconds from 1 us to 1 h: the product of uniform factors is close to lognormal.
fn latencies(seed: u64, count: usize) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    let mut draw = || -> u64 {
        let bell: u64 = (0..12).map(|_| rng.at_most(1 << 16)).sum();
        let exponent = (bell as f64 / f64::from(1 << 16) - 6.0) * 2.2 + 9.0;
        exponent.exp() as u64
    };
    (0..count).map(|_| draw().clamp(1, 3_600_000_000)).collect()
}

fn of<L: Cells>(values: &[u64]) -> Histogram<L> {
    let mut histogram = Histogram::new();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

/// The value of nearest rank.
fn exact(sorted: &[u64], ppm: u64) -> u64 {
    let rank = (sorted.len() as u64 * ppm).div_ceil(1_000_000).max(1);
    sorted[usize::try_from(rank).unwrap() - 1]
}

fn index(value: u64) -> Option<i32> {
    of::<Dense<u32, 64>>(&[value]).buckets().next().unwrap().index
}

#[test]
fn powers_of_two_and_their_neighbours_are_where_opentelemetry_puts_them() {
    assert_eq!((index(1000), index(1024), index(1025)), (Some(318), Some(319), Some(320)));
    for octave in 1_i32..64 {
        let power = 1_u64 << octave;
        let last = 32 * octave - 1;
        assert_eq!(index(power), Some(last), "2^{octave}");
        assert_eq!(index(power + 1).unwrap().max(last + 1), index(power + 1).unwrap(), "2^{octave} + 1");
        // The neighbour below is in the same bucket as soon as a bucket is wider than one.
        let below = index(power - 1).unwrap();
        assert!(if octave > 5 { below == last } else { below < last }, "2^{octave} - 1: {below}");
        if octave > 5 {
            assert_eq!(index(power + 1), Some(last + 1));
        }
    }
}

#[test]
fn quantiles_of_latencies_are_within_the_stated_error() {
    for seed in 0..10 {
        let mut values = latencies(seed, 20_000);
        let (full, auto): (Full, Auto<160>) = (of(&values), of(&values));
        values.sort_unstable();
        for ppm in [1, 1_000, 10_000, 100_000, 250_000, 500_000, 750_000, 900_000, 950_000, 990_000, 999_000, 1_000_000]
        {
            let truth = exact(&values, u64::from(ppm));
            let check = |bucket: f64, rounded: u64, error_ppm: u32| {
                let bound = f64::from(error_ppm) / 1e6;
                assert!((bucket / truth as f64 - 1.0).abs() <= bound, "{ppm} ppm: {bucket} for {truth}");
                let rounded_bound = bound * truth as f64 + 0.5;
                assert!(rounded.abs_diff(truth) as f64 <= rounded_bound, "{ppm} ppm: {rounded} for {truth}");
            };
            let q = Quantile::ppm(ppm);
            check(full.quantile_bucket(q).unwrap().middle(), full.quantile(q).unwrap(), full.error_ppm());
            check(auto.quantile_bucket(q).unwrap().middle(), auto.quantile(q).unwrap(), auto.error_ppm());
        }
        assert_eq!(full.error_ppm(), 10_831);
        assert_eq!(full.quantile(Quantile::percent(100)), values.last().copied());
        assert_eq!(full.quantile(Quantile::percent(0)), values.first().copied());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_in_any_order_and_grouping_is_recording_everything(
        parts in prop::collection::vec(prop::collection::vec((any::<u64>(), 0_u32..64).prop_map(|(v, s)| v >> s >> 8), 0..40), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        let all: Auto<24> = of(&parts.concat());
        let histograms: Vec<Auto<24>> = parts.iter().map(|part| of(part)).collect();
        let turned = (0..parts.len()).map(|n| (n + order.index(parts.len())) % parts.len());
        let mut left = Auto::<24>::new();
        for n in turned {
            left.merge(&histograms[n]);
        }
        // ((a + (b + (c + ...)))
        let mut right = Auto::<24>::new();
        for histogram in histograms.iter().rev() {
            let mut next = histogram.clone();
            next.merge(&right);
            right = next;
        }
        prop_assert_eq!(left.snapshot(), all.snapshot());
        prop_assert!(left.buckets().eq(all.buckets()) && left.scale() == all.scale());
        prop_assert!(left == all && right == all);
    }

    #[test]
    fn dense_cells_merge_in_any_order_even_when_saturated(
        counts in prop::collection::vec(0_u32..40_000, 2..5),
    ) {
        let parts: Vec<Histogram<Dense<u16, 4>>> = counts.iter().map(|n| {
            let mut histogram = Histogram::new();
            (0..*n).for_each(|_| histogram.record(3));
            histogram
        }).collect();
        let (mut up, mut down) = (Histogram::new(), Histogram::new());
        parts.iter().for_each(|part| up.merge(part));
        parts.iter().rev().for_each(|part| down.merge(part));
        prop_assert_eq!(up.is_saturated(), counts.iter().sum::<u32>() > u32::from(u16::MAX));
        prop_assert!(up == down);
    }

    #[test]
    fn nothing_is_ever_lost(values in prop::collection::vec(any::<u64>(), 1..200)) {
        let (full, auto): (Full, Auto<3>) = (of(&values), of(&values));
        prop_assert_eq!(full.buckets().map(|bucket| bucket.count).sum::<u64>(), values.len() as u64);
        prop_assert_eq!(auto.buckets().map(|bucket| bucket.count).sum::<u64>(), values.len() as u64);
        for bucket in auto.buckets() {
            let inside = values.iter().filter(|v| (bucket.lower..=bucket.upper).contains(v)).count() as u64;
            prop_assert_eq!(inside, bucket.count);
        }
    }
}

#[test]
fn a_snapshot_survives_json() {
    let snapshot = of::<Dense<u32, 32>>(&[1, 2, 3]).snapshot();
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<daur_core::monitoring::histogram::Snapshot>(&json).unwrap(), snapshot);
    assert!(serde_json::to_string(&Full::new().snapshot()).unwrap().contains("\"p99\":null"));
}
