//! The fallback's rules by number.

use daur_core::reliability::executor::{Cause, Execution, Failure};
use daur_core::reliability::fallback::{AddError, Fallback, Registry, Source};
use daur_core::reliability::retry::Reason;
use daur_core::time::{Duration, Instant};

const NOW: Instant = Instant::from_secs(100);
const CAUSE: Cause = Cause::Retry(Reason::Exhausted);

fn good(value: i32) -> Execution<i32, &'static str> {
    Execution::of_value(value)
}

fn failed(error: &'static str) -> Execution<i32, &'static str> {
    Execution { result: Err(Failure::Error(error)), cause: Some(CAUSE), ..good(0) }
}

#[test]
fn rule_1_a_success_is_left_as_it_is() {
    let mut fallback = Fallback::new(Source::Value(7));
    assert_eq!(fallback.apply(good(1), NOW), good(1));
    assert_eq!(fallback.snapshot().used, 0);
}

#[test]
fn rule_2_a_failure_gets_the_value_and_keeps_its_cause() {
    let saved = Fallback::new(Source::Value(7)).apply(failed("bus"), NOW);
    assert_eq!((saved.result, saved.fallback_used, saved.cause), (Ok(7), true, Some(CAUSE)));
}

#[test]
fn rule_2_a_function_sees_the_failure() {
    let source = Source::Function(|failure: &Failure<&str>| match failure {
        Failure::Error(error) => Ok(i32::try_from(error.len()).unwrap_or(0)),
        _ => Err("nothing to say"),
    });
    assert_eq!(Fallback::new(source).apply(failed("four"), NOW).result, Ok(4));
}

#[test]
fn rule_3_a_function_that_fails_reports_both_errors() {
    let lost = Fallback::new(Source::Function(|_| Err("and the spare too"))).apply(failed("bus"), NOW);
    assert_eq!(lost.result, Err(Failure::Error("bus")));
    assert_eq!((lost.fallback_error, lost.fallback_used), (Some("and the spare too"), false));
}

#[test]
fn rule_4_the_last_good_value_is_used_up_to_exactly_its_age() {
    let age = Duration::from_secs(10);
    let mut fallback = Fallback::new(Source::LastGood { max_age: age });
    assert!(!fallback.apply(failed("bus"), NOW).success(), "nothing is known yet");
    let _ = fallback.apply(good(21), NOW);
    assert_eq!(fallback.apply(failed("bus"), NOW + age).result, Ok(21));
    assert!(!fallback.apply(failed("bus"), NOW + age + Duration::from_nanos(1)).success());
    assert_eq!(fallback.apply(failed("bus"), Instant::ZERO).result, Ok(21), "a step back does not age it");
}

#[test]
fn rule_5_uses_and_misses_are_counted() {
    let mut fallback = Fallback::new(Source::LastGood { max_age: Duration::MAX });
    let _ = fallback.apply(failed("bus"), NOW);
    fallback.remember(&1, NOW);
    let _ = (fallback.apply(failed("bus"), NOW), fallback.apply(failed("bus"), NOW));
    assert_eq!((fallback.snapshot().used, fallback.snapshot().failed), (2, 1));
}

#[test]
fn rule_4_the_age_of_the_last_good_value_is_told() {
    let mut fallback = Fallback::<i32, &str>::new(Source::LastGood { max_age: Duration::from_secs(10) });
    assert_eq!(fallback.last_good(NOW), None);
    let _ = fallback.apply(good(21), NOW);
    assert_eq!(fallback.last_good(NOW + Duration::from_secs(10)), Some((&21, Duration::from_secs(10))));
    assert_eq!(fallback.last_good(NOW + Duration::from_secs(11)), None);
    let _ = fallback.apply(good(22), NOW + Duration::from_secs(1));
    assert_eq!(fallback.last_good(NOW), Some((&22, Duration::ZERO)));
}

#[test]
fn rule_5_each_cause_is_counted() {
    let mut fallback = Fallback::<i32, &str>::new(Source::Value(7));
    let failures = [Failure::Error("bus"), Failure::TimedOut, Failure::TimedOut, Failure::Open { retry_at: NOW }];
    for (failure, second) in failures.into_iter().zip(1..) {
        let failed = Execution { result: Err(failure), ..good(0) };
        assert!(fallback.apply(failed, Instant::from_secs(second)).fallback_used);
    }
    let shown = fallback.snapshot();
    assert_eq!((shown.used, shown.failed), (4, 0));
    assert_eq!((shown.errors, shown.timeouts, shown.refusals), (1, 2, 1));
    assert_eq!(shown.last_at, Some(Instant::from_secs(4)));
}

#[test]
fn rule_6_a_function_sees_the_failure_and_the_arguments() {
    let source = Source::WithArgs(|failure: &Failure<&'static str>, name: &str| match failure {
        Failure::Error(_) => i32::try_from(name.len()).map_err(|_| "too long"),
        _ => Err("not that"),
    });
    let mut fallback = Fallback::with_args(source);
    assert_eq!(fallback.apply_to(failed("bus"), "seven..", NOW).result, Ok(7));
    let late = fallback.apply_to(Execution { result: Err(Failure::TimedOut), ..good(0) }, "seven..", NOW);
    assert_eq!((late.result, late.fallback_error), (Err(Failure::TimedOut), Some("not that")));
}

#[test]
fn rule_6_what_the_caller_makes_is_judged_alike() {
    let mut fallback = Fallback::<i32, &str>::new(Source::Caller);
    assert!(!fallback.apply(failed("bus"), NOW).success(), "it has nothing of its own");
    let saved = fallback.settle(failed("bus"), Ok(3), NOW);
    assert_eq!((saved.result, saved.fallback_used, saved.cause), (Ok(3), true, Some(CAUSE)));
    let lost = fallback.settle(failed("bus"), Err(Some("spare")), NOW);
    assert_eq!((lost.result, lost.fallback_error), (Err(Failure::Error("bus")), Some("spare")));
    assert_eq!(fallback.settle(good(1), Ok(3), NOW), good(1), "there was nothing to make");
    assert_eq!((fallback.snapshot().used, fallback.snapshot().failed), (1, 2));
}

#[test]
fn registry_rule_2_a_name_that_is_not_registered_leaves_the_run_and_is_counted() {
    let mut registry = Registry::<i32, &str, 2, str>::new();
    registry.add("length", Source::WithArgs(|_, text| Ok(i32::try_from(text.len()).unwrap_or(0)))).expect("room");
    assert_eq!(registry.apply("length", failed("bus"), "three", NOW).result, Ok(5));
    assert_eq!(registry.apply("lenght", failed("bus"), "three", NOW), failed("bus"));
    assert_eq!(registry.unknown(), 1);
}

#[test]
fn registry_rule_1_a_name_exists_once_and_places_are_limited() {
    let mut registry = Registry::<i32, &str, 2>::new();
    assert_eq!(registry.add("a", Source::Value(1)), Ok(()));
    assert_eq!(registry.add("a", Source::Value(2)), Err(AddError::Duplicate));
    assert_eq!(registry.add("b", Source::Value(2)), Ok(()));
    assert_eq!(registry.add("c", Source::Value(3)), Err(AddError::Full));
    assert_eq!(registry.add(&"x".repeat(25), Source::Value(3)), Err(AddError::NameTooLong));
    let fallback = registry.by_name("b").expect("registered");
    assert_eq!(fallback.apply(failed("bus"), NOW).result, Ok(2));
    let used: Vec<_> = registry.snapshots().map(|(name, shown)| (name.as_str(), shown.used)).collect();
    assert_eq!(used, [("a", 0), ("b", 1)]);
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Good(i32),
        Failed,
        Late,
        Remember(i32),
        Time(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => any::<i32>().prop_map(Step::Good),
            3 => Just(Step::Failed),
            1 => Just(Step::Late),
            1 => any::<i32>().prop_map(Step::Remember),
            3 => (-20_i64..30).prop_map(Step::Time),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The model keeps every good value with its moment, and looks for the last of them.
        #[test]
        fn the_last_good_value_is_the_naive_models(max_age in 0_u64..25, steps in prop::collection::vec(step(), 1..60)) {
            let mut fallback = Fallback::<i32, &str>::new(Source::LastGood { max_age: Duration::from_secs(max_age) });
            let (mut all, mut asked, mut used, mut now) = (Vec::new(), 0, 0, 1_000_i64);
            for step in steps {
                let moment = Instant::from_secs(now.unsigned_abs());
                match step {
                    Step::Good(value) => {
                        prop_assert_eq!(fallback.apply(good(value), moment), good(value));
                        all.push((value, now));
                    }
                    Step::Remember(value) => {
                        fallback.remember(&value, moment);
                        all.push((value, now));
                    }
                    Step::Failed | Step::Late => {
                        let failure = if matches!(step, Step::Late) { Failure::TimedOut } else { Failure::Error("bus") };
                        let end = fallback.apply(Execution { result: Err(failure), ..good(0) }, moment);
                        let value = all.last().filter(|(_, at)| now - at <= max_age.cast_signed()).map(|(value, _)| *value);
                        prop_assert_eq!(end.result, value.ok_or(failure));
                        prop_assert_eq!(end.fallback_used, value.is_some());
                        asked += 1;
                        used += u32::from(value.is_some());
                    }
                    Step::Time(seconds) => now = (now + seconds).max(0),
                }
                let shown = fallback.snapshot();
                prop_assert_eq!((shown.used, shown.used + shown.failed), (used, asked));
                prop_assert_eq!(shown.errors + shown.refusals + shown.timeouts, asked);
            }
        }
    }
}
