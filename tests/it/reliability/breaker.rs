//! The breaker's rules by number, and bugs of other breakers that this one must not have.

use daur_core::reliability::breaker::{
    Breaker, Cause, Config, ConfigError, CountWindow, Event, Open, Permit, State, Window,
};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const START: Instant = Instant::from_secs(1_000);

const CONFIG: Config =
    Config { failures: 3, recovery_timeout: Duration::from_secs(10), probe_lease: SECOND, ..Config::DEFAULT };

fn fail(breaker: &mut Breaker, now: Instant) -> Option<Event> {
    let permit = breaker.try_acquire(now).expect("admitted");
    breaker.on_failure(permit, now)
}

fn succeed(breaker: &mut Breaker, now: Instant) -> Option<Event> {
    let permit = breaker.try_acquire(now).expect("admitted");
    breaker.on_success(permit, now)
}

/// Lets one call fail, which must open the breaker, and says when it admits again.
fn fail_and_open(breaker: &mut Breaker, now: Instant) -> Instant {
    assert!(matches!(fail(breaker, now), Some(Event::Opened { .. })));
    breaker.poll_at().expect("an end of the wait")
}

/// A breaker of this config that has just opened, and the moment of its first probe.
fn opened(config: Config, now: Instant) -> (Breaker, Instant) {
    let mut breaker = Breaker::new(config);
    for _ in 1..config.failures {
        assert_eq!(fail(&mut breaker, now), None);
    }
    assert_eq!(fail(&mut breaker, now), Some(Event::Opened { cause: Cause::Failures }));
    let retry_at = breaker.poll_at().expect("an end of the wait");
    (breaker, retry_at)
}

#[test]
fn rule_1_failures_in_a_row_open_it_and_a_success_starts_the_count_over() {
    let mut breaker = Breaker::new(CONFIG);
    for _ in 0..100 {
        assert_eq!(fail(&mut breaker, START), None);
        assert_eq!(fail(&mut breaker, START), None);
        assert_eq!(succeed(&mut breaker, START), None);
    }
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
    let (breaker, _) = opened(CONFIG, START);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().opened, 1);
}

#[test]
fn rule_2_open_it_refuses_just_before_and_admits_exactly_at_retry_at() {
    let (mut breaker, retry_at) = opened(CONFIG, START);
    assert_eq!(retry_at, START + Duration::from_secs(10));
    assert_eq!(breaker.poll_at(), Some(retry_at));
    for now in [START, START + SECOND, retry_at - NANO] {
        assert_eq!(breaker.try_acquire(now), Err(Open { retry_at }));
    }
    assert_eq!(breaker.snapshot().refused, 3);
    let probe = breaker.try_acquire(retry_at).expect("a probe");
    assert_eq!(probe.event(), Some(Event::HalfOpened));
}

#[test]
fn polling_before_poll_at_changes_nothing_and_at_it_half_opens() {
    let (mut breaker, retry_at) = opened(CONFIG, START);
    assert_eq!(breaker.poll(retry_at - NANO), None);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.poll(retry_at), Some(Event::HalfOpened));
    assert_eq!((breaker.state(), breaker.poll_at()), (State::HalfOpen, None));
    assert_eq!(breaker.try_acquire(retry_at).expect("a probe").event(), None);
}

#[test]
fn rule_3_half_open_it_admits_so_many_probes_and_refuses_the_rest() {
    let (mut breaker, now) = opened(Config { probes: 3, success_threshold: 3, ..CONFIG }, START);
    let probes: Vec<Permit> = (0..3).map(|_| breaker.try_acquire(now).expect("a probe")).collect();
    assert_eq!(breaker.try_acquire(now), Err(Open { retry_at: now + SECOND }));
    // A success that does not decide anything yet frees no place either.
    for probe in probes.into_iter().take(2) {
        assert_eq!(breaker.on_success(probe, now), None);
    }
    assert!(breaker.try_acquire(now).is_err());
}

#[test]
fn rule_4_enough_successful_probes_close_it() {
    let (mut breaker, now) = opened(Config { probes: 5, success_threshold: 2, ..CONFIG }, START);
    assert_eq!(fail(&mut breaker, now), None);
    assert_eq!(succeed(&mut breaker, now), None);
    assert_eq!(succeed(&mut breaker, now), Some(Event::Closed));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().consecutive_failures, 0, "the failed probe is forgotten");
}

#[test]
fn rule_4_the_failure_that_makes_closing_impossible_opens_it_again() {
    let (mut breaker, now) = opened(Config { probes: 4, success_threshold: 2, ..CONFIG }, START);
    assert_eq!(succeed(&mut breaker, now), None);
    assert_eq!(fail(&mut breaker, now), None);
    assert_eq!(fail(&mut breaker, now), None);
    assert_eq!(fail(&mut breaker, now), Some(Event::Opened { cause: Cause::ProbeFailed }));
    assert_eq!(breaker.poll_at(), Some(now + Duration::from_secs(10)));
}

#[test]
fn rule_5_a_success_from_before_it_opened_does_not_close_it() {
    let mut breaker = Breaker::new(CONFIG);
    let slow = breaker.try_acquire(START).expect("closed");
    let slower = breaker.try_acquire(START).expect("closed");
    for _ in 0..3 {
        fail(&mut breaker, START);
    }
    assert_eq!(breaker.on_success(slow, START + SECOND), None);
    assert_eq!(breaker.state(), State::Open);
    let now = START + Duration::from_secs(10);
    let probe = breaker.try_acquire(now).expect("a probe");
    assert_eq!(breaker.on_failure(slower, now), None, "nor does it open a half-open one");
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.snapshot().late, 2);
    assert_eq!(breaker.on_success(probe, now), Some(Event::Closed));
}

#[test]
fn known_bug_wedged_when_every_probe_was_ignored() {
    let (mut breaker, now) = opened(Config { probes: 2, success_threshold: 2, ..CONFIG }, START);
    for _ in 0..1_000 {
        let probe = breaker.try_acquire(now).expect("a place");
        breaker.cancel(probe, now);
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.poll_at(), None);
    assert_eq!(succeed(&mut breaker, now), None);
    assert_eq!(succeed(&mut breaker, now), Some(Event::Closed));
}

#[test]
fn rule_6_a_cancelled_call_records_nothing() {
    let mut breaker = Breaker::new(CONFIG);
    fail(&mut breaker, START);
    fail(&mut breaker, START);
    let permit = breaker.try_acquire(START).expect("closed");
    breaker.cancel(permit, START);
    assert_eq!(breaker.snapshot().consecutive_failures, 2);
    assert!(fail(&mut breaker, START).is_some());
}

#[test]
fn rule_6_a_stale_permit_gives_back_nobody_elses_place() {
    let mut breaker = Breaker::new(CONFIG);
    let stale = breaker.try_acquire(START).expect("closed");
    for _ in 0..3 {
        fail(&mut breaker, START);
    }
    let now = START + Duration::from_secs(10);
    let _probe = breaker.try_acquire(now).expect("a probe");
    breaker.cancel(stale, now);
    assert!(breaker.try_acquire(now).is_err());
}

#[test]
fn rule_7_a_probe_that_never_reports_loses_its_place_at_the_end_of_its_lease() {
    let (mut breaker, now) = opened(CONFIG, START);
    let lost = breaker.try_acquire(now).expect("a probe");
    let lease_end = now + SECOND;
    assert_eq!(breaker.poll_at(), Some(lease_end));
    assert_eq!(breaker.try_acquire(lease_end - NANO), Err(Open { retry_at: lease_end }));
    let next = breaker.try_acquire(lease_end).expect("the place is free again");
    assert_eq!(breaker.on_success(lost, lease_end), None, "what it reports then is late");
    assert_eq!(breaker.snapshot().late, 1);
    assert_eq!(breaker.on_success(next, lease_end), Some(Event::Closed));
}

#[test]
fn known_bug_permits_destroyed_by_a_timeout() {
    let (mut breaker, mut now) = opened(Config { probes: 2, success_threshold: 2, ..CONFIG }, START);
    for _ in 0..100 {
        drop(breaker.try_acquire(now).expect("first place"));
        drop(breaker.try_acquire(now).expect("second place"));
        assert!(breaker.try_acquire(now).is_err());
        now += SECOND;
    }
}

#[test]
fn rule_8_the_wait_doubles_with_each_opening_up_to_its_limit() {
    let config = Config { recovery_timeout_max: Some(Duration::from_secs(60)), ..CONFIG };
    let (mut breaker, mut now) = opened(config, START);
    for wait in [20, 40, 60, 60, 60] {
        let retry_at = fail_and_open(&mut breaker, now);
        assert_eq!(retry_at - now, Duration::from_secs(wait));
        now = retry_at;
    }
    // Closing alone does not start it over, a success after closing does.
    assert_eq!(succeed(&mut breaker, now), Some(Event::Closed));
    succeed(&mut breaker, now);
    fail(&mut breaker, now);
    fail(&mut breaker, now);
    let retry_at = fail_and_open(&mut breaker, now);
    assert_eq!(retry_at - now, Duration::from_secs(10));
}

#[test]
fn rule_8_a_breaker_that_closes_and_fails_at_once_keeps_its_grown_wait() {
    let config = Config { failures: 1, recovery_timeout_max: Some(Duration::MAX), ..CONFIG };
    let (mut breaker, mut now) = opened(config, START);
    for wait in [20, 40, 80] {
        assert_eq!(succeed(&mut breaker, now), Some(Event::Closed));
        let retry_at = fail_and_open(&mut breaker, now);
        assert_eq!(retry_at - now, Duration::from_secs(wait));
        now = retry_at;
    }
    for _ in 0..300 {
        let retry_at = fail_and_open(&mut breaker, now);
        assert!(retry_at >= now);
        now = retry_at;
    }
    assert_eq!(now, Instant::MAX);
}

#[test]
fn rule_9_a_clock_that_steps_back_unlocks_nothing() {
    let (mut breaker, retry_at) = opened(CONFIG, START);
    for now in [Instant::ZERO, START - SECOND, retry_at - NANO] {
        assert!(breaker.try_acquire(now).is_err());
    }
    let _probe = breaker.try_acquire(retry_at).expect("a probe");
    assert!(breaker.try_acquire(Instant::ZERO).is_err());
    assert!(breaker.try_acquire(retry_at).is_err());
}

#[test]
fn rule_9_a_probe_admitted_after_a_step_back_does_not_shorten_the_lease_of_another() {
    let (mut breaker, now) = opened(Config { probes: 3, success_threshold: 3, ..CONFIG }, START);
    let first = breaker.try_acquire(now).expect("a probe");
    let second = breaker.try_acquire(Instant::ZERO).expect("a probe");
    assert_eq!(breaker.poll_at(), Some(now + SECOND));
    assert_eq!(breaker.on_success(first, now), None);
    assert_eq!(breaker.on_success(second, now), None);
    assert_eq!(breaker.snapshot().late, 0);
}

#[test]
fn rule_10_forced_open_it_refuses_until_reset() {
    let mut breaker = Breaker::new(CONFIG);
    let before = breaker.try_acquire(START).expect("closed");
    breaker.force_open(START);
    assert_eq!(breaker.try_acquire(Instant::MAX), Err(Open { retry_at: Instant::MAX }));
    assert_eq!((breaker.on_success(before, START), breaker.state()), (None, State::ForcedOpen));
    assert_eq!(breaker.poll_at(), None);
    breaker.reset(START);
    assert!(breaker.try_acquire(START).is_ok());
}

#[test]
fn rule_10_disabled_it_admits_all_and_counts_nothing() {
    let mut breaker = Breaker::new(CONFIG);
    breaker.force_closed(START);
    for _ in 0..100 {
        assert_eq!(fail(&mut breaker, START), None);
    }
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::Disabled, 0));
}

#[test]
fn rule_10_metrics_only_it_counts_without_opening() {
    let mut breaker = Breaker::new(CONFIG);
    breaker.metrics_only(START);
    for _ in 0..100 {
        assert_eq!(fail(&mut breaker, START), None);
    }
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::MetricsOnly, 100));
    breaker.reset(START);
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[test]
fn what_a_wrapper_keeps_in_an_atomic_tells_when_the_lock_is_needed() {
    let mut breaker = Breaker::new(CONFIG);
    let quiet = breaker.fast();
    assert!(quiet.admits && quiet.success_changes_nothing);
    fail(&mut breaker, START);
    assert!(breaker.fast().admits && !breaker.fast().success_changes_nothing);
    assert_eq!(breaker.on_success(Permit::of_generation(quiet.generation), START), None);
    assert_eq!(breaker.fast(), quiet);
    let (breaker, _) = opened(CONFIG, START);
    assert!(!breaker.fast().admits);
    assert_ne!(breaker.fast().generation, quiet.generation);
}

#[test]
fn known_bug_a_late_result_from_before_the_opening_closes_it() {
    let mut breaker = Breaker::new(CONFIG);
    let late = breaker.try_acquire(START).expect("closed");
    while fail(&mut breaker, START).is_none() {}
    let now = START + Duration::from_secs(10);
    assert_eq!(breaker.poll(now), Some(Event::HalfOpened));
    assert_eq!(breaker.on_success(late, now), None);
    assert_eq!((breaker.state(), breaker.snapshot().late), (State::HalfOpen, 1));
}

/// Two threads, 100,000 tries each: 100 openings with 1,000 tries of either.
#[test]
fn known_bug_half_open_over_admission_under_two_threads() {
    use daur_core::shared::{CsShared, Shared};
    const MOMENT: Instant = Instant::from_secs(10);
    for round in 0..100 {
        let probes = 1 + round % 5;
        let (breaker, _) = opened(Config { probes, success_threshold: probes, ..CONFIG }, Instant::ZERO);
        let shared = CsShared::new(breaker, MOMENT);
        let admitted: u32 = std::thread::scope(|scope| {
            let ask = || (0..1_000).map(|_| u32::from(shared.with(Breaker::try_acquire).is_ok())).sum::<u32>();
            let threads = [scope.spawn(ask), scope.spawn(ask)];
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(admitted, probes, "round {round}");
        assert_eq!(shared.with(|breaker, _| breaker.snapshot().refused), 2_000 - probes);
    }
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    let refused = |config: Config| Breaker::try_new(config).expect_err("invalid");
    assert_eq!(refused(Config { failures: 0, ..CONFIG }), ConfigError::NoFailures);
    assert_eq!(refused(Config { probes: 0, ..CONFIG }), ConfigError::NoProbes);
    assert_eq!(refused(Config { success_threshold: 0, ..CONFIG }), ConfigError::SuccessThreshold);
    assert_eq!(refused(Config { success_threshold: 2, ..CONFIG }), ConfigError::SuccessThreshold);
    assert_eq!(refused(Config { recovery_timeout: Duration::ZERO, ..CONFIG }), ConfigError::NoRecoveryTimeout);
    assert_eq!(refused(Config { probe_lease: Duration::ZERO, ..CONFIG }), ConfigError::NoProbeLease);
    assert_eq!(refused(Config { recovery_timeout_max: Some(SECOND), ..CONFIG }), ConfigError::RecoveryTimeoutMax);
    assert_eq!(Config::DEFAULT.validate(), Ok(()));
}

#[test]
fn the_extreme_configs_are_survived() {
    let config = Config {
        failures: 1,
        recovery_timeout: Duration::MAX,
        recovery_timeout_max: Some(Duration::MAX),
        probes: u32::MAX,
        success_threshold: u32::MAX,
        probe_lease: Duration::MAX,
    };
    let (mut breaker, retry_at) = opened(config, START);
    assert_eq!(retry_at, Instant::MAX);
    let probe = breaker.try_acquire(Instant::MAX).expect("the end of time has come");
    assert!(breaker.on_failure(probe, Instant::MAX).is_some());
}

const WINDOW: Window = Window { calls: 100, failure_pct: 50, min_calls: 10 };
type Windowed = Breaker<CountWindow<4>>;

#[test]
fn a_window_that_means_nothing_is_refused() {
    let refused = |window| Windowed::try_windowed(CONFIG, window).expect_err("invalid");
    assert_eq!(refused(Window { calls: 0, ..WINDOW }), ConfigError::WindowCalls);
    assert_eq!(refused(Window { calls: 129, ..WINDOW }), ConfigError::WindowCalls);
    assert_eq!(refused(Window { min_calls: 101, ..WINDOW }), ConfigError::WindowMinCalls);
    assert_eq!(refused(Window { min_calls: 0, ..WINDOW }), ConfigError::WindowMinCalls);
    assert_eq!(refused(Window { failure_pct: 101, ..WINDOW }), ConfigError::WindowFailurePct);
    assert_eq!(refused(Window { failure_pct: 0, ..WINDOW }), ConfigError::WindowFailurePct);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_count_window_opens_exactly_when_a_list_of_the_last_outcomes_says_so(
        calls in 1_u32..70,
        min_share in 1_u32..70,
        failure_pct in 1_u8..=100,
        outcomes in prop::collection::vec(any::<bool>(), 0..300),
    ) {
        let window = Window { calls, failure_pct, min_calls: min_share.min(calls) };
        let mut breaker = Breaker::<CountWindow<3>>::windowed(CONFIG, window);
        let mut past: Vec<bool> = Vec::new();
        for good in outcomes {
            let permit = breaker.try_acquire(START).expect("closed");
            let event = if good { breaker.on_success(permit, START) } else { breaker.on_failure(permit, START) };
            past.push(good);
            let last = &past[past.len().saturating_sub(calls as usize)..];
            let failed = last.iter().filter(|good| !**good).count();
            let opens = last.len() >= window.min_calls as usize && failed * 100 >= usize::from(failure_pct) * last.len();
            prop_assert_eq!(event.is_some(), opens);
            if opens {
                // Every change of state clears the window.
                breaker.reset(START);
                past.clear();
            }
        }
    }
}
