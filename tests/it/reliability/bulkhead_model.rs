//! The bulkhead against a naive model with lists of names, under entering, fetching, leaving,
//! releasing, and time that goes both ways.

use daur_core::reliability::bulkhead::{Bulkhead, Config, Entry, Permit, Refused, Ticket};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const PLACES: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Try,
    Enter,
    Claim(usize),
    Leave(usize),
    Release(usize),
    Forward(u64),
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Try),
        8 => Just(Step::Enter),
        6 => (0_usize..8).prop_map(Step::Claim),
        2 => (0_usize..8).prop_map(Step::Leave),
        6 => (0_usize..8).prop_map(Step::Release),
        3 => (0_u64..20).prop_map(Step::Forward),
        1 => (0_u64..20).prop_map(Step::Back),
    ]
}

/// Names of callers in lists; what is said in the rules, and nothing else.
#[derive(Default)]
struct Model {
    running: Vec<usize>,
    called: Vec<usize>,
    line: Vec<usize>,
    refused: u32,
    timed_out: u32,
    admitted: u32,
}

impl Model {
    fn is_full(&self, config: &Config) -> bool {
        self.running.len() + self.called.len() >= config.max_concurrent as usize
    }

    fn admit(&mut self, name: usize) {
        self.admitted += 1;
        self.running.push(name);
    }

    fn call(&mut self, config: &Config) {
        while !self.line.is_empty() && !self.is_full(config) {
            self.called.push(self.line.remove(0));
        }
    }
}

fn play(config: Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut bulkhead: Bulkhead<PLACES> = Bulkhead::new(config);
    let mut model = Model::default();
    let mut permits: Vec<(usize, Permit)> = Vec::new();
    let mut tickets: Vec<(usize, Ticket, u64)> = Vec::new();
    let mut now = 1_000_u64;
    for (name, step) in steps.iter().enumerate() {
        let at = Instant::from_nanos(now);
        match *step {
            Step::Try => {
                let got = bulkhead.try_acquire(at);
                prop_assert_eq!(got.is_ok(), !model.is_full(&config));
                match got {
                    Ok(permit) => {
                        model.admit(name);
                        permits.push((name, permit));
                    }
                    Err(_) => model.refused += 1,
                }
            }
            Step::Enter => match bulkhead.enter(None, at) {
                Ok(Entry::Go(permit)) => {
                    prop_assert!(!model.is_full(&config) && model.line.is_empty());
                    model.admit(name);
                    permits.push((name, permit));
                }
                Ok(Entry::Wait(ticket)) => {
                    prop_assert!(model.is_full(&config));
                    model.line.push(name);
                    let until = config.max_wait.map_or(u64::MAX, |wait| now + wait.as_nanos());
                    prop_assert_eq!(ticket.until().as_nanos(), until);
                    tickets.push((name, ticket, until));
                }
                Err(refused) => {
                    let waiting = config.max_waiting;
                    prop_assert_eq!(refused, Refused::Full { running: config.max_concurrent, waiting });
                    prop_assert_eq!(model.line.len(), waiting as usize);
                    model.refused += 1;
                }
            },
            Step::Claim(n) if !tickets.is_empty() => {
                let (name, ticket, until) = tickets.remove(n % tickets.len());
                let called = model.called.iter().position(|other| *other == name);
                match bulkhead.claim(ticket, None, at) {
                    Ok(Entry::Go(permit)) => {
                        prop_assert!(called.is_some());
                        model.called.retain(|other| *other != name);
                        model.admit(name);
                        permits.push((name, permit));
                    }
                    Ok(Entry::Wait(ticket)) => {
                        prop_assert!(called.is_none() && now < until);
                        tickets.push((name, ticket, until));
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, Refused::TimedOut);
                        prop_assert!(called.is_none() && now >= until);
                        model.line.retain(|other| *other != name);
                        model.timed_out += 1;
                    }
                }
            }
            Step::Leave(n) if !tickets.is_empty() => {
                let (name, ticket, _) = tickets.remove(n % tickets.len());
                prop_assert!(bulkhead.leave(ticket, at).is_none());
                model.line.retain(|other| *other != name);
                model.called.retain(|other| *other != name);
                model.call(&config);
            }
            Step::Release(n) if !permits.is_empty() => {
                let (name, permit) = permits.remove(n % permits.len());
                prop_assert!(bulkhead.release(permit, at).is_none());
                model.running.retain(|other| *other != name);
                model.call(&config);
            }
            Step::Claim(_) | Step::Leave(_) | Step::Release(_) => {}
            Step::Forward(nanos) => now += nanos,
            Step::Back(nanos) => now = now.saturating_sub(nanos),
        }
        let shown = bulkhead.snapshot();
        prop_assert_eq!(shown.running as usize, model.running.len() + model.called.len());
        prop_assert_eq!(shown.waiting as usize, model.line.len());
        prop_assert_eq!(
            (shown.admitted, shown.refused, shown.timed_out),
            (model.admitted, model.refused, model.timed_out)
        );
    }
    // Whatever happened, no place is lost: when all have gone, all places are free.
    let at = Instant::from_nanos(now);
    for (_, ticket, _) in tickets {
        let _none = bulkhead.leave(ticket, at);
    }
    for (_, permit) in permits {
        let _none = bulkhead.release(permit, at);
    }
    for _ in 0..config.max_concurrent {
        prop_assert!(bulkhead.try_acquire(at).is_ok());
    }
    prop_assert!(bulkhead.try_acquire(at).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bulkhead_does_what_the_naive_model_does(
        max_concurrent in 1_u32..4,
        max_waiting in 0_u32..=5,
        max_wait in prop::option::of((1_u64..30).prop_map(Duration::from_nanos)),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        play(Config { max_concurrent, max_waiting, max_wait }, &steps)?;
    }
}
