//! The timeout's rules by number, and against a model that looks everything up anew.

use daur_core::reliability::timeout::{Config, ConfigError, Deadline, TimedOut, Timeout};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const START: Instant = Instant::from_secs(1_000);
const NANO: Duration = Duration::from_nanos(1);
const BOTH: Config = Config { total: Some(Duration::from_secs(10)), attempt: Some(Duration::from_secs(3)) }.checked();

fn at(secs: u64) -> Instant {
    START + Duration::from_secs(secs)
}

#[test]
fn rule_1_a_limit_is_over_exactly_at_its_end() {
    let mut timeout = Timeout::new(BOTH, START);
    assert_eq!(timeout.start_attempt(START), Ok(Deadline::at(at(3))));
    assert_eq!(timeout.poll(at(3) - NANO), Ok(()));
    assert_eq!(timeout.poll(at(3)), Err(TimedOut::Attempt));
    timeout.end_attempt();
    assert_eq!(timeout.poll(at(10) - NANO), Ok(()));
    assert_eq!(timeout.poll(at(10)), Err(TimedOut::Total));
}

#[test]
fn rule_2_an_attempt_ends_at_the_earlier_limit_and_the_answer_says_which() {
    let mut timeout = Timeout::new(BOTH, START);
    assert_eq!(timeout.start_attempt(at(8)), Ok(Deadline::at(at(10))), "cut to what is left");
    assert_eq!(timeout.poll(at(10)), Err(TimedOut::Total));
    let mut together = Timeout::new(BOTH, START);
    assert_eq!(together.start_attempt(at(7)), Ok(Deadline::at(at(10))));
    assert_eq!(together.poll(at(10)), Err(TimedOut::Total), "both at once: no other attempt would help");
}

#[test]
fn rule_3_no_attempt_starts_at_or_after_the_end_of_the_total() {
    let mut timeout = Timeout::new(BOTH, START);
    assert!(timeout.start_attempt(at(10) - NANO).is_ok());
    assert_eq!(timeout.start_attempt(at(10)), Err(TimedOut::Total));
}

#[test]
fn rule_4_a_nested_run_is_over_no_later_than_the_one_around_it() {
    let request = Deadline::after(Duration::from_secs(5), START);
    let mut query = Timeout::nested(BOTH, request, at(1));
    assert_eq!(query.remaining(at(1)), Some(Duration::from_secs(4)));
    assert_eq!(query.poll(at(5)), Err(TimedOut::Total));
    let unlimited = Timeout::nested(Config::DEFAULT, request, at(1));
    assert_eq!(unlimited.poll_at(), Some(at(5)), "it has the outer limit, if none of its own");
    let shorter = Timeout::nested(Config::total(Duration::from_secs(2)), request, at(1));
    assert_eq!(shorter.poll_at(), Some(at(3)));
}

#[test]
fn rule_5_what_is_over_stays_over_when_the_clock_steps_back() {
    let mut timeout = Timeout::new(BOTH, START);
    assert!(timeout.start_attempt(START).is_ok());
    assert_eq!(timeout.poll(at(3)), Err(TimedOut::Attempt));
    assert_eq!(timeout.poll(at(1)), Err(TimedOut::Attempt));
    assert_eq!(timeout.poll(at(10)), Err(TimedOut::Total));
    assert_eq!(timeout.poll(Instant::ZERO), Err(TimedOut::Total));
    assert_eq!(timeout.start_attempt(START), Err(TimedOut::Total));
    assert_eq!((timeout.remaining(START), timeout.poll_at()), (Some(Duration::ZERO), None));
    let early = Timeout::new(BOTH, START);
    assert_eq!(early.remaining(Instant::ZERO), Some(Duration::from_secs(10)), "never more than the limit");
}

#[test]
fn rule_6_a_limit_of_zero_is_refused() {
    assert_eq!(Config::total(Duration::ZERO).validate(), Err(ConfigError::NoTotal));
    let attempt = Config { total: None, attempt: Some(Duration::ZERO) };
    assert_eq!(attempt.validate(), Err(ConfigError::NoAttempt));
    assert_eq!(attempt.validate().unwrap_err().to_string(), "timeout: `attempt` is zero; leave it out for no limit");
    assert!([Config::DEFAULT, BOTH, Config::total(NANO)].iter().all(|config| config.validate().is_ok()));
}

#[test]
fn without_limits_nothing_is_ever_over() {
    let mut timeout = Timeout::new(Config::DEFAULT, START);
    assert_eq!(timeout.start_attempt(START), Ok(Deadline::NEVER));
    assert_eq!(timeout.poll(Instant::MAX), Ok(()));
    assert_eq!((timeout.poll_at(), timeout.remaining(Instant::MAX)), (None, None));
}

#[test]
fn a_limit_beyond_the_end_of_time_never_comes() {
    let far = Deadline::after(Duration::MAX, START);
    assert_eq!((far, far.moment(), far.remaining(START)), (Deadline::NEVER, None, None));
    assert!(!far.is_over(Instant::MAX));
    assert_eq!(Deadline::from(None), Deadline::NEVER);
    assert_eq!(Deadline::from(Some(START)).moment(), Some(START));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    End,
    Poll,
    Forward(u64),
    Back(u64),
}

/// Whoever waits for `poll_at` after an attempt is over would not wait at all, over and over.
#[test]
fn poll_at_of_an_attempt_that_is_over_is_the_end_of_the_total() {
    let config = Config { total: Some(Duration::from_secs(5)), attempt: Some(Duration::from_secs(2)) };
    let mut timeout = Timeout::new(config, START);
    timeout.start_attempt(START).unwrap();
    let over = START + Duration::from_secs(2);
    assert_eq!(timeout.poll_at(), Some(over));
    assert_eq!(timeout.poll(over), Err(TimedOut::Attempt));
    assert_eq!(timeout.poll_at(), Some(START + Duration::from_secs(5)));
    let mut endless = Timeout::new(Config { total: None, ..config }, START);
    endless.start_attempt(START).unwrap();
    assert_eq!(endless.poll(over), Err(TimedOut::Attempt));
    assert_eq!(endless.poll_at(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_model_that_remembers_every_moment(
        total in prop::option::of(1_u64..60),
        attempt in prop::option::of(1_u64..60),
        outer in prop::option::of(0_u64..100),
        steps in prop::collection::vec(prop_oneof![
            3 => Just(Step::Start),
            1 => Just(Step::End),
            4 => Just(Step::Poll),
            4 => (0_u64..20).prop_map(Step::Forward),
            1 => (0_u64..20).prop_map(Step::Back),
        ], 1..100),
    ) {
        let nanos = |nanos: u64| START + Duration::from_nanos(nanos);
        let config = Config { total: total.map(Duration::from_nanos), attempt: attempt.map(Duration::from_nanos) };
        let mut timeout = Timeout::nested(config, Deadline::from(outer.map(nanos)), START);
        let end = [total, outer].into_iter().flatten().min();
        // Moments relative to the start, the polls since the attempt's start last.
        let (mut now, mut seen, mut started, mut polled) = (0_u64, 0_u64, None, Vec::new());
        for step in steps {
            match step {
                Step::Forward(by) => now += by,
                Step::Back(by) => now = now.saturating_sub(by),
                Step::End => {
                    timeout.end_attempt();
                    started = None;
                }
                Step::Start => {
                    seen = seen.max(now);
                    let over = end.is_some_and(|end| seen >= end);
                    prop_assert_eq!(timeout.start_attempt(nanos(now)).is_err(), over);
                    (started, polled) = (if over { None } else { Some(now) }, Vec::new());
                }
                Step::Poll => {
                    let before = timeout.snapshot();
                    let earlier = timeout.poll_at().is_some_and(|at| nanos(now) < at);
                    seen = seen.max(now);
                    polled.push(now);
                    let total_over = end.is_some_and(|end| seen >= end);
                    let attempt_end = started.and_then(|start| attempt.map(|limit| start + limit));
                    let attempt_over = attempt_end.is_some_and(|end| polled.iter().any(|&poll| poll >= end));
                    let expected = match (total_over, attempt_over) {
                        (true, _) => Err(TimedOut::Total),
                        (_, true) => Err(TimedOut::Attempt),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(timeout.poll(nanos(now)), expected);
                    if earlier {
                        prop_assert_eq!(timeout.snapshot(), before, "polling before poll_at changes nothing");
                    }
                    let left = match end {
                        Some(_) if total_over => Some(0),
                        end => end.map(|end| end - now),
                    };
                    prop_assert_eq!(timeout.remaining(nanos(now)), left.map(Duration::from_nanos));
                }
            }
        }
    }
}
