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

/// What is asked of the summary after each error, beside an exact count.
fn check<const KINDS: usize>(errors: &Errors<KINDS, 0, 8, 0>, truth: &HashMap<u16, u64>) {
    let total = truth.values().sum::<u64>();
    assert_eq!(errors.total(), total);
    assert_eq!(errors.top().map(|kind| kind.count).sum::<u64>(), total);
    for (kind, count) in truth.iter().filter(|(_, count)| **count > total / KINDS as u64) {
        assert!(errors.kind(&kind.to_string()).is_some(), "{kind}: {count} of {total}");
    }
    for kind in errors.top() {
        let real = truth[&kind.kind.as_str().parse().unwrap()];
        assert!(kind.count - kind.overestimate <= real && real <= kind.count, "{kind:?}, really {real}");
        // The bound itself is bounded: no more than a KINDS-th of all.
        assert!(kind.overestimate <= total / KINDS as u64, "{kind:?} of {total}");
    }
}

fn replay<const KINDS: usize>(kinds: impl IntoIterator<Item = u16>) {
    let mut errors: Errors<KINDS, 0, 8, 0> = Errors::default();
    let mut truth = HashMap::new();
    for (kind, n) in kinds.into_iter().zip(0..) {
        errors.record(&kind.to_string(), "", Instant::from_secs(n));
        *truth.entry(kind).or_default() += 1;
        check(&errors, &truth);
    }
}

#[test]
fn streams_that_are_out_to_harm_the_summary_do_not() {
    // Never the same kind twice: the place that is free is always the next one's.
    replay::<4>(0..500);
    // Round and round by one kind more than there are places: each has just been put out when it comes again.
    replay::<4>((0..500).map(|n| n % 5));
    // A frequent kind comes only when all others have been let in.
    replay::<4>((0..500).map(|n| if n % 4 == 0 { 0 } else { n }));
    // Frequent at first, then never again; then another.
    replay::<4>((0..600).map(|n| match n {
        0..=149 => 0,
        150..=299 => n,
        300..=449 => 1,
        _ => n,
    }));
    // One kind, and a single place.
    replay::<1>((0..200).map(|n| n / 3));
    // Pairs: every new kind comes twice, and so stays longer.
    replay::<8>((0..800).map(|n| n / 2 % 17));
}

proptest! {
    #[test]
    fn any_stream_keeps_the_bounds_at_every_step(kinds in prop::collection::vec(0_u16..24, 1..200)) {
        replay::<1>(kinds.iter().copied());
        replay::<2>(kinds.iter().copied());
        replay::<7>(kinds.iter().copied());
        replay::<24>(kinds);
    }

    /// Of `recent`, which forgets by halves: it is between the errors of the last window and those of the last two.
    #[test]
    fn recent_lies_between_one_window_and_two(steps in prop::collection::vec(0_u64..90, 1..100), later in 0_u64..200) {
        let mut errors: Errors<1, 0, 8, 0> = Errors::default();
        let (mut now, mut moments) = (0, Vec::new());
        for step in steps {
            now += step;
            errors.record("k", "", Instant::from_secs(now));
            moments.push(now);
        }
        now += later;
        let within = |window: u64| moments.iter().filter(|moment| **moment + window > now).count() as u64;
        let recent = errors.recent(Instant::from_secs(now));
        prop_assert!(recent <= within(120), "{recent} of {}", within(120));
        // What is surely of this window: since it began, which is less than one ago.
        if later == 0 {
            prop_assert!(recent >= 1);
        }
    }

    #[test]
    fn the_last_are_a_ring(kinds in prop::collection::vec(0_u16..9, 0..40)) {
        let mut errors: Errors<2, 5> = Errors::default();
        for (kind, n) in kinds.iter().zip(0..) {
            errors.record(&kind.to_string(), &format!("number {n}"), Instant::from_secs(n));
        }
        let last: Vec<_> = errors.last().map(|error| error.message.as_str().to_string()).collect();
        let expected: Vec<_> = (0..kinds.len()).rev().take(5).map(|n| format!("number {n}")).collect();
        prop_assert_eq!(last, expected);
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
