use std::sync::atomic::AtomicU64;

use super::lanes::LANES;
use super::stripe::Stripe;
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
