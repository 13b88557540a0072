//! Any sequence of beginnings, ends, reports and times against a model in which each rule is written plainly.

use daur_core::reliability::health::{CheckConfig, CheckId, Config, Health, Kind, Outcome, Status};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Whatever is due begins.
    Begin,
    /// The check ends its run, or reports without one.
    Finish(usize, Outcome),
    /// The check reports a run that took so many milliseconds.
    Report(usize, Outcome, u64),
    Abandon(usize),
    Poll,
    /// The clock goes on, or back.
    Time(i64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Pass),
        1 => Just(Outcome::Degraded),
        4 => Just(Outcome::Fail),
        1 => Just(Outcome::Panicked),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        4 => (0..3_usize, outcome()).prop_map(|(check, outcome)| Step::Finish(check, outcome)),
        3 => (0..3_usize, outcome(), 0..2_000_u64).prop_map(|(check, outcome, ms)| Step::Report(check, outcome, ms)),
        1 => (0..3_usize).prop_map(Step::Abandon),
        3 => Just(Step::Poll),
        4 => prop_oneof![0..700_i64, 0..20_000_i64, -5_000..0_i64].prop_map(Step::Time),
    ]
}

fn config(kind: Kind) -> impl Strategy<Value = CheckConfig> {
    let ms = Duration::from_millis;
    (1..4_u8, 1..4_u8, 1..1_500_u64, prop::option::of(1..9_000_u64), prop::option::of(1..9_000_u64)).prop_map(
        move |(success_threshold, failure_threshold, timeout, period, extra)| CheckConfig {
            kind,
            success_threshold,
            failure_threshold,
            timeout: ms(timeout),
            period: period.map(ms),
            max_age: extra.map(|extra| ms(period.unwrap_or(0) + extra)),
        },
    )
}

/// A check as the rules tell of it: everything that was judged, one after the other.
struct Naive {
    config: CheckConfig,
    judged: Vec<Outcome>,
    status: Status,
    is_stale: bool,
    heard: Option<Instant>,
    begun: Option<Instant>,
    /// When the last failure for lateness was counted in this run.
    late: Option<Instant>,
    due: Option<Instant>,
}

impl Naive {
    fn new(config: CheckConfig) -> Self {
        let status = match config.kind {
            Kind::Liveness => Status::Healthy,
            Kind::Readiness => Status::Unhealthy,
            Kind::Startup => Status::Unknown,
        };
        let due = config.period.map(|_| Instant::ZERO);
        Self { config, judged: Vec::new(), status, is_stale: false, heard: None, begun: None, late: None, due }
    }

    fn judge(&mut self, outcome: Outcome, now: Instant) {
        // Silence ends every row.
        if self.is_stale {
            self.judged.clear();
        }
        self.is_stale = false;
        self.judged.push(outcome);
        self.heard = Some(now);
        let row = self.judged.iter().rev().take_while(|one| one.has_passed() == outcome.has_passed()).count();
        if outcome.has_passed() && row >= usize::from(self.config.success_threshold) {
            self.status = if outcome == Outcome::Pass { Status::Healthy } else { Status::Degraded };
        } else if !outcome.has_passed() && row >= usize::from(self.config.failure_threshold) {
            self.fail();
        }
    }

    fn is_over(&self) -> bool {
        self.config.kind == Kind::Startup && self.status.is_healthy()
    }

    fn is_due(&self, now: Instant) -> bool {
        let has_started = self.config.kind == Kind::Startup && self.status == Status::Healthy;
        self.begun.is_none() && !has_started && self.due.is_some_and(|due| now >= due)
    }

    fn fail(&mut self) {
        if !self.is_over() {
            self.status = Status::Unhealthy;
        }
    }

    fn report(&mut self, outcome: Outcome, took: Duration, now: Instant) {
        let was_late = self.late.take().is_some();
        if self.begun.take().is_none() {
            self.due = self.config.period.map(|period| now + period);
        }
        if was_late {
            self.heard = Some(now);
            self.is_stale = false;
        } else {
            self.judge(if took > self.config.timeout { Outcome::TimedOut } else { outcome }, now);
        }
    }

    fn poll(&mut self, now: Instant) {
        if let Some(begun) = self.begun
            && now - self.late.unwrap_or(begun) > self.config.timeout
        {
            self.judge(Outcome::TimedOut, now);
            self.late = Some(now);
        }
        let Some(max_age) = self.config.max_age else { return };
        let heard = *self.heard.get_or_insert(now);
        if now - heard > max_age && !self.is_stale && !self.is_over() {
            self.is_stale = true;
            self.fail();
        }
    }
}

struct Both {
    health: Health<3>,
    naive: Vec<Naive>,
    ids: Vec<CheckId>,
}

impl Both {
    fn new(configs: [CheckConfig; 3]) -> Self {
        let mut health = Health::new(Config::DEFAULT);
        let ids = ["a", "b", "c"].iter().zip(configs).map(|(name, config)| health.add(name, config).expect("room"));
        let ids = ids.collect();
        Self { health, naive: configs.into_iter().map(Naive::new).collect(), ids }
    }

    fn is_started(&self) -> bool {
        self.naive.iter().filter(|check| check.config.kind == Kind::Startup).all(|check| check.status.is_healthy())
    }

    fn step(&mut self, step: Step, now: Instant) {
        let was_started = self.is_started();
        self.both_step(step, now);
        if !was_started && self.is_started() {
            // Until here liveness has not counted.
            for check in self.naive.iter_mut().filter(|check| check.config.kind == Kind::Liveness) {
                check.judged.clear();
                check.status = Status::Healthy;
                check.is_stale = false;
                check.heard = check.heard.map(|_| now);
            }
        }
    }

    fn both_step(&mut self, step: Step, now: Instant) {
        match step {
            Step::Begin => {
                while let Some(id) = self.health.begin(now) {
                    let check = &mut self.naive[id.index()];
                    assert!(check.is_due(now), "it was due");
                    check.begun = Some(now);
                    check.due = check.config.period.map(|period| now + period);
                }
                assert!(!self.naive.iter().any(|check| check.is_due(now)), "all that was due has begun");
            }
            Step::Finish(check, outcome) => {
                let took = now - self.naive[check].begun.unwrap_or(now);
                self.naive[check].report(outcome, took, now);
                self.health.finish(self.ids[check], outcome, now);
            }
            Step::Report(check, outcome, ms) => {
                self.naive[check].report(outcome, Duration::from_millis(ms), now);
                self.health.report(self.ids[check], outcome, Duration::from_millis(ms), now);
            }
            Step::Abandon(check) => {
                let naive = &mut self.naive[check];
                naive.late = None;
                if let Some(begun) = naive.begun.take() {
                    naive.due = naive.config.period.map(|_| begun);
                }
                self.health.abandon(self.ids[check]);
            }
            Step::Poll => {
                let before: Vec<Status> = self.naive.iter().map(|check| check.status).collect();
                self.naive.iter_mut().for_each(|check| check.poll(now));
                let changes = self.naive.iter().zip(before).any(|(check, before)| check.status != before);
                assert_eq!(self.health.poll(now), changes);
            }
            Step::Time(_) => {}
        }
    }

    fn compare(&self, now: Instant) {
        for (shown, naive) in self.health.snapshots().zip(&self.naive) {
            assert_eq!(shown.status, naive.status, "{shown:?}");
            assert_eq!(shown.outcome == Some(Outcome::Stale), naive.is_stale, "{shown:?}");
        }
        let all = |kind| self.naive.iter().filter(move |check: &&Naive| check.config.kind == kind);
        let well = |kind| all(kind).all(|check| check.status.is_healthy());
        let started = well(Kind::Startup);
        assert_eq!(self.health.is_started(), started);
        assert_eq!(self.health.is_live(), !started || well(Kind::Liveness));
        assert_eq!(self.health.is_ready(), started && well(Kind::Readiness));
        self.polling_before_poll_at_changes_nothing(now);
    }

    fn polling_before_poll_at_changes_nothing(&self, now: Instant) {
        let before = match self.health.poll_at() {
            Some(at) if at <= now => return,
            Some(at) => at - Duration::from_nanos(1),
            None => Instant::from_secs(1_000_000_000),
        };
        let mut polled = self.health.clone();
        assert!(!polled.poll(before));
        assert_eq!(polled.begin(before), None);
        let shown = |health: &Health<3>| health.snapshots().copied().collect::<Vec<_>>();
        assert_eq!(shown(&polled), shown(&self.health));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn health_does_what_the_naive_model_does(
        live in config(Kind::Liveness),
        ready in config(Kind::Readiness),
        start in config(Kind::Startup),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut both = Both::new([live, ready, start]);
        let mut now = Instant::from_secs(100);
        for step in steps {
            if let Step::Time(ms) = step {
                let length = Duration::from_millis(ms.unsigned_abs());
                now = if ms < 0 { now - length } else { now + length };
            }
            both.step(step, now);
            both.compare(now);
        }
    }
}
