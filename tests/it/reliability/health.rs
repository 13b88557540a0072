//! The health's rules by number.

use daur_core::reliability::health::{
    AddError, CheckConfig, CheckId, Config, ConfigError, Health, Kind, Outcome, Status,
};
use daur_core::time::{Duration, Instant};

const NOW: Instant = Instant::from_secs(1);
const TOOK: Duration = Duration::from_millis(2);

fn report(health: &mut Health<4>, id: CheckId, outcome: Outcome) -> Status {
    health.report(id, outcome, TOOK, NOW)
}

fn one(config: CheckConfig) -> (Health<4>, CheckId) {
    let mut health = Health::new(Config::DEFAULT);
    let id = health.add("one", config).expect("room");
    (health, id)
}

#[test]
fn rule_1_thresholds_count_in_a_row() {
    let config = CheckConfig { success_threshold: 2, ..CheckConfig::READINESS };
    let (mut health, id) = one(config);
    assert_eq!(report(&mut health, id, Outcome::Pass), Status::Unhealthy);
    assert_eq!(report(&mut health, id, Outcome::Pass), Status::Healthy);
    for _ in 0..5 {
        assert_eq!(report(&mut health, id, Outcome::Fail), Status::Healthy);
        assert_eq!(report(&mut health, id, Outcome::Fail), Status::Healthy);
        assert_eq!(report(&mut health, id, Outcome::Pass), Status::Healthy);
    }
    for expected in [Status::Healthy, Status::Healthy, Status::Unhealthy, Status::Unhealthy] {
        assert_eq!(report(&mut health, id, Outcome::Fail), expected);
    }
}

#[test]
fn rule_2_the_first_status_depends_on_the_kind() {
    assert_eq!(one(CheckConfig::LIVENESS).0.status(Kind::Liveness), Status::Healthy);
    assert_eq!(one(CheckConfig::READINESS).0.status(Kind::Readiness), Status::Unhealthy);
    assert_eq!(one(CheckConfig::STARTUP).0.status(Kind::Startup), Status::Unknown);
}

#[test]
fn rule_3_a_check_that_panicked_or_took_too_long_has_failed() {
    let config = CheckConfig { failure_threshold: 1, ..CheckConfig::LIVENESS };
    let (mut health, id) = one(config);
    assert_eq!(report(&mut health, id, Outcome::Panicked), Status::Unhealthy);
    assert_eq!(report(&mut health, id, Outcome::Pass), Status::Healthy);
    assert_eq!(health.report(id, Outcome::Pass, config.timeout, NOW), Status::Healthy, "exactly in time");
    let late = config.timeout + Duration::from_nanos(1);
    assert_eq!(health.report(id, Outcome::Pass, late, NOW), Status::Unhealthy);
    let shown = health.snapshots().next().expect("one check");
    assert_eq!((shown.outcome, shown.took, shown.at), (Some(Outcome::TimedOut), late, Some(NOW)));
}

#[test]
fn rule_4_the_worst_check_decides_and_no_check_is_a_choice() {
    let mut health = Health::<4>::new(Config { empty: Status::Unhealthy });
    assert!(!health.is_live() && !health.is_ready());
    let a = health.add("a", CheckConfig::READINESS).expect("room");
    let b = health.add("b", CheckConfig::READINESS).expect("room");
    report(&mut health, a, Outcome::Pass);
    assert!(!health.is_ready());
    report(&mut health, b, Outcome::Pass);
    assert!(health.is_ready());
    assert!(!health.is_healthy(), "liveness is still empty");
}

#[test]
fn rule_5_startup_gates_the_others() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let start = health.add("start", CheckConfig::STARTUP).expect("room");
    let live = health.add("live", CheckConfig { failure_threshold: 1, ..CheckConfig::LIVENESS }).expect("room");
    report(&mut health, live, Outcome::Fail);
    assert!(health.is_live(), "what has not started yet is not restarted");
    assert!(!health.is_ready() && !health.is_started());
    report(&mut health, start, Outcome::Pass);
    assert!(!health.is_live() && health.is_ready());
}

#[test]
fn rule_5_a_start_that_is_over_hides_nothing_later() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let start = health.add("start", CheckConfig { failure_threshold: 1, ..CheckConfig::STARTUP }).expect("room");
    let live = health.add("live", CheckConfig { failure_threshold: 1, ..CheckConfig::LIVENESS }).expect("room");
    assert_eq!(report(&mut health, start, Outcome::Fail), Status::Unhealthy);
    assert_eq!(report(&mut health, start, Outcome::Pass), Status::Healthy);
    // Who runs all checks again and again runs this one too, with what made the program hang.
    assert_eq!(report(&mut health, start, Outcome::Fail), Status::Healthy);
    report(&mut health, live, Outcome::Fail);
    assert!(!health.is_live(), "a watchdog must not be fed any more");
}

#[test]
fn rule_6_degraded_counts_as_healthy() {
    let (mut health, id) = one(CheckConfig::READINESS);
    assert_eq!(report(&mut health, id, Outcome::Degraded), Status::Degraded);
    assert!(health.is_healthy());
}

#[test]
fn rule_7_a_name_exists_once_and_places_are_limited() {
    let (mut health, _) = one(CheckConfig::LIVENESS);
    assert_eq!(health.add("one", CheckConfig::READINESS), Err(AddError::Duplicate));
    let never = CheckConfig { failure_threshold: 0, ..CheckConfig::LIVENESS };
    assert_eq!(health.add("never", never), Err(AddError::Config(ConfigError::NoThreshold)));
    for name in ["two", "three", "four"] {
        health.add(name, CheckConfig::LIVENESS).expect("room");
    }
    assert_eq!(health.add("five", CheckConfig::LIVENESS), Err(AddError::Full));
}
