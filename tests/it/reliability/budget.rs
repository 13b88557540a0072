//! The budget's rules by number, and against models that recount everything that ever happened.

use std::cell::Cell;

use daur_core::hal::clock::FnClock;
use daur_core::reliability::budget::{Budget, Config, ConfigError, Exhausted, Funds, Snapshot, Unlimited};
use daur_core::reliability::retry::{Decision, Reason};
use daur_core::shared::CsShared;
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const SMALL: Config = Config::TokenBucket { capacity: 20, retry_cost: 5, first_try_gain: 1 };

fn tokens(budget: &Budget) -> u32 {
    budget.snapshot().tokens
}

/// How many retries are funded at once.
fn granted(budget: &mut Budget) -> u32 {
    (0..1_000_000).take_while(|_| budget.try_retry().is_ok()).count().try_into().unwrap()
}

#[test]
fn rule_1_a_token_bucket_begins_full_and_a_retry_takes_its_cost() {
    let mut budget = Budget::new(Config::DEFAULT);
    assert_eq!(granted(&mut budget), 100, "500 tokens at 5 each, as in the AWS SDKs");
    let mut odd = Budget::new(Config::TokenBucket { capacity: 14, retry_cost: 5, first_try_gain: 1 });
    assert_eq!((granted(&mut odd), tokens(&odd)), (2, 4), "4 are left, which is less than a retry costs");
}

#[test]
fn rule_2_a_success_brings_back_the_cost_of_the_last_retry_or_one_token() {
    let mut budget = Budget::new(SMALL);
    granted(&mut budget);
    budget.on_success(2);
    assert_eq!(tokens(&budget), 5);
    budget.on_success(3);
    assert_eq!(tokens(&budget), 10, "of two retries only the last one's");
    budget.on_success(1);
    assert_eq!(tokens(&budget), 11);
    for _ in 0..100 {
        budget.on_success(1);
        budget.on_success(2);
    }
    assert_eq!(tokens(&budget), 20, "never above its capacity");
}

#[test]
fn rule_3_a_ratio_of_60_percent_funds_exactly_6_retries_of_10() {
    let mut budget = Budget::new(Config::ratio(60));
    assert_eq!(budget.try_retry(), Err(Exhausted), "it begins empty");
    for _ in 0..10 {
        budget.on_first_try();
    }
    assert_eq!(granted(&mut budget), 6);
    for percent in 1..=1_000 {
        let mut budget = Budget::new(Config::Ratio { percent, max_saved: 1_000 });
        for _ in 0..100 {
            budget.on_first_try();
        }
        assert_eq!(granted(&mut budget), u32::from(percent), "no rounding at {percent} %");
    }
}

#[test]
fn rule_4_a_ratio_saves_so_many_retries_and_no_more() {
    let mut budget = Budget::new(Config::Ratio { percent: 20, max_saved: 7 });
    for _ in 0..1_000_000 {
        budget.on_first_try();
    }
    assert_eq!(granted(&mut budget), 7);
}

#[test]
fn rule_5_a_refusal_takes_nothing_and_is_counted() {
    let mut budget = Budget::new(Config::ratio(50));
    budget.on_first_try();
    for _ in 0..1_000 {
        assert_eq!(budget.try_retry(), Err(Exhausted));
    }
    assert_eq!(budget.snapshot().refused, 1_000);
    budget.on_first_try();
    assert_eq!(budget.try_retry(), Ok(()));
    let expected = Snapshot { tokens: 0, capacity: 10_000, retry_cost: 100, funded: 1, refused: 1_000 };
    assert_eq!(budget.snapshot(), expected);
}

#[test]
fn rule_6_a_retry_that_was_paid_for_and_not_made_gives_all_of_it_back() {
    for config in [SMALL, Config::ratio(100)] {
        let mut budget = Budget::new(config);
        budget.on_first_try();
        let before = budget.snapshot();
        assert_eq!(budget.try_retry(), Ok(()));
        budget.cancel_retry();
        assert_eq!(budget.snapshot(), before);
    }
}

thread_local! {
    static NOW: Cell<Instant> = const { Cell::new(Instant::ZERO) };
}

/// A budget kept by time (as of tower's `TpsBudget`) spends its long idle catching up, or comes back empty.
#[test]
fn known_bug_a_budget_that_stalls_after_a_long_idle() {
    let clock = |at| CsShared::new(Budget::new(Config::ratio(50)), at);
    // The same steps just now and after 500 years.
    for idle in [Instant::ZERO, Instant::ZERO + Duration::from_secs(500 * 365 * 86_400)] {
        let shared = clock(idle);
        for _ in 0..4 {
            shared.on_first_try();
        }
        assert_eq!(shared.try_retry(), Ok(()));
        assert_eq!(shared.try_retry(), Ok(()));
        assert_eq!(shared.try_retry(), Err(Exhausted));
    }
}

#[test]
fn rule_7_after_a_long_idle_it_holds_what_it_held_and_is_filled_as_quickly() {
    let shared = CsShared::new(Budget::new(Config::ratio(50)), FnClock::new(|| NOW.with(Cell::get)));
    let funded = |idle: Duration| {
        for _ in 0..4 {
            shared.on_first_try();
        }
        NOW.with(|now| now.set(now.get() + idle));
        [shared.try_retry(), shared.try_retry(), shared.try_retry()]
    };
    // Just now, after 500 years, and when the clock has come back.
    for idle in [Duration::ZERO, Duration::from_secs(500 * 365 * 86_400), Duration::MAX] {
        assert_eq!(funded(idle), [Ok(()), Ok(()), Err(Exhausted)]);
    }
    NOW.with(|now| now.set(Instant::ZERO));
    assert_eq!(funded(Duration::ZERO), [Ok(()), Ok(()), Err(Exhausted)]);
    // And one that is empty is filled by the very next successes.
    let mut budget = Budget::new(SMALL);
    granted(&mut budget);
    for _ in 0..5 {
        budget.on_success(1);
    }
    assert_eq!(budget.try_retry(), Ok(()));
}

#[test]
fn an_outage_makes_a_share_more_calls_instead_of_three_times_as_many() {
    let mut budget = Budget::new(Config::ratio(10));
    let mut calls = 0;
    for _ in 0..1_000 {
        budget.on_first_try();
        calls += 1; // fails, and would be made up to three times
        calls += (0..2).take_while(|_| budget.try_retry().is_ok()).count();
    }
    assert_eq!(calls, 1_100);
}

#[test]
fn only_a_retry_is_paid_for() {
    let mut budget = Budget::new(Config::ratio(100));
    let retry = Decision::Retry { after: Duration::from_secs(1) };
    let stop = Decision::Stop { reason: Reason::Exhausted };
    budget.on_first_try();
    assert_eq!(budget.decide(stop), stop);
    assert_eq!(budget.decide(retry), retry);
    assert_eq!(budget.decide(retry), Decision::Stop { reason: Reason::Budget });
}

#[test]
fn without_a_budget_every_retry_is_paid_for() {
    let none: Option<Unlimited> = None;
    none.on_first_try();
    assert!((0..1_000).all(|_| Unlimited.try_retry().is_ok() && none.try_retry().is_ok()));
    none.on_success(1);
    none.cancel_retry();
    let some = Some(CsShared::new(Budget::new(Config::ratio(100)), Instant::ZERO));
    assert_eq!(some.try_retry(), Err(Exhausted));
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    let bucket = |capacity, retry_cost, first_try_gain| Config::TokenBucket { capacity, retry_cost, first_try_gain };
    let ratio = |percent, max_saved| Config::Ratio { percent, max_saved };
    for (config, error) in [
        (bucket(500, 0, 1), ConfigError::NoCost),
        (bucket(500, 5, 0), ConfigError::NoGain),
        (bucket(4, 5, 1), ConfigError::Capacity),
        (ratio(0, 1), ConfigError::Percent),
        (ratio(1_001, 1), ConfigError::Percent),
        (ratio(60, 0), ConfigError::MaxSaved),
        (ratio(60, 1_000_001), ConfigError::MaxSaved),
    ] {
        assert_eq!(Budget::try_new(config).unwrap_err(), error);
        assert!(error.to_string().starts_with("budget: `"), "{error}");
    }
    for config in [Config::DEFAULT, bucket(5, 5, 1), bucket(u32::MAX, 1, u32::MAX), ratio(1_000, 1_000_000)] {
        assert!(Budget::try_new(config).is_ok());
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    FirstTry,
    Retry,
    Success(u32),
    CancelRetry,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::FirstTry),
        4 => Just(Step::Retry),
        2 => (1_u32..4).prop_map(Step::Success),
        1 => Just(Step::CancelRetry),
    ];
    prop::collection::vec(step, 1..300)
}

fn config() -> impl Strategy<Value = Config> {
    prop_oneof![
        (1_u32..40, 1_u32..10, 1_u32..10).prop_map(|(spare, retry_cost, first_try_gain)| Config::TokenBucket {
            capacity: retry_cost + spare,
            retry_cost,
            first_try_gain
        }),
        (1_u16..=1_000, 1_u32..10).prop_map(|(percent, max_saved)| Config::Ratio { percent, max_saved }),
    ]
}

/// The rules in fractions of a retry, kept as a list of all deposits and withdrawals.
fn balance(config: Config, history: &[Step]) -> f64 {
    let (start, most, cost) = match config {
        Config::TokenBucket { capacity, retry_cost, .. } => {
            (f64::from(capacity), f64::from(capacity), f64::from(retry_cost))
        }
        Config::Ratio { max_saved, .. } => (0.0, f64::from(max_saved) * 100.0, 100.0),
        _ => unreachable!("there are two modes"),
    };
    history.iter().fold(start, |balance, step| {
        let change = match (config, *step) {
            (_, Step::Retry) => -cost,
            (_, Step::CancelRetry) => cost,
            (Config::TokenBucket { first_try_gain, .. }, Step::Success(1)) => f64::from(first_try_gain),
            (Config::TokenBucket { .. }, Step::Success(_)) => cost,
            (Config::Ratio { percent, .. }, Step::FirstTry) => f64::from(percent),
            _ => 0.0,
        };
        (balance + change).min(most)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_model_that_recounts_everything(config in config(), steps in steps()) {
        let mut budget = Budget::new(config);
        // What was granted and reported; refusals leave no trace in it.
        let mut history = Vec::new();
        let (mut out, mut refused) = (0_u32, 0_u32);
        for step in steps {
            match step {
                Step::FirstTry => budget.on_first_try(),
                Step::Success(attempts) => budget.on_success(attempts),
                Step::CancelRetry if out == 0 => continue,
                Step::CancelRetry => {
                    out -= 1;
                    budget.cancel_retry();
                }
                Step::Retry => {
                    let expected = balance(config, &history) >= f64::from(budget.snapshot().retry_cost);
                    prop_assert_eq!(budget.try_retry().is_ok(), expected);
                    if !expected {
                        refused += 1;
                        continue;
                    }
                    out += 1;
                }
            }
            history.push(step);
            let snapshot = budget.snapshot();
            prop_assert!((f64::from(snapshot.tokens) - balance(config, &history)).abs() < 1e-6);
            prop_assert_eq!((snapshot.funded, snapshot.refused), (out, refused));
            prop_assert_eq!(snapshot.retries_left(), snapshot.tokens / snapshot.retry_cost);
        }
    }

    /// Whatever the outcomes: retries are never more than their share of the first tries.
    #[test]
    fn a_ratio_is_never_exceeded(percent in 1_u16..=1_000, steps in steps()) {
        let mut budget = Budget::new(Config::ratio(percent));
        let (mut tries, mut retries) = (0_u64, 0_u64);
        for step in steps {
            match step {
                Step::FirstTry => {
                    budget.on_first_try();
                    tries += 1;
                }
                Step::Retry => retries += u64::from(budget.try_retry().is_ok()),
                Step::Success(attempts) => budget.on_success(attempts),
                Step::CancelRetry => {}
            }
            prop_assert!(retries * 100 <= tries * u64::from(percent));
        }
    }
}
