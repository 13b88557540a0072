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
fn a_registry_finds_by_name_and_has_a_limit() {
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
