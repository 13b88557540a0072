//! The balancer against a naive model that remembers every ticket, under picks, reports, lost tickets, workers that
//! come, go and change, and time that goes both ways.

use daur_core::performance::balancer::{Any, Balancer, Config, Eject, Event, Outcome, PolicyConfig, State, Ticket};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const N: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Pick(u8),
    Report(usize, u8),
    Lose(usize),
    Forward(u64),
    Back(u64),
    Poll,
    Add(u16),
    Remove(usize),
    Drain(usize),
    Weight(usize, u16),
    Available(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        14 => prop_oneof![3 => Just(0xFF_u8), 1 => any::<u8>()].prop_map(Step::Pick),
        14 => (0_usize..16, 0_u8..6).prop_map(|(which, outcome)| Step::Report(which, outcome)),
        2 => (0_usize..16).prop_map(Step::Lose),
        6 => (0_u64..40).prop_map(Step::Forward),
        2 => (0_u64..40).prop_map(Step::Back),
        2 => Just(Step::Poll),
        2 => (0_u16..4).prop_map(Step::Add),
        1 => (0..N).prop_map(Step::Remove),
        1 => (0..N).prop_map(Step::Drain),
        1 => (0..N, 0_u16..4).prop_map(|(worker, weight)| Step::Weight(worker, weight)),
        1 => (0..N, any::<bool>()).prop_map(|(worker, available)| Step::Available(worker, available)),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let eject = (1_u32..4, 1_u64..30, 0_u64..60, 1_u8..=100).prop_map(|(failures, base, more, max_pct)| Eject {
        failures,
        base: Duration::from_nanos(base),
        max: Duration::from_nanos(base + more),
        max_pct,
        ramp: Duration::ZERO,
    });
    let eject = prop::option::weighted(0.8, eject);
    let panic_pct = prop_oneof![Just(0_u8), Just(50), 0_u8..=100];
    (0..=N as u16, 1_u64..100, prop::option::of(1_u32..4), eject, panic_pct).prop_map(
        |(workers, lease, max_load, eject, panic_pct)| Config {
            workers: Some(workers),
            lease: Duration::from_nanos(lease),
            max_load,
            eject,
            panic_pct,
        },
    )
}

/// One ticket that is out, with the latest moment that anybody had seen when it was picked.
struct Out {
    ticket: Ticket,
    picked: u64,
    latest: u64,
    /// Its worker has been removed since.
    orphan: bool,
}

#[derive(Clone, Debug)]
struct Worker {
    weight: u16,
    draining: bool,
    available: bool,
    failures: u32,
    streak: u32,
    ejected: bool,
    until: u64,
    due: i64,
}

impl Worker {
    fn new(weight: u16) -> Self {
        Self { weight, draining: false, available: true, failures: 0, streak: 0, ejected: false, until: 0, due: 0 }
    }

    fn eligible(&self) -> bool {
        self.weight > 0 && !self.draining
    }
}

/// Written from the rules. Loads are the machine's, which `check_loads` holds against the tickets.
struct Model {
    config: Config,
    policy: PolicyConfig,
    workers: [Option<Worker>; N],
    turn: usize,
}

impl Model {
    fn each(&self) -> impl Iterator<Item = (usize, &Worker)> {
        self.workers.iter().enumerate().filter_map(|(index, worker)| Some((index, worker.as_ref()?)))
    }

    fn pass(&mut self, now: u64) {
        for worker in self.workers.iter_mut().flatten() {
            if worker.ejected && now >= worker.until {
                worker.ejected = false;
            }
        }
    }

    fn pick(&mut self, mask: u8, loads: &[u32; N]) -> Option<usize> {
        let could = |&(index, worker): &(usize, &Worker)| {
            worker.eligible()
                && worker.available
                && mask & (1 << index) != 0
                && self.config.max_load.is_none_or(|most| loads[index] < most)
        };
        let all: Vec<usize> = self.each().filter(could).map(|(index, _)| index).collect();
        let healthy: Vec<usize> =
            self.each().filter(could).filter(|(_, worker)| !worker.ejected).map(|(index, _)| index).collect();
        let eligible = self.each().filter(|(_, worker)| worker.eligible()).count();
        let fine = self.each().filter(|(_, worker)| worker.eligible() && !worker.ejected).count();
        let panics = self.config.panic_pct > 0
            && ((fine * 100) < eligible * usize::from(self.config.panic_pct) || healthy.is_empty());
        let among = if panics { all } else { healthy };
        // In turn.
        let distance = |index: usize| (index + N - self.turn % N) % N;
        let chosen = match self.policy {
            PolicyConfig::RoundRobin => among.into_iter().min_by_key(|&index| distance(index))?,
            PolicyConfig::Weighted => {
                let sum: i64 = among.iter().map(|&index| i64::from(self.workers[index].as_ref().unwrap().weight)).sum();
                for &index in &among {
                    let worker = self.workers[index].as_mut().unwrap();
                    worker.due += i64::from(worker.weight);
                }
                let due = |index: usize| self.workers[index].as_ref().unwrap().due;
                let best = among.into_iter().min_by_key(|&index| (-due(index), index))?;
                self.workers[best].as_mut().unwrap().due -= sum;
                best
            }
            _ => {
                // Every weight in use divides 12: (load + 1) / weight as a whole number.
                let cost =
                    |index: usize| (loads[index] + 1) * 12 / u32::from(self.workers[index].as_ref().unwrap().weight);
                among.into_iter().min_by_key(|&index| (cost(index), distance(index)))?
            }
        };
        self.turn = chosen + 1;
        Some(chosen)
    }

    fn report(&mut self, index: usize, outcome: Outcome, picked: u64, now: u64) -> Option<u64> {
        let eligible = self.each().filter(|(_, worker)| worker.eligible()).count() as u64;
        let ejected = self.each().filter(|(_, worker)| worker.eligible() && worker.ejected).count() as u64;
        let worker = self.workers[index].as_mut().unwrap();
        if worker.ejected || picked < worker.until {
            return None;
        }
        match outcome {
            Outcome::Success => (worker.failures, worker.streak) = (0, 0),
            Outcome::Failure => {
                worker.failures += 1;
                let eject = self.config.eject?;
                let allowed = (eligible * u64::from(eject.max_pct) / 100).max(u64::from(eligible > 1));
                if worker.failures >= eject.failures && worker.eligible() && ejected < allowed {
                    let wait = eject.base.as_nanos() << worker.streak.min(20);
                    worker.until = now + wait.min(eject.max.as_nanos());
                    worker.streak += 1;
                    worker.failures = 0;
                    worker.ejected = true;
                    return Some(worker.until);
                }
            }
            Outcome::Cancelled => {}
        }
        None
    }
}

/// A load is at least the tickets within their lease, and at most those within it and a third.
fn check_loads(loads: &[u32; N], out: &[Out], lease: u64, now: u64, latest: u64) {
    let longest = lease.div_ceil(3) * 4;
    for (worker, &load) in loads.iter().enumerate() {
        let own = || out.iter().filter(|out| !out.orphan && out.ticket.worker() == worker);
        let surely = own().filter(|out| latest - out.picked < lease).count() as u32;
        assert!(load >= surely, "worker {worker}: {load} of {surely}");
        if now == latest {
            let possibly = own().filter(|out| latest < out.latest + longest).count() as u32;
            assert!(load <= possibly, "worker {worker}: {load} of {possibly}");
        }
    }
}

fn check(config: Config, policy: PolicyConfig, steps: Vec<Step>) {
    let mut balancer: Balancer<N, Any> = Balancer::try_new(config, Any::try_new(policy, 7).unwrap()).unwrap();
    let workers = usize::from(config.workers.unwrap());
    let mut model = Model {
        config,
        policy,
        workers: std::array::from_fn(|index| (index < workers).then(|| Worker::new(1))),
        turn: 0,
    };
    let lease = config.lease.as_nanos();
    let (mut out, mut now, mut latest) = (Vec::<Out>::new(), 1_000_u64, 1_000_u64);
    let mut reported = 0;
    for step in steps {
        let moment = Instant::from_nanos(now);
        // Nothing happens before `poll_at`, and what happens then shows.
        let before = (balancer.loads(), balancer.snapshot());
        let due = balancer.poll_at().is_some_and(|at| moment >= at);
        balancer.poll(moment);
        assert_eq!((balancer.loads(), balancer.snapshot()) != before, due);
        model.pass(now);
        match step {
            Step::Pick(mask) => {
                let expected = model.pick(mask, &balancer.loads());
                let ticket = balancer.pick_where(|worker| mask & (1 << worker) != 0, moment);
                assert_eq!(ticket.as_ref().ok().map(Ticket::worker), expected, "{step:?}");
                if let Ok(ticket) = ticket {
                    out.push(Out { ticket, picked: now, latest, orphan: false });
                }
            }
            Step::Report(which, outcome) if !out.is_empty() => {
                let Out { ticket, picked, latest: seen, orphan } = out.swap_remove(which % out.len());
                let outcome = [Outcome::Success, Outcome::Failure, Outcome::Cancelled, Outcome::Failure]
                    [usize::from(outcome) % 4];
                let worker = ticket.worker();
                let late = balancer.snapshot().late;
                let event = balancer.done(ticket, outcome, moment);
                let counted = balancer.snapshot().late == late;
                if counted {
                    reported += 1;
                    let expected = model.report(worker, outcome, picked, now);
                    let draining = model.workers[worker].as_ref().unwrap().draining;
                    match event {
                        Some(Event::Ejected { until, .. }) => assert_eq!(Some(until.as_nanos()), expected),
                        Some(_) => assert!(draining && balancer.load(worker) == 0),
                        None => assert!(expected.is_none() && !(draining && balancer.load(worker) == 0)),
                    }
                }
                assert!(!(orphan && counted), "an orphan counts");
                assert!(counted || orphan || latest - picked >= lease, "late within its lease");
                assert!(!counted || latest < seen + lease.div_ceil(3) * 4 || now < latest, "counts after its lease");
            }
            Step::Lose(which) if !out.is_empty() => {
                // It stays among those that are out: only nobody will report it.
                let lost = which % out.len();
                out.rotate_left(lost);
            }
            Step::Forward(by) => now += by,
            Step::Back(by) => now = now.saturating_sub(by),
            Step::Add(weight) => {
                let free = model.workers.iter().position(Option::is_none);
                assert_eq!(balancer.add(weight, moment).ok(), free);
                if let Some(free) = free {
                    model.workers[free] = Some(Worker::new(weight));
                }
            }
            Step::Remove(worker) => {
                let load = balancer.load(worker);
                assert_eq!(balancer.remove(worker, moment), model.workers[worker].take().map(|_| load));
                out.iter_mut().filter(|out| out.ticket.worker() == worker).for_each(|out| out.orphan = true);
            }
            Step::Drain(worker) => {
                balancer.drain(worker, moment);
                model.workers[worker].iter_mut().for_each(|worker| worker.draining = true);
            }
            Step::Weight(worker, weight) => {
                balancer.set_weight(worker, weight);
                model.workers[worker].iter_mut().for_each(|worker| worker.weight = weight);
            }
            Step::Available(worker, available) if model.workers[worker].is_some() => {
                balancer.set_available(worker, available);
                model.workers[worker].iter_mut().for_each(|worker| worker.available = available);
            }
            Step::Report(..) | Step::Lose(_) | Step::Available(..) | Step::Poll => {}
        }
        latest = latest.max(now);
        let moment = Instant::from_nanos(now);
        balancer.poll(moment);
        model.pass(now);
        check_loads(&balancer.loads(), &out, lease, now, latest);
        for (index, worker) in model.workers.iter().enumerate() {
            let shown = balancer.worker(index, moment);
            assert_eq!(shown.is_some(), worker.is_some());
            if let (Some(shown), Some(worker)) = (shown, worker) {
                assert_eq!((shown.failures, u32::from(shown.ejections)), (worker.failures, worker.streak));
                if worker.eligible() && worker.available {
                    assert_eq!(matches!(shown.state, State::Ejected { .. }), worker.ejected && now < worker.until);
                }
            }
        }
        let shown = balancer.snapshot();
        assert_eq!(shown.succeeded + shown.failed + shown.cancelled, reported);
        assert_eq!(shown.picked, u64::from(shown.load) + reported + shown.lost);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn it_does_as_the_model(
        config in config(),
        policy in prop_oneof![
            Just(PolicyConfig::LeastLoaded), Just(PolicyConfig::RoundRobin), Just(PolicyConfig::Weighted)
        ],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        check(config, policy, steps);
    }
}
