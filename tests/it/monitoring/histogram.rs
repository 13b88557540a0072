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

/// A whole number of any size, lowest word first.
struct Big(Vec<u32>);

impl Big {
    fn squared(&self) -> Self {
        let mut words = vec![0_u32; 2 * self.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in self.0.iter().enumerate() {
                let sum = u64::from(words[i + j]) + u64::from(*a) * u64::from(*b) + carry;
                (words[i + j], carry) = (sum as u32, sum >> 32);
            }
            words[i + self.0.len()] = carry as u32;
        }
        while words.last() == Some(&0) {
            words.pop();
        }
        Self(words)
    }

    /// The least `n` with `self <= 2^n`.
    fn bits_up(&self) -> i32 {
        let top = self.0.last().copied().unwrap_or(0);
        let floor = 32 * (self.0.len() as i32 - 1) + top.ilog2() as i32;
        let power = top.is_power_of_two() && self.0[..self.0.len() - 1].iter().all(|word| *word == 0);
        if power { floor } else { floor + 1 }
    }
}

/// OpenTelemetry's definition in whole numbers: the `i` with `2^i < value^(2^scale) <= 2^(i + 1)`, and below scale 0 that
/// of scale 0 divided.
fn exact_index(value: u64, scale: i32) -> i32 {
    let mut power = Big(vec![value as u32, (value >> 32) as u32]);
    if power.0[1] == 0 {
        power.0.pop();
    }
    for _ in 0..scale.max(0) {
        power = power.squared();
    }
    (power.bits_up() - 1) >> (-scale).max(0)
}

/// Where a histogram of exactly `scale` puts each value: it has as many cells as that scale needs for all of u64.
fn indices_at<const N: usize>(scale: i32, values: &[u64]) {
    let all: Auto<N> = of(&[1, u64::MAX]);
    assert_eq!(all.scale(), scale);
    for value in values {
        let mut with = all.clone();
        with.record(*value);
        let counts = |histogram: &Auto<N>| histogram.buckets().map(|b| (b.index, b.count)).collect::<Vec<_>>();
        let before = counts(&all);
        let found = counts(&with).into_iter().find(|bucket| !before.contains(bucket)).unwrap();
        assert_eq!(found.0, Some(exact_index(*value, scale)), "{value} at scale {scale}");
        let bucket = with.buckets().find(|bucket| bucket.index == found.0).unwrap();
        assert!((bucket.lower..=bucket.upper).contains(value), "{value} at scale {scale}: {bucket:?}");
    }
}

#[test]
fn every_scale_has_the_indices_of_an_exact_computation() {
    assert_eq!([1000, 1024, 1025].map(|value| exact_index(value, 5)), [318, 319, 320]);
    let mut values: Vec<u64> = vec![u64::MAX];
    for octave in 0..64 {
        let power = 1_u64 << octave;
        values.extend([power - 1, power, power + 1].iter().filter(|value| **value > 0));
    }
    let mut rng = Rng::new(5);
    values.extend((0..200).map(|_| (rng.next_u64() >> rng.at_most(63)).max(1)));
    indices_at::<2049>(5, &values);
    indices_at::<1025>(4, &values);
    indices_at::<513>(3, &values);
    indices_at::<257>(2, &values);
    indices_at::<129>(1, &values);
    indices_at::<65>(0, &values);
    indices_at::<33>(-1, &values);
    indices_at::<17>(-2, &values);
    indices_at::<9>(-3, &values);
    indices_at::<5>(-4, &values);
    indices_at::<3>(-5, &values);
    indices_at::<2>(-6, &values);
    for value in &values {
        assert_eq!(index(*value), Some(exact_index(*value, 5)), "{value} in cells for all");
    }
}

#[test]
fn quantiles_of_a_million_lognormal_values_are_within_the_stated_error() {
    for sigma in [1.0, 2.5] {
        let micros = daur_tests::lognormal::values(7, sigma, 1_000_000, 2_000.0);
        let mut values: Vec<u64> = micros.iter().map(|value| value.round().max(1.0) as u64).collect();
        let (full, auto): (Full, Auto<160>) = (of(&values), of(&values));
        values.sort_unstable();
        for (q, ppm) in [(Quantile::P50, 500_000), (Quantile::P99, 990_000), (Quantile::P999, 999_000)] {
            let truth = exact(&values, ppm) as f64;
            let told = full.quantile(q).unwrap() as f64;
            assert!((told / truth - 1.0).abs() <= 0.0109, "sigma {sigma}, {q:?}: {told} for {truth}");
            let stated = f64::from(auto.error_ppm()) / 1e6;
            let told = auto.quantile_bucket(q).unwrap().middle();
            assert!((told / truth - 1.0).abs() <= stated, "sigma {sigma}, {q:?}: {told} for {truth}");
        }
        assert!(!full.is_saturated());
        assert_eq!((full.max(), full.sum()), (values.last().copied(), values.iter().sum()));
    }
}

#[test]
fn a_hundred_shards_of_mixed_scales_merge_to_the_same_in_any_order() {
    let mut rng = Rng::new(17);
    // From shards of few octaves at scale 5 to some of all 64.
    let shards: Vec<Vec<u64>> = (0..100)
        .map(|shard| {
            let widest = shard * 63 / 99;
            (0..rng.at_most(300)).map(|_| rng.next_u64() >> (63 - rng.at_most(widest))).collect()
        })
        .collect();
    let histograms: Vec<Auto<160>> = shards.iter().map(|shard| of(shard)).collect();
    let scales: std::collections::BTreeSet<i32> = histograms.iter().map(Histogram::scale).collect();
    assert!(scales.len() >= 4, "{scales:?}");
    let all: Auto<160> = of(&shards.concat());
    let full: Histogram<Dense<u64, 64>> = of(&shards.concat());
    let mut order: Vec<usize> = (0..100).collect();
    for _ in 0..50 {
        for n in (1..100).rev() {
            order.swap(n, usize::try_from(rng.at_most(n as u64)).unwrap());
        }
        // In groups of ten, and the groups among each other.
        let mut merged = Auto::new();
        for ten in order.chunks(10) {
            let mut group = Auto::new();
            ten.iter().for_each(|n| group.merge(&histograms[*n]));
            merged.merge(&group);
        }
        assert_eq!(merged.snapshot(), all.snapshot());
        assert!(merged == all && merged.buckets().eq(all.buckets()));
        let mut dense: Histogram<Dense<u64, 64>> = Histogram::new();
        order.iter().for_each(|n| dense.merge(&of(&shards[*n])));
        assert!(dense == full);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn extremes_and_sums_agree_with_a_list(
        values in prop::collection::vec((any::<u64>(), 0_u32..64).prop_map(|(v, s)| v >> s), 0..40),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(values.len() + 1);
        let (mut one, other): (Auto<8>, Auto<8>) = (of(&values[..at]), of(&values[at..]));
        one.merge(&other);
        for (histogram, values) in [(&one, &values[..]), (&other, &values[at..])] {
            prop_assert_eq!(histogram.min(), values.iter().min().copied());
            prop_assert_eq!(histogram.max(), values.iter().max().copied());
            prop_assert_eq!(histogram.count(), values.len() as u64);
            let sum = values.iter().fold(0_u64, |sum, value| sum.saturating_add(*value));
            prop_assert_eq!(histogram.sum(), sum);
            let exact: u128 = values.iter().map(|value| u128::from(*value)).sum();
            prop_assert_eq!(histogram.is_saturated(), exact > u128::from(u64::MAX));
        }
    }

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

/// The figures that the on-target test asserts too.
#[test]
fn a_device_says_what_a_host_says() {
    let histogram: Auto<64> = of(&[1000, 1024, 1025, 0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX / 2]);
    assert_eq!((histogram.scale(), histogram.quantile(Quantile::P50)), (0, Some(683)));
    assert_eq!(histogram.sum(), 3_049 + 1 + u64::from(u32::MAX) + (1 << 32) + u64::MAX / 2);
}

#[test]
fn a_snapshot_survives_json() {
    let snapshot = of::<Dense<u32, 32>>(&[1, 2, 3]).snapshot();
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<daur_core::monitoring::histogram::Snapshot>(&json).unwrap(), snapshot);
    assert!(serde_json::to_string(&Full::new().snapshot()).unwrap().contains("\"p99\":null"));
}
