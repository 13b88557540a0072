//! The health's rules by number.

use daur_core::reliability::breaker::State;
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
    assert!(health.is_live() && health.is_ready());
    report(&mut health, live, Outcome::Fail);
    assert!(!health.is_live(), "from here on it counts");
}

#[test]
fn rule_5_what_liveness_said_before_the_start_was_over_restarts_nothing_after_it() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let start = health.add("start", CheckConfig::STARTUP).expect("room");
    let silent = CheckConfig { max_age: Some(Duration::from_secs(20)), ..CheckConfig::LIVENESS };
    let (live, silent) = (health.add("live", CheckConfig::LIVENESS), health.add("silent", silent));
    let (live, silent) = (live.expect("room"), silent.expect("room"));
    // A migration of a minute, during which nobody answers.
    for secs in (0..60).step_by(10) {
        health.report(live, Outcome::Fail, Duration::ZERO, Instant::from_secs(secs));
        health.poll(Instant::from_secs(secs));
    }
    assert_eq!(health.get(silent).expect("added").outcome, Some(Outcome::Stale));
    health.report(start, Outcome::Pass, Duration::ZERO, Instant::from_secs(60));
    assert!(health.is_live(), "or an orchestrator would restart it at the very moment at which it is up");
    // The threshold holds from here: two failures are not three.
    for (secs, is_live) in [(61, true), (62, true), (63, false)] {
        health.report(live, Outcome::Fail, Duration::ZERO, Instant::from_secs(secs));
        assert_eq!(health.is_live(), is_live, "{secs} s");
    }
    health.report(live, Outcome::Pass, Duration::ZERO, Instant::from_secs(64));
    // And so does the age.
    assert!(!health.poll(Instant::from_secs(80)) && health.is_live());
    assert!(health.poll(Instant::from_secs(81)) && !health.is_live());
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
    assert_eq!(health.add(&"x".repeat(25), CheckConfig::LIVENESS), Err(AddError::NameTooLong));
    for name in ["two", "three", "four"] {
        health.add(name, CheckConfig::LIVENESS).expect("room");
    }
    assert_eq!(health.add("five", CheckConfig::LIVENESS), Err(AddError::Full));
}

/// Every 10 s, 1 s at most, silent for 25 s at most; one failure is enough.
const WATCHED: CheckConfig =
    CheckConfig { failure_threshold: 1, max_age: Some(Duration::from_secs(25)), ..CheckConfig::LIVENESS };

const NANO: Duration = Duration::from_nanos(1);

#[test]
fn a_config_that_means_nothing_is_refused() {
    let refused = [
        (CheckConfig { failure_threshold: 0, ..WATCHED }, ConfigError::NoThreshold),
        (CheckConfig { success_threshold: 0, ..WATCHED }, ConfigError::NoThreshold),
        (CheckConfig { timeout: Duration::ZERO, ..WATCHED }, ConfigError::NoTimeout),
        (CheckConfig { period: Some(Duration::ZERO), ..WATCHED }, ConfigError::NoPeriod),
        (CheckConfig { max_age: WATCHED.period, ..WATCHED }, ConfigError::AgeTooShort),
        (CheckConfig { period: None, max_age: Some(Duration::ZERO), ..WATCHED }, ConfigError::AgeTooShort),
    ];
    for (config, error) in refused {
        assert_eq!(config.validate(), Err(error));
        assert_eq!(Health::<1>::new(Config::DEFAULT).add("one", config), Err(AddError::Config(error)));
    }
    assert_eq!(WATCHED.validate(), Ok(()));
}

#[test]
fn rule_4_a_start_that_nothing_checks_is_over_whatever_the_config_says() {
    let mut health = Health::<4>::new(Config::STRICT);
    assert!(health.is_started() && !health.is_live() && !health.is_ready());
    for (name, config) in [("live", CheckConfig::LIVENESS), ("ready", CheckConfig::READINESS)] {
        let id = health.add(name, config).expect("room");
        report(&mut health, id, Outcome::Pass);
    }
    assert!(health.is_healthy());
    assert_eq!(health.overall(), Status::Healthy);
}

#[test]
fn rule_4_the_overall_status_is_the_worst_of_all() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let live = health.add("live", WATCHED).expect("room");
    let ready = health.add("ready", CheckConfig::READINESS).expect("room");
    assert_eq!(health.overall(), Status::Unhealthy);
    report(&mut health, ready, Outcome::Degraded);
    assert_eq!(health.overall(), Status::Degraded);
    report(&mut health, live, Outcome::Fail);
    assert_eq!(health.overall(), Status::Unhealthy);
    report(&mut health, live, Outcome::Pass);
    let start = health.add("start", CheckConfig::STARTUP).expect("room");
    assert_eq!((health.status(Kind::Startup), health.judged(Kind::Readiness)), (Status::Unknown, Status::Unhealthy));
    report(&mut health, start, Outcome::Pass);
    assert_eq!(health.overall(), Status::Degraded);
}

#[test]
fn rule_8_a_check_is_due_at_once_and_then_a_period_after_its_last_beginning() {
    let (mut health, id) = one(CheckConfig::READINESS);
    let due = NOW + Duration::from_secs(10);
    assert_eq!(health.begin(NOW), Some(id));
    assert_eq!(health.begin(due), None, "it runs");
    health.finish(id, Outcome::Pass, NOW + TOOK);
    assert_eq!(health.get(id).expect("added").took, TOOK);
    assert_eq!(health.poll_at(), Some(due));
    assert_eq!(health.begin(due - NANO), None);
    assert_eq!(health.begin(due), Some(id));
    // One that took longer than its period is due again as soon as it has ended.
    health.finish(id, Outcome::Pass, due + Duration::from_secs(30));
    assert_eq!(health.begin(due + Duration::from_secs(30)), Some(id));
}

#[test]
fn rule_8_the_one_that_has_been_due_for_the_longest_time_comes_first() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let often = CheckConfig { period: Some(NANO), ..CheckConfig::READINESS };
    let (a, b) = (health.add("a", often).expect("room"), health.add("b", CheckConfig::READINESS).expect("room"));
    let mut begun = Vec::new();
    for second in 0..13 {
        let now = Instant::from_secs(second);
        let id = health.begin(now).expect("`a` is always due");
        health.finish(id, Outcome::Pass, now);
        begun.push(id);
    }
    assert_eq!(begun[..3], [a, b, a]);
    assert_eq!(begun.iter().filter(|id| **id == b).count(), 2, "it is not starved");
}

#[test]
fn rule_8_a_start_that_is_over_is_not_checked_again() {
    let mut health = Health::<2>::new(Config::DEFAULT);
    let aged = CheckConfig { max_age: Some(Duration::from_secs(15)), ..CheckConfig::STARTUP };
    let start = health.add("start", aged).expect("room");
    for (secs, outcome) in [(0, Outcome::Fail), (10, Outcome::Degraded), (20, Outcome::Pass)] {
        let now = Instant::from_secs(secs);
        assert_eq!(health.begin(now), Some(start), "at {secs} s; with a warning it is worth another look");
        health.finish(start, outcome, now);
    }
    assert_eq!((health.begin(Instant::from_secs(30)), health.poll_at()), (None, None));
    // Nor can it fall silent.
    assert!(!health.poll(Instant::from_secs(100)));
    assert_eq!(health.get(start).expect("added").outcome, Some(Outcome::Pass));
    assert!(health.start(start, Instant::from_secs(100)), "who asks for it gets it");
}

#[test]
fn rule_8_a_check_without_a_period_runs_only_when_asked() {
    let (mut health, id) = one(CheckConfig { period: None, ..CheckConfig::READINESS });
    assert_eq!((health.begin(Instant::MAX), health.poll_at()), (None, None));
    assert!(health.start(id, NOW) && health.is_running(id));
    assert!(!health.start(id, NOW), "it runs already");
    assert_eq!(health.finish(id, Outcome::Pass, NOW), Status::Healthy);
}

#[test]
fn rule_9_a_run_that_never_ends_fails_again_and_again() {
    let (mut health, id) = one(CheckConfig::LIVENESS);
    let _ = health.begin(NOW);
    let late = NOW + CheckConfig::LIVENESS.timeout + NANO;
    assert_eq!(health.poll_at(), Some(late));
    assert!(!health.poll(late - NANO));
    assert_eq!(health.get(id).expect("added").outcome, None, "exactly in time");
    let mut now = late;
    for changes in [false, false, true] {
        assert_eq!(health.poll(now), changes);
        assert_eq!(health.get(id).expect("added").outcome, Some(Outcome::TimedOut));
        assert!(!health.poll(now), "not twice for one timeout");
        now = health.poll_at().expect("it is watched");
    }
    assert!(!health.is_live(), "three failures in a row: the watchdog is not fed any more");
    let shown = *health.get(id).expect("added");
    assert_eq!((shown.runs, shown.failed), (3, 3));
}

#[test]
fn rule_9_a_late_end_is_not_counted_again() {
    let (mut health, id) = one(CheckConfig { failure_threshold: 2, ..CheckConfig::LIVENESS });
    let _ = health.begin(NOW);
    let late = NOW + CheckConfig::LIVENESS.timeout + NANO;
    health.poll(late);
    assert_eq!(health.finish(id, Outcome::Pass, late), Status::Healthy, "one failure, not two");
    let shown = *health.get(id).expect("added");
    assert_eq!((shown.outcome, shown.runs, shown.failed), (Some(Outcome::TimedOut), 1, 1));
    let _ = health.begin(late + Duration::from_secs(60));
    assert_eq!(health.finish(id, Outcome::Fail, late + Duration::from_secs(60)), Status::Unhealthy);
}

#[test]
fn rule_10_a_check_that_falls_silent_is_unhealthy_at_once() {
    let (mut health, id) = one(CheckConfig { failure_threshold: 3, period: None, ..WATCHED });
    report(&mut health, id, Outcome::Pass);
    let silent = NOW + Duration::from_secs(25) + NANO;
    assert_eq!(health.poll_at(), Some(silent));
    assert!(!health.poll(silent - NANO));
    assert!(health.poll(silent));
    let shown = *health.get(id).expect("added");
    assert_eq!((shown.status, shown.outcome, shown.runs), (Status::Unhealthy, Some(Outcome::Stale), 1));
    assert_eq!(health.poll_at(), None, "it cannot become more silent");
    assert_eq!(health.report(id, Outcome::Pass, TOOK, silent), Status::Healthy);
}

#[test]
fn rule_10_before_the_first_report_the_age_counts_from_the_first_look() {
    let (mut health, _) = one(CheckConfig { period: None, ..WATCHED });
    let first = Instant::from_secs(1_000);
    assert!(!health.poll(first));
    assert_eq!(health.poll_at(), Some(first + Duration::from_secs(25) + NANO));
    assert!(health.is_live());
    assert!(health.poll(first + Duration::from_secs(26)));
    assert!(!health.is_live());
}

#[test]
fn rule_11_a_run_that_was_cancelled_records_nothing_and_is_due_again() {
    let (mut health, id) = one(CheckConfig::READINESS);
    report(&mut health, id, Outcome::Pass);
    let before = *health.get(id).expect("added");
    let due = NOW + Duration::from_secs(10);
    assert_eq!(health.begin(due), Some(id));
    health.poll(due);
    health.abandon(id);
    assert_eq!(*health.get(id).expect("added"), before);
    assert_eq!(health.begin(due), Some(id));
}

#[test]
fn rule_12_an_open_breaker_never_fails_liveness_or_startup() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let ids = [("live", CheckConfig::LIVENESS), ("ready", CheckConfig::READINESS), ("start", CheckConfig::STARTUP)]
        .map(|(name, config)| health.add(name, config).expect("room"));
    for state in [State::Closed, State::Disabled, State::MetricsOnly] {
        assert_eq!(ids.map(|id| health.report_breaker(id, state, NOW)), [Status::Healthy; 3]);
    }
    for state in [State::Open, State::ForcedOpen] {
        for _ in 0..5 {
            let _ = ids.map(|id| health.report_breaker(id, state, NOW));
        }
        let [live, ready, start] = ids.map(|id| health.get(id).expect("added").status);
        assert_eq!((live, ready, start), (Status::Degraded, Status::Unhealthy, Status::Degraded));
        assert!(health.is_live() && !health.is_ready());
    }
    assert_eq!(ids.map(|id| health.report_breaker(id, State::HalfOpen, NOW)), [Status::Degraded; 3]);
}

#[test]
fn rule_13_a_clock_that_steps_back_makes_nothing_late_stale_or_due() {
    let (mut health, id) = one(WATCHED);
    let later = Instant::from_secs(1_000_000);
    health.report(id, Outcome::Pass, TOOK, later);
    assert!(!health.poll(Instant::ZERO));
    assert_eq!(health.begin(Instant::ZERO), None);
    assert!(health.start(id, later));
    assert!(!health.poll(Instant::ZERO));
    assert_eq!(health.finish(id, Outcome::Pass, Instant::ZERO), Status::Healthy);
    assert_eq!(health.get(id).expect("added").took, Duration::ZERO);
}

/// What a loop of a device does with its watchdog: one task hangs, and the dog is starved.
#[test]
fn a_watchdog_is_fed_only_while_liveness_holds() {
    let mut health = Health::<4>::new(Config::DEFAULT);
    let radio = health.add("radio", CheckConfig { period: None, ..WATCHED }).expect("room");
    let sensor = health.add("sensor", CheckConfig { kind: Kind::Readiness, period: None, ..WATCHED }).expect("room");
    let mut last_fed = Instant::ZERO;
    for second in 1..=120 {
        let now = Instant::from_secs(second);
        if second <= 60 {
            health.report(radio, Outcome::Pass, TOOK, now);
        }
        health.report(sensor, Outcome::Fail, TOOK, now);
        health.poll(now);
        if health.is_live() {
            last_fed = now;
        }
    }
    assert_eq!(last_fed, Instant::from_secs(85), "25 s after the radio's last word, whatever the sensor says");
}
