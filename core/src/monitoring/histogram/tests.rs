use super::*;
use crate::rng::Rng;
use std::vec::Vec;

/// Values over nine decades, most of them small: what latencies look like.
fn values(seed: u64, count: usize) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.next_u64() >> rng.between(32, 63)).collect()
}

fn of<L: Cells>(values: &[u64]) -> Histogram<L> {
    let mut histogram = Histogram::new();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

#[test]
fn an_upper_bound_is_inclusive_at_scale_5() {
    let indices: Vec<_> = of::<Dense<u32, 32>>(&[1000, 1024, 1025]).buckets().map(|bucket| bucket.index).collect();
    assert_eq!(indices, [Some(318), Some(319), Some(320)]);
    let indices: Vec<_> = of::<Window<u32, 160>>(&[1000, 1024, 1025]).buckets().map(|bucket| bucket.index).collect();
    assert_eq!(indices, [Some(318), Some(319), Some(320)]);
}

#[test]
fn every_value_is_counted_those_above_the_range_too() {
    let h: Full = of(&[0, 1, 1 << 32, (1 << 32) + 1, u64::MAX]);
    let buckets: Vec<_> = h.buckets().map(|b| (b.index, b.lower, b.upper, b.count)).collect();
    assert_eq!(
        buckets,
        [
            (None, 0, 0, 1),
            (Some(-1), 1, 1, 1),
            (Some(1023), 4_202_935_004, 1 << 32, 1),
            (None, (1 << 32) + 1, u64::MAX, 2)
        ]
    );
    assert_eq!(h.quantile_bucket(Quantile::P50).unwrap().upper, 1 << 32);
    assert_eq!(h.quantile_bucket(Quantile::ppm(0)).unwrap().upper, 0);
    assert_eq!(h.quantile_bucket(Quantile::P99).unwrap().count, 2);
}

#[test]
fn an_empty_histogram_says_nothing_rather_than_zero() {
    let h = Full::new();
    assert_eq!(
        (h.min(), h.max(), h.quantile(Quantile::P50), h.quantile_bucket(Quantile::P50)),
        (None, None, None, None)
    );
    assert_eq!(h.snapshot(), Snapshot { error_ppm: 10_831, ..Snapshot::EMPTY });
    assert_eq!(h.snapshot().mean(), None);
    let h: Full = of(&[0]);
    assert_eq!((h.min(), h.max(), h.quantile(Quantile::P50)), (Some(0), Some(0), Some(0)));
}

#[test]
fn the_self_scaling_one_halves_its_resolution_and_drops_nothing() {
    let mut h: Auto<160> = Auto::new();
    let mut scales = Vec::new();
    for octave in 0..64 {
        h.record(1 << octave);
        scales.push(h.scale());
        assert_eq!(h.buckets().map(|bucket| bucket.count).sum::<u64>(), octave + 1);
    }
    assert!(scales.is_sorted_by(|a, b| a >= b));
    assert_eq!((scales[0], h.scale()), (5, 1));
    assert_eq!((h.min(), h.max()), (Some(1), Some(1 << 63)));
}

#[test]
fn two_cells_are_enough_for_everything() {
    let h: Auto<2> = of(&[1, 2, u64::MAX, 0]);
    assert_eq!(h.scale(), 5 - 11);
    assert_eq!(h.buckets().map(|bucket| bucket.count).collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn a_window_holds_what_a_dense_one_does_at_its_coarser_scale() {
    for seed in 0..20 {
        let values = values(seed, 500);
        let (auto, full): (Auto<40>, Histogram<Dense<u32, 64>>) = (of(&values), of(&values));
        let shift = u32::try_from(5 - auto.scale()).unwrap();
        let mut folded: Vec<(Option<i32>, u64)> = Vec::new();
        for bucket in full.buckets() {
            let index = bucket.index.map(|index| index >> shift);
            match folded.last_mut() {
                Some((last, count)) if *last == index => *count += bucket.count,
                _ => folded.push((index, bucket.count)),
            }
        }
        assert_eq!(auto.buckets().map(|bucket| (bucket.index, bucket.count)).collect::<Vec<_>>(), folded);
    }
}

#[test]
fn merging_in_any_order_gives_the_same() {
    let parts: Vec<Vec<u64>> = (0..4).map(|n| values(n, 50 * usize::try_from(n).unwrap())).collect();
    let all: Auto<64> = of(&parts.concat());
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let mut merged: Auto<64> = Auto::new();
        for n in order {
            merged.merge(&of(&parts[n]));
        }
        assert_eq!(merged, all);
    }
}

#[test]
fn a_full_cell_stays_full_and_says_so() {
    let mut h: Histogram<Dense<u16, 8>> = Histogram::new();
    for _ in 0..=u16::MAX {
        h.record(7);
    }
    assert!(h.is_saturated());
    assert_eq!(h.buckets().next().unwrap().count, u64::from(u16::MAX));
    assert_eq!(h.count(), 65_536);
    assert_eq!(h.quantile(Quantile::P99), Some(7));
    let other = h.clone();
    h.merge(&other);
    assert_eq!((h.is_saturated(), h.count()), (true, 131_072));
    h.clear();
    assert!(!h.is_saturated());
}

#[test]
fn a_sum_that_does_not_fit_stays_at_the_end_and_says_so() {
    let mut h: Auto<8> = of(&[u64::MAX, 1]);
    assert_eq!((h.sum(), h.is_saturated(), h.count()), (u64::MAX, true, 2));
    h.record(5);
    assert_eq!((h.sum(), h.count()), (u64::MAX, 3));
    let mut h: Auto<8> = of(&[u64::MAX]);
    assert!(!h.is_saturated());
    h.merge(&of(&[1]));
    assert_eq!((h.sum(), h.is_saturated()), (u64::MAX, true));
}

#[test]
fn a_merged_count_never_wraps() {
    let mut h: Auto<8> = of(&[3]);
    for _ in 0..70 {
        let same = h.clone();
        h.merge(&same);
    }
    h.record(3);
    assert_eq!(h.count(), u64::MAX / 2 + 1);
    assert!(h.is_saturated());
}

#[test]
fn no_total_of_the_widest_cells_wraps() {
    fn doubled<L: Cells + Clone>() -> Histogram<L> {
        let mut h: Histogram<L> = of(&[0, 3, 4, 1_000, 1_001]);
        for _ in 0..70 {
            let same = h.clone();
            h.merge(&same);
        }
        h.record(3);
        h
    }
    let (dense, window) = (doubled::<Dense<u64, 64>>(), doubled::<Window<u64, 160>>());
    for (saturated, p50, p99) in [
        (dense.is_saturated(), dense.quantile(Quantile::P50), dense.quantile(Quantile::P99)),
        (window.is_saturated(), window.quantile(Quantile::P50), window.quantile(Quantile::P99)),
    ] {
        // 1000 and 1001 share a cell, so half of what is left is 0 and 3.
        assert_eq!((saturated, p50), (true, Some(3)));
        assert!(p99.is_some_and(|p99| (990..=1_001).contains(&p99)), "{p99:?}");
    }
}

#[test]
fn a_share_is_the_nearest_rank() {
    for (q, count, rank) in [
        (Quantile::P50, 1, 1),
        (Quantile::P50, 2, 1),
        (Quantile::P50, 3, 2),
        (Quantile::P99, 100, 99),
        (Quantile::P99, 101, 100),
        (Quantile::percent(0), 10, 1),
        (Quantile::percent(200), 10, 10),
        (Quantile::P999, u64::MAX, 18_428_297_329_635_842_064),
    ] {
        assert_eq!(q.rank(count), rank, "{q:?} of {count}");
    }
}

#[test]
fn a_32_bit_target_counts_what_a_64_bit_one_does() {
    fn by_words<L: Cells>(values: &[u64]) -> Histogram<L> {
        let mut h = Histogram::new();
        for value in values {
            match u32::try_from(*value) {
                Ok(word) => h.record_word(word),
                Err(_) => h.record_rare(*value),
            }
        }
        h
    }
    let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    for values in [values(7, 5_000), edges.collect(), Vec::from([0, 0, 1, 0, u64::MAX, 0])] {
        assert_eq!(by_words::<Dense<u32, 32>>(&values), of(&values));
        assert_eq!(by_words::<Window<u32, 160>>(&values), of(&values));
        assert_eq!(by_words::<Window<u16, 2>>(&values), of(&values));
    }
}

#[test]
fn zeros_stay_apart_where_a_window_reaches_below_the_index_of_one() {
    // A window around 1 has free cells below it, at the finest scale far below.
    let h: Auto<160> = of(&[1, 0, 0, 2]);
    let buckets: Vec<_> = h.buckets().map(|bucket| (bucket.index, bucket.count)).collect();
    assert_eq!(buckets, [(None, 2), (Some(-1), 1), (Some(31), 1)]);
}
