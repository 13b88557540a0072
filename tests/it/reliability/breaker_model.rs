//! The breaker against a naive model that remembers every probe, under calls, outcomes,
//! cancellations, lost permits, and time that goes both ways.

use daur_core::reliability::breaker::{Breaker, Config, Event, Permit, State};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Success(usize),
    Failure(usize),
    Cancel(usize),
    Lose(usize),
    Forward(u64),
    Back(u64),
    Poll,
    Reset,
    ForceOpen,
    Disable,
    MetricsOnly,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Acquire),
        6 => (0_usize..8).prop_map(Step::Success),
        9 => (0_usize..8).prop_map(Step::Failure),
        2 => (0_usize..8).prop_map(Step::Cancel),
        2 => (0_usize..8).prop_map(Step::Lose),
        6 => (0_u64..40).prop_map(Step::Forward),
        2 => (0_u64..40).prop_map(Step::Back),
        3 => Just(Step::Poll),
        1 => prop_oneof![Just(Step::Reset), Just(Step::ForceOpen), Just(Step::Disable), Just(Step::MetricsOnly)],
    ]
}

fn config() -> impl Strategy<Value = Config> {
    (1_u32..5, 1_u64..30, 0_u64..3, 1_u32..4, 0_u32..3, 1_u64..20).prop_map(
        |(failures, wait, growth, probes, spare, lease)| Config {
            failures,
            recovery_timeout: Duration::from_nanos(wait),
            recovery_timeout_max: (growth > 0).then(|| Duration::from_nanos(wait * growth * 3)),
            probes,
            success_threshold: probes.saturating_sub(spare).max(1),
            probe_lease: Duration::from_nanos(lease),
        },
    )
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    Out { id: usize, lease_end: u64 },
    Good,
    Bad,
}

/// Written from the rules, with lists in place of counters.
struct Model {
    config: Config,
    state: State,
    /// Calls admitted in the present state whose report will count.
    live: Vec<usize>,
    recent: Vec<bool>,
    probes: Vec<Probe>,
    until: u64,
    openings_in_a_row: u32,
    opened: u32,
    refused: u32,
    late: u32,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            live: Vec::new(),
            recent: Vec::new(),
            probes: Vec::new(),
            until: 0,
            openings_in_a_row: 0,
            opened: 0,
            refused: 0,
            late: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.live.clear();
        self.recent.clear();
        self.probes.clear();
    }

    fn open(&mut self, now: u64) {
        let base = self.config.recovery_timeout.as_nanos();
        let max = self.config.recovery_timeout_max.map_or(base, Duration::as_nanos);
        let wait = (u128::from(base) << self.openings_in_a_row.min(60)).min(u128::from(max));
        self.enter(State::Open);
        self.until = now + u64::try_from(wait).unwrap();
        self.openings_in_a_row += 1;
        self.opened += 1;
    }

    /// When the last of the probes that are out loses its place.
    fn lease_end(&self) -> Option<u64> {
        let ends = self.probes.iter().filter_map(|probe| match probe {
            Probe::Out { lease_end, .. } => Some(*lease_end),
            _ => None,
        });
        // An earlier probe's lease holds on even if that probe has reported since.
        ends.max().map(|end| end.max(self.until))
    }

    fn poll(&mut self, now: u64) -> bool {
        if self.state == State::Open && now >= self.until {
            self.enter(State::HalfOpen);
            return true;
        }
        if self.state == State::HalfOpen && self.lease_end().is_some_and(|end| now >= end) {
            self.probes.retain(|probe| !matches!(probe, Probe::Out { .. }));
            self.live.clear();
        }
        false
    }

    fn acquire(&mut self, id: usize, now: u64) -> Result<(), u64> {
        self.poll(now);
        match self.state {
            State::Closed | State::Disabled | State::MetricsOnly => {}
            State::HalfOpen if self.probes.len() < self.config.probes as usize => {
                self.until = self.until.max(now + self.config.probe_lease.as_nanos());
                self.probes.push(Probe::Out { id, lease_end: self.until });
            }
            State::HalfOpen | State::Open => {
                self.refused += 1;
                return Err(self.until);
            }
            State::ForcedOpen => {
                self.refused += 1;
                return Err(u64::MAX);
            }
        }
        self.live.push(id);
        Ok(())
    }

    fn report(&mut self, id: usize, good: bool, now: u64) {
        let Some(at) = self.live.iter().position(|&live| live == id) else {
            self.late += 1;
            return;
        };
        self.live.remove(at);
        match self.state {
            State::HalfOpen => {
                let probe =
                    self.probes.iter_mut().find(|probe| matches!(probe, Probe::Out { id: out, .. } if *out == id));
                *probe.unwrap() = if good { Probe::Good } else { Probe::Bad };
                let count = |wanted| self.probes.iter().filter(|&&probe| probe == wanted).count() as u32;
                if count(Probe::Good) == self.config.success_threshold {
                    self.enter(State::Closed);
                } else if self.config.probes - count(Probe::Bad) < self.config.success_threshold {
                    self.open(now);
                }
            }
            State::Closed | State::MetricsOnly => {
                self.recent.push(good);
                if good && self.state == State::Closed {
                    self.openings_in_a_row = 0;
                }
                if self.state == State::Closed && self.failures_in_a_row() >= self.config.failures {
                    self.open(now);
                }
            }
            _ => {}
        }
    }

    fn failures_in_a_row(&self) -> u32 {
        self.recent.iter().rev().take_while(|good| !**good).count() as u32
    }

    fn cancel(&mut self, id: usize) {
        if let Some(at) = self.live.iter().position(|&live| live == id) {
            self.live.remove(at);
            self.probes.retain(|probe| !matches!(probe, Probe::Out { id: out, .. } if *out == id));
        }
    }
}

fn play(config: Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut breaker = Breaker::new(config);
    let mut model = Model::new(config);
    let mut permits: Vec<(usize, Permit)> = Vec::new();
    let mut now = 1_000_u64;
    let mut last_at = now;
    for (id, step) in steps.iter().enumerate() {
        let at = Instant::from_nanos(now);
        let take = |permits: &mut Vec<(usize, Permit)>, n: usize| {
            (!permits.is_empty()).then(|| permits.remove(n % permits.len()))
        };
        match *step {
            Step::Acquire => {
                let admitted = breaker.try_acquire(at);
                prop_assert_eq!(
                    admitted.as_ref().map(|_| ()).map_err(|open| open.retry_at.as_nanos()),
                    model.acquire(id, now)
                );
                permits.extend(admitted.ok().map(|permit| (id, permit)));
            }
            Step::Success(n) => {
                if let Some((id, permit)) = take(&mut permits, n) {
                    let event = breaker.on_success(permit, at);
                    let was = model.state;
                    model.report(id, true, now);
                    prop_assert_eq!(event == Some(Event::Closed), was != model.state);
                }
            }
            Step::Failure(n) => {
                if let Some((id, permit)) = take(&mut permits, n) {
                    let event = breaker.on_failure(permit, at);
                    let opened = model.opened;
                    model.report(id, false, now);
                    prop_assert_eq!(matches!(event, Some(Event::Opened { .. })), opened != model.opened);
                }
            }
            Step::Cancel(n) => {
                if let Some((id, permit)) = take(&mut permits, n) {
                    breaker.cancel(permit, at);
                    model.cancel(id);
                }
            }
            Step::Lose(n) => drop(take(&mut permits, n)),
            Step::Forward(nanos) => now += nanos,
            Step::Back(nanos) => now = now.saturating_sub(nanos),
            Step::Poll => prop_assert_eq!(breaker.poll(at) == Some(Event::HalfOpened), model.poll(now)),
            Step::Reset => {
                breaker.reset(at);
                model.enter(State::Closed);
                model.openings_in_a_row = 0;
            }
            Step::ForceOpen => {
                breaker.force_open(at);
                model.enter(State::ForcedOpen);
            }
            Step::Disable => {
                breaker.force_closed(at);
                model.enter(State::Disabled);
            }
            Step::MetricsOnly => {
                breaker.metrics_only(at);
                model.enter(State::MetricsOnly);
            }
        }
        last_at = last_at.max(now);
        let shown = breaker.snapshot();
        prop_assert_eq!(shown.state, model.state);
        prop_assert_eq!(
            (shown.opened, shown.refused, shown.late, shown.consecutive_failures),
            (model.opened, model.refused, model.late, model.failures_in_a_row())
        );
        let due = match model.state {
            State::Open => Some(model.until),
            State::HalfOpen => model.lease_end(),
            _ => None,
        };
        prop_assert_eq!(breaker.poll_at().map(Instant::as_nanos), due);
        if let Some(due) = due.filter(|due| *due > 0) {
            let mut early = breaker.clone();
            early.poll(Instant::from_nanos(due - 1));
            prop_assert_eq!(early.snapshot(), shown, "polling before poll_at changes nothing");
        }
    }
    // Whatever happened, it is not wedged: after a reset by hand or by time alone, a call is admitted.
    if breaker.state() == State::ForcedOpen {
        breaker.reset(Instant::from_nanos(last_at));
    }
    let rested = Instant::from_nanos(last_at + 1_000);
    prop_assert!(breaker.try_acquire(rested).is_ok());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_naive_model_does(config in config(), steps in prop::collection::vec(step(), 0..120)) {
        play(config, &steps)?;
    }
}
