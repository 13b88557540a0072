use std::collections::HashMap;

use daur_core::monitoring::errors::{Config, Errors};
use daur_core::time::Instant;
use proptest::prelude::*;

proptest! {
    /// Kinds are drawn so that few are frequent and many are rare.
    #[test]
    fn space_saving_keeps_its_bounds(draws in prop::collection::vec((0_u32..64).prop_map(|n| n * n / 64), 1..400)) {
        const KINDS: usize = 8;
        let mut errors: Errors<KINDS, 4> = Errors::new(Config::DEFAULT);
        let mut truth: HashMap<String, u64> = HashMap::new();
        for (n, draw) in draws.iter().enumerate() {
            let kind = format!("kind-{draw}");
            errors.record(&kind, "", Instant::from_secs(n as u64));
            *truth.entry(kind).or_default() += 1;
        }
        let total = draws.len() as u64;
        // 1. The counts sum up to the total.
        prop_assert_eq!(errors.top().map(|kind| kind.count).sum::<u64>(), total);
        prop_assert_eq!(errors.total(), total);
        // 2. Every kind above a KINDS-th is there.
        for (kind, count) in &truth {
            prop_assert!(*count <= total / KINDS as u64 || errors.kind(kind).is_some(), "{} of {}", kind, count);
        }
        // 3. count - overestimate <= truth <= count.
        for kind in errors.top() {
            let real = truth[kind.kind.as_str()];
            prop_assert!(kind.count - kind.overestimate <= real && real <= kind.count);
        }
        // Exact while all of them fit.
        if truth.len() <= KINDS {
            prop_assert!(errors.top().all(|kind| kind.overestimate == 0));
            prop_assert_eq!(errors.snapshot(Instant::ZERO).replaced, 0);
        }
        // Most frequent first, each once.
        let counts: Vec<_> = errors.top().map(|kind| kind.count).collect();
        prop_assert!(counts.is_sorted_by(|a, b| a >= b));
        prop_assert_eq!(counts.len(), truth.len().min(KINDS));
        prop_assert_eq!(errors.last().count(), draws.len().min(4));
    }
}

#[test]
fn the_snapshot_names_the_latest_error() {
    let mut errors: Errors<2, 2> = Errors::default();
    errors.record("net", "refused", Instant::from_secs(1));
    errors.record("net", "timed out", Instant::from_secs(2));
    let snapshot = errors.snapshot(Instant::from_secs(2));
    assert_eq!((snapshot.total, snapshot.recent, snapshot.kinds), (2, 2, 1));
    assert_eq!(snapshot.last.unwrap().message, "timed out");
}
