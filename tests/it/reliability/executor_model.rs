//! The executor against a naive model in which its rules are written plainly: many runs at once,
//! any outcomes, cancellations, and time that goes both ways.

use daur_core::reliability::breaker::{self, Breaker, Consecutive, State};
use daur_core::reliability::executor::{Admit, Cause, Config, Executor, Next, Permit, Run};
use daur_core::reliability::retry::{self, Attempts, Class, Jitter, Reason, Strategy as Growth};
use daur_core::reliability::{budget, bulkhead};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const PLACES: usize = 3;
const COST: u32 = 5;
const CAPACITY: u32 = 12;
/// No probe is overdue in a time as short as the test's; the breaker's own model has that.
const LEASE: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Admit(usize),
    Success(usize),
    Failure(usize, Class),
    Drop(usize),
    Forward(u64),
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![8 => Just(Class::Transient), 1 => Just(Class::Permanent), 1 => Just(Class::Ignored)];
    prop_oneof![
        4 => Just(Step::Start),
        14 => (0_usize..8).prop_map(Step::Admit),
        3 => (0_usize..8).prop_map(Step::Success),
        7 => (0_usize..8, class).prop_map(|(n, class)| Step::Failure(n, class)),
        2 => (0_usize..8).prop_map(Step::Drop),
        7 => (0_u64..20).prop_map(Step::Forward),
        1 => (0_u64..20).prop_map(Step::Back),
    ]
}

fn nanos() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((1_u64..150).prop_map(Duration::from_nanos))
}

fn config() -> impl Strategy<Value = Config> {
    (1_u32..5, 1_u64..15, nanos(), 1_u32..4, (1_u64..40, 0_u64..100), nanos(), 1_u32..4, 0_u32..=3, any::<bool>())
        .prop_map(|(attempts, delay, max_elapsed, failures, (wait, open_wait), total, places, line, funded)| Config {
            retry: retry::Config {
                max_attempts: Attempts::Limited(attempts),
                initial_delay: Duration::from_nanos(delay),
                strategy: Growth::Constant,
                jitter: Jitter::None,
                max_elapsed,
                ..retry::Config::DEFAULT
            },
            budget: funded.then_some(budget::Config::TokenBucket {
                capacity: CAPACITY,
                retry_cost: COST,
                first_try_gain: 1,
            }),
            breaker: breaker::Config {
                failures,
                recovery_timeout: Duration::from_nanos(wait),
                probe_lease: Duration::from_nanos(LEASE),
                ..breaker::Config::DEFAULT
            },
            bulkhead: Some(bulkhead::Config { max_concurrent: places, max_waiting: line, max_wait: None }),
            total_timeout: total,
            attempt_timeout: None,
            open_wait: Duration::from_nanos(open_wait),
        })
}

/// One run as the model knows it.
struct Known {
    name: usize,
    started: u64,
    end: u64,
    not_before: u64,
    open_wait: u64,
    attempts: u32,
    paid: bool,
    /// The breaker's epoch at the admission of the call that is being made.
    calling: Option<u32>,
}

struct Model {
    config: Config,
    state: State,
    epoch: u32,
    until: u64,
    failures: u32,
    probe_out: bool,
    running: Vec<usize>,
    called: Vec<usize>,
    line: Vec<usize>,
    tokens: u32,
    succeeded: u32,
    retries: u32,
}

impl Model {
    fn new(config: Config) -> Self {
        let (running, called, line) = Default::default();
        Self {
            config,
            state: State::Closed,
            epoch: 0,
            until: 0,
            failures: 0,
            probe_out: false,
            running,
            called,
            line,
            tokens: CAPACITY,
            succeeded: 0,
            retries: 0,
        }
    }

    fn max_concurrent(&self) -> usize {
        self.config.bulkhead.unwrap().max_concurrent as usize
    }

    fn enter(&mut self, state: State) {
        (self.state, self.failures, self.probe_out) = (state, 0, false);
        self.epoch += 1;
    }

    fn open(&mut self, now: u64) {
        self.enter(State::Open);
        self.until = now + self.config.breaker.recovery_timeout.as_nanos();
    }

    fn breaker_admits(&mut self, now: u64) -> Result<(), u64> {
        if self.state == State::Open && now >= self.until {
            self.enter(State::HalfOpen);
        }
        match self.state {
            State::Closed => Ok(()),
            State::HalfOpen if !self.probe_out => {
                self.probe_out = true;
                self.until = self.until.max(now + LEASE);
                Ok(())
            }
            _ => Err(self.until),
        }
    }

    fn cancel_permit(&mut self, epoch: u32) {
        if epoch == self.epoch {
            self.probe_out = false;
        }
    }

    fn call_next(&mut self) {
        while !self.line.is_empty() && self.running.len() + self.called.len() < self.max_concurrent() {
            self.called.push(self.line.remove(0));
        }
    }

    fn leave(&mut self, name: usize) {
        self.line.retain(|other| *other != name);
        self.called.retain(|other| *other != name);
        self.call_next();
    }

    fn release(&mut self, name: usize) {
        self.running.retain(|other| *other != name);
        self.call_next();
    }

    fn earn(&mut self, tokens: u32) {
        self.tokens = (self.tokens + tokens).min(CAPACITY);
    }

    /// What `admit` says; `Ok` for a call.
    fn admit(&mut self, run: &mut Known, now: u64) -> Result<(), Admit> {
        if now >= run.end {
            self.leave(run.name);
            return Err(Admit::Stop(Cause::TimedOut));
        }
        let stands = self.line.contains(&run.name) || self.called.contains(&run.name);
        if !stands && now < run.not_before {
            return Err(Admit::Wait { until: Instant::from_nanos(run.not_before) });
        }
        let in_line = Admit::Line { until: Instant::from_nanos(run.end) };
        if self.line.contains(&run.name) {
            return Err(in_line);
        }
        let has_place = self.called.contains(&run.name);
        if let Err(retry_at) = self.breaker_admits(now) {
            self.leave(run.name);
            let wait = retry_at.saturating_sub(now);
            let elapsed = self.config.retry.max_elapsed.map_or(u64::MAX, |limit| run.started + limit.as_nanos());
            if retry_at >= run.end || retry_at >= elapsed || wait > run.open_wait {
                return Err(Admit::Stop(Cause::Open { retry_at: Instant::from_nanos(retry_at) }));
            }
            run.open_wait -= wait;
            run.not_before = retry_at;
            return Err(Admit::Wait { until: Instant::from_nanos(retry_at) });
        }
        if has_place {
            self.called.retain(|other| *other != run.name);
        } else if self.running.len() + self.called.len() >= self.max_concurrent() {
            self.cancel_permit(self.epoch);
            let waiting = self.config.bulkhead.unwrap().max_waiting;
            if self.line.len() < waiting as usize {
                self.line.push(run.name);
                return Err(in_line);
            }
            let running = self.max_concurrent() as u32;
            return Err(Admit::Stop(Cause::NoPlace(bulkhead::Refused::Full { running, waiting })));
        }
        self.running.push(run.name);
        self.retries += u32::from(run.attempts > 0);
        run.attempts += 1;
        run.paid = false;
        run.calling = Some(self.epoch);
        Ok(())
    }

    fn success(&mut self, run: &Known) {
        self.succeeded += 1;
        self.release(run.name);
        self.earn(if run.attempts > 1 { COST } else { 1 });
        if run.calling == Some(self.epoch) {
            match self.state {
                State::HalfOpen => self.enter(State::Closed),
                _ => self.failures = 0,
            }
        }
    }

    fn failure(&mut self, run: &mut Known, class: Class, now: u64) -> Next {
        self.release(run.name);
        let epoch = run.calling.take().unwrap();
        if class == Class::Ignored {
            self.cancel_permit(epoch);
        } else if epoch == self.epoch {
            self.failures += 1;
            if self.state == State::HalfOpen || self.failures >= self.config.breaker.failures {
                self.open(now);
            }
        }
        let retry = self.config.retry;
        let Attempts::Limited(attempts) = retry.max_attempts else { unreachable!() };
        let left = retry
            .max_elapsed
            .map_or(u64::MAX, |limit| limit.as_nanos().saturating_sub(now.saturating_sub(run.started)));
        let at = now + retry.initial_delay.as_nanos().min(left);
        let reason = if class != Class::Transient {
            Reason::NotRetryable
        } else if run.attempts >= attempts {
            Reason::Exhausted
        } else if left == 0 {
            Reason::Elapsed
        } else if at >= run.end {
            return Next::Stop(Cause::TimedOut);
        } else if self.config.budget.is_some() && self.tokens < COST {
            Reason::Budget
        } else {
            if self.config.budget.is_some() {
                self.tokens -= COST;
                run.paid = true;
            }
            run.not_before = at;
            return Next::Retry { at: Instant::from_nanos(at) };
        };
        Next::Stop(Cause::Retry(reason))
    }

    fn drop(&mut self, run: &Known) {
        if let Some(epoch) = run.calling {
            self.cancel_permit(epoch);
            self.release(run.name);
        }
        self.leave(run.name);
        if run.paid {
            self.earn(COST);
        }
    }
}

struct Both {
    real: Executor<Consecutive, PLACES>,
    model: Model,
    runs: Vec<(Known, Run, Option<Permit>)>,
    now: u64,
}

impl Both {
    /// Takes a run that makes a call (or does not).
    fn take(&mut self, n: usize, calling: bool) -> Option<(Known, Run, Option<Permit>)> {
        let fit: Vec<_> = (0..self.runs.len()).filter(|at| self.runs[*at].2.is_some() == calling).collect();
        (!fit.is_empty()).then(|| self.runs.remove(fit[n % fit.len()]))
    }

    fn step(&mut self, name: usize, step: Step) -> Result<(), TestCaseError> {
        let (now, at) = (self.now, Instant::from_nanos(self.now));
        match step {
            Step::Start if self.runs.len() < 8 => {
                let config = self.model.config;
                let known = Known {
                    name,
                    started: now,
                    end: config.total_timeout.map_or(u64::MAX, |limit| now + limit.as_nanos()),
                    not_before: now,
                    open_wait: config.open_wait.as_nanos(),
                    attempts: 0,
                    paid: false,
                    calling: None,
                };
                self.runs.push((known, self.real.start(at), None));
            }
            Step::Admit(n) => {
                let Some((mut known, mut run, _)) = self.take(n, false) else { return Ok(()) };
                let expected = self.model.admit(&mut known, now);
                match self.real.admit(&mut run, at) {
                    Admit::Go { permit, deadline } => {
                        prop_assert_eq!(expected, Ok(()));
                        prop_assert_eq!(deadline.map_or(u64::MAX, Instant::as_nanos), known.end);
                        self.runs.push((known, run, Some(permit)));
                    }
                    stop @ Admit::Stop(_) => {
                        prop_assert_eq!(expected, Err(stop));
                        self.real.abandon(&mut run, at);
                        self.model.drop(&known);
                    }
                    wait => {
                        prop_assert_eq!(expected, Err(wait));
                        self.runs.push((known, run, None));
                    }
                }
            }
            Step::Success(n) => {
                let Some((known, mut run, Some(permit))) = self.take(n, true) else { return Ok(()) };
                self.real.on_success(&mut run, permit, at);
                self.model.success(&known);
                prop_assert_eq!(run.attempts(), known.attempts);
            }
            Step::Failure(n, class) => {
                let Some((mut known, mut run, Some(permit))) = self.take(n, true) else { return Ok(()) };
                let next = self.real.on_failure(&mut run, permit, class, at);
                prop_assert_eq!(next, self.model.failure(&mut known, class, now));
                if let Next::Retry { .. } = next {
                    self.runs.push((known, run, None));
                }
            }
            Step::Drop(n) => {
                let Some((known, run, permit)) = self.take(n, n % 2 == 0) else { return Ok(()) };
                self.drop_run(&known, run, permit);
            }
            Step::Forward(nanos) => self.now += nanos,
            Step::Back(nanos) => self.now = now.saturating_sub(nanos),
            Step::Start => {}
        }
        Ok(())
    }

    fn drop_run(&mut self, known: &Known, mut run: Run, permit: Option<Permit>) {
        let at = Instant::from_nanos(self.now);
        if let Some(permit) = permit {
            self.real.cancel(permit, at);
        }
        self.real.abandon(&mut run, at);
        self.model.drop(known);
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (shown, model) = (self.real.snapshot(), &self.model);
        prop_assert_eq!(shown.breaker.state, model.state);
        prop_assert_eq!((shown.succeeded, shown.retries), (model.succeeded, model.retries));
        prop_assert_eq!(shown.bulkhead.running as usize, model.running.len() + model.called.len());
        prop_assert_eq!(shown.bulkhead.waiting as usize, model.line.len());
        prop_assert_eq!(shown.budget.map(|budget| budget.tokens), model.config.budget.map(|_| model.tokens));
        Ok(())
    }
}

fn play(config: Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let real = Executor::of(config, Breaker::new(config.breaker), 1);
    let mut both = Both { real, model: Model::new(config), runs: Vec::new(), now: 1_000 };
    for (name, step) in steps.iter().enumerate() {
        both.step(name, *step)?;
        both.compare()?;
    }
    // Whoever is dropped gives everything back.
    while let Some((known, run, permit)) = both.runs.pop() {
        both.drop_run(&known, run, permit);
        both.compare()?;
    }
    prop_assert!(both.model.running.is_empty() && both.model.called.is_empty() && !both.model.probe_out);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_executor_does_what_the_naive_model_does(config in config(), steps in prop::collection::vec(step(), 0..200)) {
        play(config, &steps)?;
    }
}
