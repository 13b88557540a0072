//! The retry's rules by number, and bugs of other retries that this one must not have.

use daur_core::reliability::retry::{
    Attempts, Class, Config, ConfigError, Decision, GaveUp, Jitter, Reason, Retry, Strategy,
};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

const SECOND: Duration = Duration::from_secs(1);
const START: Instant = Instant::from_secs(1_000);
const PLAIN: Config = Config {
    max_attempts: Attempts::Forever,
    initial_delay: SECOND,
    max_delay: Duration::from_secs(60),
    jitter: Jitter::None,
    ..Config::DEFAULT
};

fn after(decision: Decision) -> Duration {
    match decision {
        Decision::Retry { after } => after,
        Decision::Stop { reason } => panic!("stopped: {reason}"),
    }
}

/// The first `n` waits of a run, in seconds, as if calls and waits took no time.
fn waits(config: Config, n: usize) -> Vec<u64> {
    let mut retry = Retry::new(config, 1, START);
    (0..n).map(|_| after(retry.next(START)).as_secs()).collect()
}

#[test]
fn rule_1_so_many_calls_are_made_and_not_one_more() {
    let mut retry = Retry::new(Config { max_attempts: Attempts::Limited(3), ..PLAIN }, 1, START);
    assert!(matches!(retry.next(START), Decision::Retry { .. }));
    assert!(matches!(retry.next(START), Decision::Retry { .. }));
    assert_eq!(retry.next(START), Decision::Stop { reason: Reason::Exhausted });
    assert_eq!(retry.next(START), Decision::Stop { reason: Reason::Exhausted }, "and it stays so");
    assert_eq!(retry.failures(), 4);
}

#[test]
fn each_strategy_waits_as_it_says() {
    let of = |strategy| waits(Config { strategy, ..PLAIN }, 8);
    assert_eq!(of(Strategy::Constant), [1; 8]);
    assert_eq!(of(Strategy::Linear), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(of(Strategy::EXPONENTIAL), [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(of(Strategy::Exponential { factor: 3 }), [1, 3, 9, 27, 60, 60, 60, 60]);
    assert_eq!(of(Strategy::Fibonacci), [1, 1, 2, 3, 5, 8, 13, 21]);
    let random = of(Strategy::Random { min: Duration::from_secs(5), max: Duration::from_secs(7) });
    assert!(random.iter().all(|wait| (5..=7).contains(wait)), "{random:?}");
}

#[test]
fn rule_2_attempts_33_and_100_000_wait_exactly_max_delay() {
    for strategy in [Strategy::Linear, Strategy::EXPONENTIAL, Strategy::Fibonacci] {
        let mut retry = Retry::new(Config { strategy, max_delay: Duration::from_secs(20), ..PLAIN }, 1, START);
        for attempt in 1..=100_000 {
            let wait = after(retry.next(START));
            if attempt == 33 || attempt == 100_000 {
                assert_eq!(wait, Duration::from_secs(20), "{strategy:?} at {attempt}");
            }
        }
    }
}

#[test]
fn each_jitter_covers_its_range_to_both_ends_and_never_leaves_it() {
    // The third wait of 4 ns, so that every value comes up.
    let spread = |jitter, max_delay| {
        let nanos = |seed| {
            let config = Config { jitter, initial_delay: Duration::from_nanos(1), max_delay, ..PLAIN };
            let mut retry = Retry::new(config, seed, START);
            let _ = (retry.next(START), retry.next(START));
            after(retry.next(START)).as_nanos()
        };
        let drawn: Vec<u64> = (0..2_000).map(nanos).collect();
        (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap())
    };
    assert_eq!(spread(Jitter::None, SECOND), (4, 4));
    assert_eq!(spread(Jitter::Full, SECOND), (0, 4));
    assert_eq!(spread(Jitter::Equal, SECOND), (2, 4));
    assert_eq!(spread(Jitter::Factor(50), SECOND), (2, 6));
    assert_eq!(spread(Jitter::Decorrelated, SECOND), (1, 27));
    assert_eq!(spread(Jitter::Factor(100), Duration::from_nanos(5)), (0, 5), "the cap comes after the jitter");
    assert_eq!(spread(Jitter::Decorrelated, Duration::from_nanos(5)), (1, 5));
}

/// A draw that is cut to the cap afterwards puts half of a fleet on the cap itself (`Factor`), or two thirds
/// of it (`Decorrelated`), or all of it (a `Random` from beyond the cap to further beyond it is that by config).
#[test]
fn known_bug_a_fleet_at_the_cap_that_is_in_step_again() {
    let reaching = |strategy, jitter| Config { strategy, jitter, ..PLAIN };
    let random = Strategy::Random { min: SECOND, max: SECOND.times(600) };
    for config in [
        reaching(Strategy::EXPONENTIAL, Jitter::Full),
        reaching(Strategy::EXPONENTIAL, Jitter::Equal),
        reaching(Strategy::EXPONENTIAL, Jitter::Factor(20)),
        reaching(Strategy::EXPONENTIAL, Jitter::Decorrelated),
        reaching(random, Jitter::None),
        reaching(random, Jitter::Factor(20)),
    ] {
        let mut fleet: Vec<u64> = (0..1_000)
            .map(|device| {
                let mut retry = Retry::new(config, device, START);
                for _ in 0..40 {
                    let _ = retry.next(START);
                }
                after(retry.next(START)).as_nanos()
            })
            .collect();
        fleet.sort_unstable();
        fleet.dedup();
        assert!(fleet.len() > 990, "{config:?}: {} different waits of 1,000", fleet.len());
    }
}

#[test]
fn rule_3_the_last_wait_is_cut_to_what_is_left_of_max_elapsed() {
    let config = Config { max_elapsed: Some(Duration::from_secs(10)), ..PLAIN };
    let mut retry = Retry::new(config, 1, START);
    let mut now = START + Duration::from_secs(2); // the first call took 2 s
    let mut all = Vec::new();
    while let Decision::Retry { after } = retry.next(now) {
        all.push(after.as_secs());
        now += after;
    }
    assert_eq!(all, [1, 2, 4, 1]);
    assert_eq!(now, START + Duration::from_secs(10));
    assert_eq!(retry.next(now), Decision::Stop { reason: Reason::Elapsed });
}

#[test]
fn rule_4_a_hint_replaces_the_computed_wait() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let mut retry = Retry::new(PLAIN, 1, START);
    assert_eq!(after(retry.next_after(Duration::ZERO, START)), Duration::ZERO);
    assert_eq!(after(retry.next_after(minutes(5), START)), minutes(5), "max_delay does not cut it");
    let mut capped = Retry::new(Config { cap_hint: true, ..PLAIN }, 1, START);
    assert_eq!(after(capped.next_after(minutes(5), START)), minutes(1));
}

#[test]
fn rule_4_a_hint_beyond_what_is_left_stops() {
    let mut retry = Retry::new(Config { max_elapsed: Some(SECOND.times(10)), ..PLAIN }, 1, START);
    let now = START + SECOND.times(4);
    assert_eq!(after(retry.next_after(SECOND.times(6), now)), SECOND.times(6));
    let late = SECOND.times(6) + Duration::from_nanos(1);
    assert_eq!(retry.next_after(late, now), Decision::Stop { reason: Reason::Elapsed });
}

#[test]
fn rule_5_after_a_stable_period_everything_starts_over() {
    let config = Config {
        max_attempts: Attempts::Limited(3),
        max_elapsed: Some(Duration::from_secs(100)),
        reset_after: Some(Duration::from_secs(300)),
        ..PLAIN
    };
    let mut retry = Retry::new(config, 1, START);
    let mut now = START;
    for _ in 0..50 {
        assert_eq!(after(retry.next(now)), SECOND);
        now += SECOND;
        assert_eq!(after(retry.next(now)), SECOND.times(2));
        now += SECOND.times(2);
        now += SECOND.times(300); // connected, and then lost again
    }
    assert_eq!(after(retry.next(now)), SECOND);
    now += SECOND;
    assert_eq!(after(retry.next(now)), SECOND.times(2));
    // One nanosecond short of stable, it goes on where it was: the attempts are used up.
    now += SECOND.times(302) - Duration::from_nanos(1);
    assert_eq!(retry.next(now), Decision::Stop { reason: Reason::Exhausted });
}

#[test]
fn rule_5_the_first_call_too_may_have_been_stable() {
    let config =
        Config { max_elapsed: Some(Duration::from_secs(100)), reset_after: Some(Duration::from_secs(300)), ..PLAIN };
    // Connected at the first try, for ten days.
    let lost = START + Duration::from_secs(10 * 86_400);
    let mut retry = Retry::new(config, 1, START);
    assert_eq!(after(retry.next(lost)), SECOND);
    assert_eq!(retry.snapshot().started, lost);
    // A first call that only took long has used its time up.
    let mut slow = Retry::new(config, 1, START);
    let failed = START + Duration::from_secs(300) - Duration::from_nanos(1);
    assert_eq!(slow.next(failed), Decision::Stop { reason: Reason::Elapsed });
}

#[test]
fn rule_6_the_same_seed_waits_the_same_and_another_seed_does_not() {
    let config = Config { jitter: Jitter::Full, ..PLAIN };
    let of = |seed| {
        let mut retry = Retry::new(config, seed, START);
        [(); 6].map(|()| retry.next(START))
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn rule_7_a_clock_that_steps_back_ends_nothing_early() {
    let config = Config { max_elapsed: Some(SECOND.times(10)), reset_after: Some(SECOND), ..PLAIN };
    let mut retry = Retry::new(config, 1, START);
    assert_eq!(after(retry.next(Instant::ZERO)), SECOND);
    assert_eq!(after(retry.next(Instant::ZERO)), SECOND.times(2));
}

#[test]
fn a_permanent_failure_is_not_retried() {
    for class in [Class::Permanent, Class::Ignored] {
        let decision = Retry::new(PLAIN, 1, START).on_failure(class, START);
        assert_eq!(decision, Decision::Stop { reason: Reason::NotRetryable });
    }
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    let refused = |config: Config| config.validate().expect_err("invalid");
    assert_eq!(refused(Config { max_attempts: Attempts::Limited(0), ..PLAIN }), ConfigError::NoAttempts);
    assert_eq!(refused(Config { max_delay: Duration::ZERO, ..PLAIN }), ConfigError::MaxDelay);
    assert_eq!(refused(Config { strategy: Strategy::Exponential { factor: 0 }, ..PLAIN }), ConfigError::NoFactor);
    let backwards = Strategy::Random { min: SECOND, max: Duration::ZERO };
    assert_eq!(refused(Config { strategy: backwards, ..PLAIN }), ConfigError::Random);
    assert_eq!(refused(Config { jitter: Jitter::Factor(101), ..PLAIN }), ConfigError::JitterFactor);
    assert_eq!(refused(Config { max_elapsed: Some(Duration::ZERO), ..PLAIN }), ConfigError::MaxElapsed);
    assert_eq!(refused(Config { reset_after: Some(Duration::ZERO), ..PLAIN }), ConfigError::ResetAfter);
    // For ever and without a wait is a hot loop, which an executor of futures does not come out of.
    let hot = Config { initial_delay: Duration::ZERO, ..PLAIN };
    assert_eq!(refused(hot), ConfigError::NoWait);
    assert_eq!(Config { max_attempts: Attempts::Limited(3), ..hot }.validate(), Ok(()));
    let at_once = Strategy::Random { min: Duration::ZERO, max: Duration::ZERO };
    assert_eq!(refused(Config { strategy: at_once, ..PLAIN }), ConfigError::NoWait);
    let soon = Strategy::Random { min: Duration::ZERO, max: SECOND };
    assert_eq!(Config { strategy: soon, ..hot }.validate(), Ok(()));
    assert_eq!(Config::DEFAULT.validate(), Ok(()));
}

/// Doubling wrapped to zero after 33 attempts, or 64: a hot loop against what is down.
#[test]
fn known_bug_a_delay_that_wraps_after_many_attempts() {
    for factor in [2, 3, u32::MAX] {
        let config = Config { strategy: Strategy::Exponential { factor }, ..PLAIN };
        let mut retry = Retry::new(config, 1, START);
        let all: Vec<Duration> = (0..200).map(|_| after(retry.next(START))).collect();
        assert!(all.is_sorted(), "{factor}");
        assert_eq!(all.last(), Some(&config.max_delay));
    }
}

/// Its sums passed the cap, which was only asked before they were added up.
#[test]
fn known_bug_a_fibonacci_delay_past_max_delay() {
    let config = Config { strategy: Strategy::Fibonacci, max_delay: Duration::from_secs(20), ..PLAIN };
    assert_eq!(waits(config, 10), [1, 1, 2, 3, 5, 8, 13, 20, 20, 20]);
    let huge = Config { initial_delay: Duration::MAX, max_delay: Duration::MAX, ..config };
    let mut retry = Retry::new(huge, 1, START);
    assert!((0..200).all(|_| after(retry.next(START)) == Duration::MAX));
}

/// The cap was asked before the jitter was put on top.
#[test]
fn known_bug_jitter_past_max_delay() {
    for jitter in [Jitter::Factor(100), Jitter::Factor(1), Jitter::Decorrelated, Jitter::Equal, Jitter::Full] {
        let config = Config { jitter, max_delay: SECOND, ..PLAIN };
        for seed in 0..2_000 {
            let mut retry = Retry::new(config, seed, START);
            assert!((0..5).all(|_| after(retry.next(START)) <= SECOND), "{jitter:?}");
        }
    }
}

/// A range from a minimum above its maximum is refused by the config, and survived without it.
#[test]
fn known_bug_a_random_delay_of_min_above_max_panics() {
    let strategy = Strategy::Random { min: SECOND.times(9), max: SECOND };
    let config = Config { strategy, jitter: Jitter::Full, ..PLAIN };
    assert_eq!(config.validate(), Err(ConfigError::Random));
    let mut retry = Retry::new(config, 1, START);
    assert!((0..100).all(|_| after(retry.next(START)) <= SECOND.times(9)));
    let mut inverted = Retry::new(Config { initial_delay: SECOND.times(9), max_delay: SECOND, ..PLAIN }, 1, START);
    assert!((0..100).all(|_| after(inverted.next(START)) <= SECOND));
}

/// With one seed for all, a thousand devices come back in the same microsecond. A seed has to be
/// given, and neighbouring device ids are enough.
#[test]
fn known_bug_a_fleet_with_one_constant_seed() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Factor(50)] {
        let config = Config { jitter, max_delay: Duration::from_secs(600), ..PLAIN };
        let mut fleet: Vec<u64> = (0..1_000)
            .map(|device| {
                let mut retry = Retry::new(config, device, START);
                let _ = (retry.next(START), retry.next(START));
                after(retry.next(START)).as_nanos() / 1_000
            })
            .collect();
        fleet.sort_unstable();
        fleet.dedup();
        assert!(fleet.len() > 990, "{jitter:?}: {} different waits", fleet.len());
        if jitter == Jitter::Decorrelated {
            continue; // a product of two draws, and so denser near its start
        }
        // And no tenth of the range is left out or crowded.
        let (first, last) = (fleet[0], fleet[fleet.len() - 1]);
        let mut tenths = [0; 10];
        for wait in &fleet {
            tenths[usize::try_from((wait - first) * 10 / (last - first + 1)).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (50..=200).contains(n)), "{jitter:?}: {tenths:?}");
    }
}

#[test]
fn what_is_given_up_says_why() {
    let text = |reason| GaveUp { error: "no route", reason, attempts: 3 }.to_string();
    assert_eq!(text(Reason::Exhausted), "no route (3 attempts: all attempts were used)");
    assert_eq!(text(Reason::Elapsed), "no route (3 attempts: no time was left)");
    assert_eq!(text(Reason::NotRetryable), "no route (3 attempts: a retry would not help)");
    assert_eq!(text(Reason::Budget), "no route (3 attempts: the retry budget is used up)");
    assert_eq!(text(Reason::Cancelled), "no route (3 attempts: it was cancelled)");
}

#[test]
fn forever_is_as_long_as_it_takes() {
    let mut retry = Retry::new(Config { max_attempts: Attempts::Forever, ..PLAIN }, 1, START);
    assert!((0..1_000_000).all(|_| matches!(retry.next(START), Decision::Retry { .. })));
    assert_eq!(retry.failures(), 1_000_000);
}

fn any_duration() -> impl proptest::strategy::Strategy<Value = Duration> {
    prop_oneof![any::<u64>(), 0_u64..5_000_000_000, Just(u64::MAX), Just(0)].prop_map(Duration::from_nanos)
}

fn any_config() -> impl proptest::strategy::Strategy<Value = Config> {
    let strategy = prop_oneof![
        Just(Strategy::Constant),
        Just(Strategy::Linear),
        any::<u32>().prop_map(|factor| Strategy::Exponential { factor }),
        Just(Strategy::Fibonacci),
        (any_duration(), any_duration()).prop_map(|(min, max)| Strategy::Random { min, max }),
    ];
    let jitter = prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        any::<u8>().prop_map(Jitter::Factor),
    ];
    let limits = (proptest::option::of(any_duration()), proptest::option::of(any_duration()), any::<bool>());
    (any_duration(), any_duration(), strategy, jitter, limits).prop_map(
        |(initial_delay, max_delay, strategy, jitter, (max_elapsed, reset_after, cap_hint))| Config {
            max_attempts: Attempts::Forever,
            initial_delay,
            max_delay,
            strategy,
            jitter,
            max_elapsed,
            reset_after,
            cap_hint,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Valid or not, with a minimum above its maximum too.
    #[test]
    fn no_config_makes_it_panic_or_wait_longer_than_max_delay(
        config in any_config(),
        seed in any::<u64>(),
        moments in prop::collection::vec(any::<u64>(), 1..50),
    ) {
        let mut retry = Retry::new(config, seed, START);
        for nanos in moments {
            let now = Instant::from_nanos(nanos);
            if let Decision::Retry { after } = retry.next(now) {
                prop_assert!(after <= config.max_delay);
                if let Some(limit) = config.max_elapsed {
                    prop_assert!(after <= limit);
                }
            }
        }
    }
}
