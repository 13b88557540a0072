//! The breaker in every mode against a naive model that remembers every call, under calls, outcomes,
//! cancellations, lost permits, and time that goes both ways.

use daur_core::reliability::breaker::{
    Any, Backoff, Breaker, Cause, Config, Consecutive, CountWindow, Counts, Event, Growth, Mode, ModeConfig, Opens,
    Permit, Slow, SlowCalls, Snapshot, Span, State, TimeWindow, Window,
};
use daur_core::reliability::retry;
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

fn opens() -> impl Strategy<Value = Opens> {
    let pct = || prop_oneof![Just(50_u8), Just(100), 1_u8..=100];
    prop_oneof![
        Just(Opens::Consecutive),
        (1_u32..12, 1_u32..6, pct()).prop_map(|(calls, min_calls, failure_pct)| Opens::CountWindow(Window {
            calls,
            failure_pct,
            min_calls: min_calls.min(calls),
        })),
        (1_u32..=4, 1_u64..30, 1_u32..6, pct()).prop_map(|(buckets, bucket, min_calls, failure_pct)| {
            Opens::TimeWindow(Span { buckets, bucket: Duration::from_nanos(bucket), failure_pct, min_calls })
        }),
    ]
}

fn mode() -> impl Strategy<Value = ModeConfig> {
    let slow = prop::option::of((1_u64..40, 1_u8..=100));
    let strategy = prop::option::of(prop_oneof![
        Just(retry::Strategy::Constant),
        Just(retry::Strategy::Linear),
        (1_u32..4).prop_map(|factor| retry::Strategy::Exponential { factor }),
        Just(retry::Strategy::Fibonacci),
    ]);
    (opens(), slow, strategy).prop_map(|(opens, slow, strategy)| ModeConfig {
        opens,
        slow: slow
            .filter(|_| opens != Opens::Consecutive)
            .map(|(slow_call, slow_pct)| SlowCalls { slow_call: Duration::from_nanos(slow_call), slow_pct }),
        growth: strategy.map(|strategy| Growth { strategy, jitter: retry::Jitter::None }),
    })
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    good: bool,
    slow: bool,
    /// The bucket of time that it was reported in.
    bucket: u64,
}

#[derive(Clone, Copy, Debug)]
enum Probe {
    Out { id: usize, lease_end: u64 },
    Done { good: bool, slow: bool },
}

/// Written from the rules, with lists in place of counters.
struct Model {
    config: Config,
    mode: ModeConfig,
    state: State,
    /// Calls admitted in the present state whose report will count, and when they began.
    live: Vec<(usize, u64)>,
    /// Every outcome since the last change of state.
    all: Vec<bool>,
    /// Those in the window.
    window: Vec<Outcome>,
    /// When the first bucket began, and the present one's number.
    first_bucket: u64,
    bucket: u64,
    probes: Vec<Probe>,
    until: u64,
    openings_in_a_row: u32,
    opened: u32,
    refused: u32,
    late: u32,
}

/// Whether so many of a list are a percentage of it.
fn is_share(hits: usize, of: usize, pct: u8) -> bool {
    hits * 100 >= usize::from(pct) * of
}

impl Model {
    fn new(config: Config, mode: ModeConfig) -> Self {
        Self {
            config,
            mode,
            state: State::Closed,
            live: Vec::new(),
            all: Vec::new(),
            window: Vec::new(),
            first_bucket: 0,
            bucket: 0,
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
        self.all.clear();
        self.window.clear();
        self.probes.clear();
    }

    fn wait(&self) -> u64 {
        let base = u128::from(self.config.recovery_timeout.as_nanos());
        let max = self.config.recovery_timeout_max.map_or(base, |max| u128::from(max.as_nanos()));
        let n = self.openings_in_a_row.min(60);
        let wait = match self.mode.growth.map(|growth| growth.strategy) {
            None => base << n,
            Some(retry::Strategy::Constant) => base,
            Some(retry::Strategy::Linear) => base * u128::from(n + 1),
            Some(retry::Strategy::Exponential { factor }) => base * u128::from(factor).saturating_pow(n).min(1 << 64),
            Some(retry::Strategy::Fibonacci) => base * (0..n).fold((0, 1), |(a, b), _| (b, a + b)).1,
            Some(strategy) => unreachable!("{strategy:?} is not drawn"),
        };
        u64::try_from(wait.min(max)).unwrap()
    }

    fn open(&mut self, now: u64) {
        let wait = self.wait();
        self.enter(State::Open);
        self.until = now + wait;
        self.openings_in_a_row += 1;
        self.opened += 1;
    }

    /// When the last of the probes that are out loses its place.
    fn lease_end(&self) -> Option<u64> {
        let ends = self.probes.iter().filter_map(|probe| match probe {
            Probe::Out { lease_end, .. } => Some(*lease_end),
            Probe::Done { .. } => None,
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
        self.live.push((id, now));
        Ok(())
    }

    fn report(&mut self, id: usize, good: bool, now: u64) -> Option<Cause> {
        let Some(at) = self.live.iter().position(|&(live, _)| live == id) else {
            self.late += 1;
            return None;
        };
        let (_, began) = self.live.remove(at);
        let slow = self.mode.slow.is_some_and(|slow| now.saturating_sub(began) > slow.slow_call.as_nanos());
        match self.state {
            State::HalfOpen => {
                let probe =
                    self.probes.iter_mut().find(|probe| matches!(probe, Probe::Out { id: out, .. } if *out == id));
                *probe.unwrap() = Probe::Done { good, slow };
                match self.judge() {
                    None => None,
                    Some(true) => {
                        self.enter(State::Closed);
                        None
                    }
                    Some(false) => {
                        self.open(now);
                        Some(Cause::ProbeFailed)
                    }
                }
            }
            State::Closed | State::MetricsOnly => {
                if good && self.state == State::Closed {
                    self.openings_in_a_row = 0;
                }
                self.all.push(good);
                self.take_in(good, slow, now);
                let cause = self.cause().filter(|_| self.state == State::Closed);
                if cause.is_some() {
                    self.open(now);
                }
                cause
            }
            _ => None,
        }
    }

    /// Whether the probes say that the callee works, if they say anything yet.
    fn judge(&self) -> Option<bool> {
        let done: Vec<(bool, bool)> = self
            .probes
            .iter()
            .filter_map(|probe| match *probe {
                Probe::Done { good, slow } => Some((good, slow)),
                Probe::Out { .. } => None,
            })
            .collect();
        let bad = done.iter().filter(|(good, _)| !good).count();
        let slow = done.iter().filter(|(_, slow)| *slow).count();
        let (pct, min_calls) = match self.mode.opens {
            Opens::CountWindow(window) => (window.failure_pct, window.min_calls),
            Opens::TimeWindow(span) => (span.failure_pct, span.min_calls),
            _ => {
                let threshold = self.config.success_threshold as usize;
                let possible = self.config.probes as usize - bad;
                return if done.len() - bad >= threshold {
                    Some(true)
                } else {
                    (possible < threshold).then_some(false)
                };
            }
        };
        if done.len() < min_calls.min(self.config.probes) as usize {
            return None;
        }
        let too_slow = self.mode.slow.is_some_and(|config| is_share(slow, done.len(), config.slow_pct));
        Some(!is_share(bad, done.len(), pct) && !too_slow)
    }

    fn take_in(&mut self, good: bool, slow: bool, now: u64) {
        match self.mode.opens {
            Opens::CountWindow(window) => {
                self.window.push(Outcome { good, slow, bucket: 0 });
                let surplus = self.window.len().saturating_sub(window.calls as usize);
                self.window.drain(..surplus);
            }
            Opens::TimeWindow(span) => {
                let number = now.saturating_sub(self.first_bucket) / span.bucket.as_nanos();
                self.bucket = self.bucket.max(number);
                self.window.retain(|outcome| outcome.bucket + u64::from(span.buckets) > self.bucket);
                if self.window.is_empty() {
                    (self.first_bucket, self.bucket) = (now, 0);
                }
                self.window.push(Outcome { good, slow, bucket: self.bucket });
            }
            _ => {}
        }
    }

    fn cause(&self) -> Option<Cause> {
        let (pct, min_calls) = match self.mode.opens {
            Opens::CountWindow(window) => (window.failure_pct, window.min_calls),
            Opens::TimeWindow(span) => (span.failure_pct, span.min_calls),
            _ => return (self.failures_in_a_row() >= self.config.failures).then_some(Cause::Failures),
        };
        let counts = self.counts()?;
        let (calls, failed, slow) = (counts.calls as usize, counts.failed as usize, counts.slow as usize);
        if calls < min_calls as usize {
            return None;
        }
        if is_share(failed, calls, pct) {
            return Some(Cause::Failures);
        }
        let config = self.mode.slow?;
        is_share(slow, calls, config.slow_pct).then_some(Cause::SlowCalls)
    }

    fn counts(&self) -> Option<Counts> {
        let count = |which: fn(&Outcome) -> bool| self.window.iter().filter(|outcome| which(outcome)).count() as u32;
        (self.mode.opens != Opens::Consecutive).then(|| Counts {
            calls: self.window.len() as u32,
            failed: count(|outcome| !outcome.good),
            slow: count(|outcome| outcome.slow),
        })
    }

    fn failures_in_a_row(&self) -> u32 {
        self.all.iter().rev().take_while(|good| !**good).count() as u32
    }

    fn cancel(&mut self, id: usize) {
        if let Some(at) = self.live.iter().position(|&(live, _)| live == id) {
            self.live.remove(at);
            self.probes.retain(|probe| !matches!(probe, Probe::Out { id: out, .. } if *out == id));
        }
    }

    fn due(&self) -> Option<u64> {
        match self.state {
            State::Open => Some(self.until),
            State::HalfOpen => self.lease_end(),
            _ => None,
        }
    }

    /// What the breaker must show. When a call is admitted is compared as `poll_at`.
    fn snapshot(&self, retry_at: Option<Instant>) -> Snapshot {
        Snapshot {
            state: self.state,
            consecutive_failures: self.failures_in_a_row(),
            opened: self.opened,
            refused: self.refused,
            late: self.late,
            window: self.counts(),
            retry_at,
        }
    }
}

fn event_of(cause: Option<Cause>, closed: bool) -> Option<Event> {
    match cause {
        Some(cause) => Some(Event::Opened { cause }),
        None => closed.then_some(Event::Closed),
    }
}

/// What a wrapper takes from `fast` must be what the machine would have done.
fn short_cuts_are_true<M: Mode + Clone>(breaker: &Breaker<M>, now: Instant) -> Result<(), TestCaseError> {
    let fast = breaker.fast();
    let mut copy = breaker.clone();
    if fast.admits {
        prop_assert_eq!(copy.try_acquire(now).map(|permit| permit.generation()), Ok(fast.generation));
        prop_assert_eq!(copy.snapshot(), breaker.snapshot());
    }
    if fast.success_changes_nothing {
        prop_assert_eq!(copy.on_success(Permit::of_generation(fast.generation), now), None);
        prop_assert_eq!(copy.fast(), fast);
        prop_assert_eq!(copy.snapshot(), breaker.snapshot());
    }
    Ok(())
}

fn play<M: Mode + Clone>(mut breaker: Breaker<M>, mut model: Model, steps: &[Step]) -> Result<(), TestCaseError> {
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
            Step::Success(n) | Step::Failure(n) => {
                if let Some((id, permit)) = take(&mut permits, n) {
                    let good = matches!(step, Step::Success(_));
                    let event = if good { breaker.on_success(permit, at) } else { breaker.on_failure(permit, at) };
                    let was = model.state;
                    let cause = model.report(id, good, now);
                    prop_assert_eq!(event, event_of(cause, was != model.state));
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
        prop_assert_eq!(shown, model.snapshot(shown.retry_at));
        let due = model.due();
        prop_assert_eq!(breaker.poll_at().map(Instant::as_nanos), due);
        if let Some(due) = due.filter(|due| *due > 0) {
            let mut early = breaker.clone();
            early.poll(Instant::from_nanos(due - 1));
            prop_assert_eq!(early.snapshot(), shown, "polling before poll_at changes nothing");
        }
        let mut polled = breaker.clone();
        polled.poll(Instant::from_nanos(now));
        prop_assert_eq!(breaker.snapshot_at(Instant::from_nanos(now)), polled.snapshot(), "as after a poll");
        short_cuts_are_true(&breaker, Instant::from_nanos(now))?;
    }
    // Whatever happened, it is not wedged: after a reset by hand or by time alone, a call is admitted.
    if breaker.state() == State::ForcedOpen {
        breaker.reset(Instant::from_nanos(last_at));
    }
    let rested = Instant::from_nanos(last_at + 1_000);
    prop_assert!(breaker.try_acquire(rested).is_ok());
    Ok(())
}

/// Plays the steps with a mode that a type names, with or without a wait that grows.
fn play_typed<M: Mode + Clone>(
    mode: M,
    config: Config,
    named: ModeConfig,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let model = Model::new(config, named);
    match named.growth {
        None => play(Breaker::with_mode(config, mode), model, steps),
        Some(growth) => play(Breaker::with_mode(config, Backoff::new(mode, growth, 7)), model, steps),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_naive_model_does(
        config in config(),
        mode in mode(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        match (mode.opens, mode.slow) {
            (Opens::CountWindow(window), None) => play_typed(CountWindow::<1>::new(window), config, mode, &steps)?,
            (Opens::CountWindow(window), Some(slow)) => {
                play_typed(Slow::<CountWindow<1>>::of_calls(window, slow), config, mode, &steps)?;
            }
            (Opens::TimeWindow(span), None) => play_typed(TimeWindow::<4>::new(span), config, mode, &steps)?,
            (Opens::TimeWindow(span), Some(slow)) => {
                play_typed(Slow::<TimeWindow<4>>::of_time(span, slow), config, mode, &steps)?;
            }
            _ => play_typed(Consecutive::new(config.failures), config, mode, &steps)?,
        }
        let any = Breaker::<Any<1, 4>>::try_any(config, mode, 7).expect("a valid config");
        play(any, Model::new(config, mode), &steps)?;
    }
}
