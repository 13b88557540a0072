use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Barrier};
use std::thread;

use daur_core::monitoring::histogram::grid;
use daur_core::rng::Rng;

use super::lanes::LANES;
use super::stripe::Stripe;
use super::stripes::Stripes;
use super::sync::Numbers;

#[test]
fn the_lowest_free_number_is_taken_and_none_twice() {
    let numbers = Numbers(AtomicU64::new(0));
    let all: Vec<u8> = std::iter::from_fn(|| numbers.take()).collect();
    assert_eq!(all, (0..64).collect::<Vec<u8>>());
    assert_eq!(all.len(), LANES);
    numbers.give(41);
    numbers.give(7);
    assert_eq!((numbers.take(), numbers.take(), numbers.take()), (Some(7), Some(41), None));
}

#[test]
fn a_shared_stripe_counts_as_one_of_a_single_writer_does() {
    let (own, shared) = (Stripe::default(), Stripe::default());
    for value in [0.0, 1e-12, 0.25, 0.25, 3.0, 1e30] {
        assert!(own.record(value));
        assert!(shared.record_shared(value, 1));
    }
    for no_value in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(!own.record(no_value) && !shared.record_shared(no_value, 1));
    }
    assert_eq!(own.read(false), shared.read(true));
    let seen = own.read(false);
    assert_eq!((seen.count, seen.zeros, seen.above, seen.buckets.len()), (6, 2, 1, 2));
}

/// A stripe of these values, each as often as is said.
fn of(values: &[(f64, u64)]) -> Stripe {
    let stripe = Stripe::default();
    for (value, times) in values {
        assert!(stripe.record_many(*value, *times));
    }
    stripe
}

#[test]
fn one_value_is_its_own_sum_and_lies_where_the_grid_says_at_every_power_of_two_and_its_neighbours() {
    for octave in -31_i32..=64 {
        let power = 2_f64.powi(octave);
        for value in [power.next_down(), power, power.next_up(), power * 1.5, power * 1.999].into_iter() {
            let stripe = Stripe::default();
            assert!(stripe.record(value)); // makes the place
            assert!(stripe.record(value)); // finds it
            let seen = stripe.read(false);
            assert_eq!((seen.count, seen.sum), (2, 2.0 * value), "{value:e}");
            assert_eq!((seen.min, seen.max), (Some(value), Some(value)));
            let index = grid::index_of(value).filter(|index| *index < 64 * 32);
            let cell = seen.buckets.first().map(|bucket| (bucket.index, bucket.count));
            assert_eq!(cell, index.map(|index| (index, 2)), "{value:e}");
        }
    }
}

#[test]
fn a_sum_is_exact_in_any_order() {
    let mut rng = Rng::new(5);
    // Whole units of 2^-30, up to 2^40 of them: their sum in integers is the truth.
    let units: Vec<u64> = (0..20_000).map(|_| 1 + (rng.next_u64() >> rng.between(24, 63))).collect();
    let exact = units.iter().map(|unit| u128::from(*unit)).sum::<u128>();
    #[expect(clippy::cast_precision_loss, reason = "rounded once")]
    let exact = exact as f64 / 2_f64.powi(30);
    #[expect(clippy::cast_precision_loss, reason = "at most 40 bits")]
    let mut values: Vec<f64> = units.iter().map(|unit| *unit as f64 / 2_f64.powi(30)).collect();
    for _ in 0..3 {
        let stripe = Stripe::default();
        assert!(values.iter().all(|value| stripe.record(*value)));
        assert_eq!(stripe.read(false).sum, exact);
        let half = values.len() / 2;
        values.rotate_left(half / 3);
        values[..half].reverse();
    }
    // A float that has taken the first takes none of the others.
    assert_eq!(of(&[(9_007_199_254_740_992.0, 1), (1.0, 6)]).read(false).sum, 9_007_199_254_740_998.0);
}

#[test]
fn many_at_once_are_as_many_one_by_one() {
    for value in [0.0, 1e-12, 0.999_999_9, 1.0, 1.999_999_9, 3.5, 1e18, 1e30] {
        let single = Stripe::default();
        for _ in 0..10_000 {
            assert!(single.record(value));
        }
        let (single, many) = (single.read(false), of(&[(value, 9_999), (value, 1)]).read(false));
        assert!((single.sum / many.sum - 1.0).abs() < 1e-15 || single.sum == many.sum, "{value}");
        assert_eq!((single.count, single.buckets, single.min), (many.count, many.buckets, many.min));
    }
}

#[test]
fn what_does_not_fit_stays_at_its_end_and_says_so() {
    let full = of(&[(1.75, u64::MAX), (1.75, u64::MAX), (1.5, 1)]).read(false);
    assert_eq!((full.count, full.saturated), (u64::MAX, true));
    assert!(full.sum >= 1.75 * 18_446_744_073_709_551_615.0);
    let great = of(&[(f64::MAX, 2), (1.0, 1)]).read(false);
    assert_eq!((great.sum, great.saturated, great.count), (f64::MAX, true, 3));
    let nearly = of(&[(1e300, 5), (1.0, 1)]).read(false);
    assert_eq!((nearly.sum, nearly.saturated), (5e300, false));
}

#[test]
fn near_far_and_shared_lanes_count_alike() {
    // More threads at the same time than there are lanes.
    const THREADS: u32 = 80;
    let (stripes, all) = (Arc::new(Stripes::default()), Arc::new(Barrier::new(THREADS as usize)));
    let start = |n: u32| {
        let (stripes, all) = (stripes.clone(), all.clone());
        thread::spawn(move || {
            all.wait();
            for i in 0..500 {
                let value = f64::from((i % 7 + 1) * n) / 64.0;
                assert!(stripes.own().map_or_else(|| stripes.record_elsewhere(value), |own| own.record(value)));
            }
            all.wait();
        })
    };
    let threads: Vec<_> = (1..=THREADS).map(start).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = stripes.read();
    let exact: u32 = (1..=THREADS).flat_map(|n| (0..500).map(move |i| (i % 7 + 1) * n)).sum();
    assert_eq!((seen.count, seen.sum), (500 * u64::from(THREADS), f64::from(exact) / 64.0));
    assert_eq!((seen.min, seen.max), (Some(1.0 / 64.0), Some(8.75)));
}
