//! The balancer through its rules.

mod model;

use daur_core::performance::balancer::{
    Any, Balancer, Config, ConfigError, Eject, Event, Latency, LeastLoaded, NoPlace, Outcome, PeakEwma, Policy,
    PolicyConfig, Refusal, RoundRobin, State, Ticket, Weighted,
};
use daur_core::rng::Rng;
use daur_core::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(30);
const STEADY: Config = Config { lease: LEASE, eject: None, ..Config::DEFAULT };
const ONE_STRIKE: Eject = Eject {
    failures: 1,
    base: Duration::from_secs(10),
    max: Duration::from_secs(35),
    max_pct: 50,
    ramp: Duration::ZERO,
};
const STRICT: Config = Config { lease: LEASE, eject: Some(ONE_STRIKE), panic_pct: 0, ..Config::DEFAULT };

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn just_before(moment: Instant) -> Instant {
    Instant::from_nanos(moment.as_nanos() - 1)
}

fn least() -> LeastLoaded {
    LeastLoaded::new(7)
}

fn pick<const N: usize, P: Policy>(balancer: &mut Balancer<N, P>, now: Instant) -> Ticket {
    balancer.pick(now).unwrap()
}

/// Picks and reports at once.
fn run<const N: usize, P: Policy>(balancer: &mut Balancer<N, P>, outcome: Outcome, now: Instant) -> usize {
    let ticket = pick(balancer, now);
    let worker = ticket.worker();
    balancer.done(ticket, outcome, now);
    worker
}

/// Makes `worker` fail once.
fn fail<const N: usize, P: Policy>(balancer: &mut Balancer<N, P>, worker: usize, now: Instant) -> Option<Event> {
    let ticket = balancer.pick_where(|other| other == worker, now).unwrap();
    balancer.done(ticket, Outcome::Failure, now)
}

#[test]
fn rule_1_a_load_is_the_tickets_that_are_out() {
    let mut balancer: Balancer<3> = Balancer::new(STEADY, least());
    let tickets: Vec<Ticket> = (0..7).map(|_| pick(&mut balancer, at(1))).collect();
    assert_eq!(balancer.loads(), [3, 2, 2]);
    for (ticket, outcome) in
        tickets.into_iter().zip([Outcome::Success, Outcome::Failure, Outcome::Cancelled].into_iter().cycle())
    {
        assert_eq!(balancer.done(ticket, outcome, at(2)), None);
    }
    assert_eq!(balancer.loads(), [0; 3]);
    let shown = balancer.snapshot();
    assert_eq!((shown.picked, shown.succeeded, shown.failed, shown.cancelled), (7, 3, 2, 2));
    assert_eq!(balancer.load(9), 0);
}

#[test]
fn rule_1_a_lost_ticket_counts_for_its_lease_and_at_most_a_third_longer() {
    let mut balancer: Balancer<2> = Balancer::new(STEADY, least());
    let _lost = pick(&mut balancer, at(100));
    let _lost_too = pick(&mut balancer, at(119));
    // The first began an epoch of 10 s; the second came in the one after.
    assert_eq!(balancer.poll_at(), Some(at(140)));
    assert_eq!(balancer.poll(just_before(at(140))), 0);
    assert_eq!(balancer.loads(), [1, 1]);
    assert_eq!(balancer.poll(at(140)), 1);
    assert_eq!(balancer.poll_at(), Some(at(150)));
    assert_eq!(balancer.loads(), [0, 1]);
    assert_eq!(balancer.poll(at(10_000)), 1);
    assert_eq!((balancer.loads(), balancer.poll_at()), ([0, 0], None));
    assert_eq!(balancer.snapshot().lost, 2);
}

#[test]
fn rule_2_a_late_report_is_counted_and_changes_nothing() {
    let mut balancer: Balancer<2> = Balancer::new(STRICT, least());
    let lost = pick(&mut balancer, at(1));
    // The report itself finds the lease over, without a poll before it.
    assert_eq!(balancer.done(lost, Outcome::Failure, at(41)), None);
    let shown = balancer.snapshot();
    assert_eq!((shown.late, shown.lost, shown.failed, shown.ejections), (1, 1, 0, 0));
    // In time, to the nanosecond.
    let slow = pick(&mut balancer, at(50));
    assert_eq!(balancer.done(slow, Outcome::Success, just_before(at(90))), None);
    assert_eq!(balancer.snapshot().succeeded, 1);
}

#[test]
fn rule_2_a_report_of_a_removed_worker_is_late_for_whoever_has_its_place() {
    let mut balancer: Balancer<2> = Balancer::new(STRICT, least());
    let old = pick(&mut balancer, at(1));
    assert_eq!(balancer.remove(0, at(2)), Some(1));
    assert_eq!(balancer.remove(0, at(2)), None);
    assert_eq!(balancer.add(1, at(2)), Ok(0));
    let new = balancer.pick_where(|worker| worker == 0, at(2)).unwrap();
    assert_eq!(balancer.done(old, Outcome::Failure, at(3)), None);
    assert_eq!(balancer.loads(), [1, 0]);
    balancer.done(new, Outcome::Success, at(3));
    let shown = balancer.snapshot();
    assert_eq!((shown.late, shown.lost, shown.failed, shown.workers), (1, 1, 0, 2));
}

#[test]
fn rule_3_ties_rotate() {
    let mut idle: Balancer<5> = Balancer::new(STEADY, least());
    let order: Vec<usize> = (0..10).map(|_| run(&mut idle, Outcome::Success, at(1))).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    let unknown = Latency { initial: Duration::ZERO, ..Latency::DEFAULT };
    let mut timed: Balancer<3, PeakEwma> = Balancer::new(STEADY, PeakEwma::new(unknown, 7));
    let order: Vec<usize> = (0..6).map(|_| run(&mut timed, Outcome::Success, at(1))).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn rule_4_whoever_is_off_gets_nothing() {
    let mut balancer: Balancer<5, RoundRobin> = Balancer::new(STRICT, RoundRobin::new());
    balancer.set_weight(0, 0);
    balancer.set_available(1, false);
    assert_eq!(balancer.drain(2, at(1)), Some(Event::Drained { worker: 2 }));
    balancer.remove(3, at(1));
    assert!((0..9).all(|_| run(&mut balancer, Outcome::Success, at(1)) == 4));
    assert_eq!(balancer.worker(0, at(1)).unwrap().state, State::Off);
    assert_eq!(balancer.worker(1, at(1)).unwrap().state, State::Off);
    assert_eq!(balancer.worker(2, at(1)).unwrap().state, State::Draining);
    assert_eq!(balancer.worker(3, at(1)), None);
    balancer.set_available(4, false);
    assert_eq!(balancer.pick(at(1)), Err(Refusal::NoneAvailable { retry_at: Instant::MAX }));
    balancer.set_available(1, true);
    assert_eq!(run(&mut balancer, Outcome::Success, at(1)), 1);
    assert_eq!(balancer.snapshot().refused, 1);
}

#[test]
fn rule_4_nobody_gets_more_than_the_most() {
    let mut balancer: Balancer<2, Weighted> = Balancer::new(Config { max_load: Some(2), ..STEADY }, Weighted::new());
    balancer.set_weight(0, 1_000);
    let first = pick(&mut balancer, at(1));
    for _ in 0..3 {
        let _out = pick(&mut balancer, at(1));
    }
    assert_eq!(balancer.loads(), [2, 2]);
    assert_eq!(balancer.pick(at(1)).unwrap_err().retry_at(), at(41));
    balancer.done(first, Outcome::Success, at(1));
    assert_eq!(pick(&mut balancer, at(1)).worker(), 0);
}

#[test]
fn rule_4_a_drained_worker_tells_when_its_last_task_is_done() {
    let mut balancer: Balancer<2> = Balancer::new(STEADY, least());
    let (a, _b, c) = (pick(&mut balancer, at(1)), pick(&mut balancer, at(1)), pick(&mut balancer, at(1)));
    assert_eq!(balancer.drain(0, at(1)), None);
    assert_eq!(balancer.done(a, Outcome::Failure, at(2)), None);
    assert_eq!(balancer.done(c, Outcome::Success, at(2)), Some(Event::Drained { worker: 0 }));
    assert_eq!(balancer.remove(0, at(2)), Some(0));
    assert_eq!(balancer.snapshot().lost, 0);
}

#[test]
fn rule_5_failures_in_a_row_eject_and_each_time_for_longer() {
    let mut balancer: Balancer<4> =
        Balancer::new(Config { eject: Some(Eject { failures: 3, ..ONE_STRIKE }), ..STRICT }, least());
    let mut now = at(100);
    fail(&mut balancer, 1, now);
    fail(&mut balancer, 1, now);
    let ticket = balancer.pick_where(|worker| worker == 1, now).unwrap();
    balancer.done(ticket, Outcome::Success, now); // starts the count over
    for wait in [10, 20, 35, 35] {
        assert_eq!(fail(&mut balancer, 1, now), None);
        assert_eq!(fail(&mut balancer, 1, now), None);
        let until = now + Duration::from_secs(wait);
        assert_eq!(fail(&mut balancer, 1, now), Some(Event::Ejected { worker: 1, until }));
        assert_eq!(balancer.poll_at(), Some(until));
        now = until;
    }
    let ticket = balancer.pick_where(|worker| worker == 1, now).unwrap();
    balancer.done(ticket, Outcome::Success, now);
    (0..2).for_each(|_| assert_eq!(fail(&mut balancer, 1, now), None));
    let until = now + Duration::from_secs(10);
    assert_eq!(fail(&mut balancer, 1, now), Some(Event::Ejected { worker: 1, until }));
}

#[test]
fn rule_5_reports_of_calls_from_before_the_return_tell_nothing() {
    let mut balancer: Balancer<4> = Balancer::new(STRICT, least());
    let old: Vec<Ticket> = (0..3).map(|_| balancer.pick_where(|worker| worker == 2, at(1)).unwrap()).collect();
    assert!(fail(&mut balancer, 2, at(1)).is_some());
    for (ticket, when) in old.into_iter().zip([5, 11, 12]) {
        assert_eq!(balancer.done(ticket, Outcome::Failure, at(when)), None);
    }
    let shown = balancer.snapshot();
    assert_eq!((shown.failed, shown.ejections, shown.late), (4, 1, 0));
    assert_eq!(balancer.loads(), [0; 4]);
}

#[test]
fn rule_6_no_more_than_the_share_is_ejected_but_one_of_two_is() {
    let mut balancer: Balancer<5> = Balancer::new(STRICT, least());
    assert!(fail(&mut balancer, 0, at(1)).is_some());
    assert!(fail(&mut balancer, 1, at(1)).is_some());
    assert_eq!(fail(&mut balancer, 2, at(1)), None); // 60 % would be
    let shown = balancer.snapshot();
    assert_eq!((shown.ejected, shown.spared), (2, 1));
    // As soon as the share allows it, its next failure counts.
    assert!(fail(&mut balancer, 2, at(11)).is_some());

    let tenth = Config { eject: Some(Eject { max_pct: 10, ..ONE_STRIKE }), ..STRICT };
    let mut pair: Balancer<2> = Balancer::new(tenth, least());
    assert!(fail(&mut pair, 0, at(1)).is_some());
    assert_eq!(fail(&mut pair, 1, at(1)), None);
    let mut alone: Balancer<1> = Balancer::new(tenth, least());
    assert_eq!(fail(&mut alone, 0, at(1)), None);
}

#[test]
fn rule_7_refused_just_before_and_picked_exactly_at_its_return() {
    let whole = Config { eject: Some(Eject { max_pct: 100, ..ONE_STRIKE }), ..STRICT };
    let mut balancer: Balancer<1> = Balancer::new(whole, least());
    fail(&mut balancer, 0, at(1));
    let retry_at = balancer.pick(at(2)).unwrap_err().retry_at();
    assert_eq!(retry_at, at(11));
    assert_eq!(balancer.worker(0, at(2)).unwrap().state, State::Ejected { until: at(11) });
    assert!(balancer.pick(just_before(retry_at)).is_err());
    assert_eq!(pick(&mut balancer, retry_at).worker(), 0);
}

#[test]
fn rule_7_its_share_grows_in_eighths() {
    let ramp = Config { eject: Some(Eject { ramp: Duration::from_secs(7), ..ONE_STRIKE }), ..STRICT };
    let mut balancer: Balancer<4, RoundRobin> = Balancer::new(ramp, RoundRobin::new());
    fail(&mut balancer, 1, at(1));
    assert!((0..40).all(|_| run(&mut balancer, Outcome::Success, at(2)) != 1));
    // 64 turns of each other worker in every second: the returning one gets so many eighths of 64.
    for eighths in 1..=8_u64 {
        let now = at(10 + eighths);
        let mut turns = [0_u64; 4];
        while turns[0] < 64 {
            turns[run(&mut balancer, Outcome::Success, now)] += 1;
        }
        assert!(turns[1].abs_diff(eighths * 8) <= 1, "{eighths}: {turns:?}");
        let state = balancer.worker(1, now).unwrap().state;
        assert_eq!(state, if eighths == 8 { State::Up } else { State::Returning { eighths: eighths as u8 } });
    }
    // Alone, it gets everything whatever its share.
    fail(&mut balancer, 1, at(20));
    for worker in [0, 2, 3] {
        balancer.set_available(worker, false);
    }
    assert!((0..9).all(|_| run(&mut balancer, Outcome::Success, at(40)) == 1));
}

#[test]
fn a_restored_worker_is_back_at_once() {
    let ramp = Config { eject: Some(Eject { ramp: Duration::from_secs(7), ..ONE_STRIKE }), ..STRICT };
    let mut balancer: Balancer<2> = Balancer::new(ramp, least());
    fail(&mut balancer, 0, at(1));
    balancer.restore(0, at(2));
    let shown = balancer.worker(0, at(2)).unwrap();
    assert_eq!((shown.state, shown.failures, shown.ejections, balancer.poll_at()), (State::Up, 0, 0, None));
    assert_eq!(balancer.snapshot().ejected, 0);
    assert_eq!(fail(&mut balancer, 0, at(2)), Some(Event::Ejected { worker: 0, until: at(12) }));
    balancer.restore(9, at(2));
}

#[test]
fn rule_8_too_many_ejected_tell_nothing() {
    let panics = Config { eject: Some(Eject { max_pct: 100, ..ONE_STRIKE }), panic_pct: 50, ..STRICT };
    let mut balancer: Balancer<4> = Balancer::new(panics, least());
    fail(&mut balancer, 0, at(1));
    fail(&mut balancer, 1, at(1));
    // Half are left: enough.
    assert!((0..8).all(|_| run(&mut balancer, Outcome::Success, at(2)) > 1));
    assert_eq!(balancer.snapshot().panicked, 0);
    fail(&mut balancer, 2, at(2));
    let picked: Vec<usize> = (0..4).map(|_| run(&mut balancer, Outcome::Success, at(3))).collect();
    assert_eq!(picked, [3, 0, 1, 2]);
    assert_eq!(balancer.snapshot().panicked, 3);

    // Half are left, and none of them can take work: then the ejected count, too.
    let mut balancer: Balancer<2> = Balancer::new(Config { panic_pct: 1, ..STRICT }, least());
    fail(&mut balancer, 0, at(1));
    assert_eq!(balancer.pick_where(|worker| worker != 1, at(2)).unwrap().worker(), 0);
    assert!(balancer.pick_where(|_| false, at(2)).is_err());
}

#[test]
fn rule_9_a_clock_that_steps_back_ends_nothing() {
    let mut balancer: Balancer<2> = Balancer::new(STRICT, least());
    let slow = balancer.pick_where(|worker| worker == 1, at(100)).unwrap();
    fail(&mut balancer, 0, at(100));
    for back in [99, 50, 0] {
        assert_eq!(balancer.poll(at(back)), 0);
        assert_eq!(pick(&mut balancer, at(back)).worker(), 1);
    }
    assert_eq!(balancer.loads(), [0, 4]);
    assert_eq!(balancer.worker(0, at(0)).unwrap().state, State::Ejected { until: at(110) });
    assert_eq!(balancer.done(slow, Outcome::Success, at(0)), None);
    assert_eq!(balancer.pick_where(|worker| worker == 0, at(110)).unwrap().worker(), 0);
}

#[test]
fn rule_10_the_same_seed_gives_the_same_workers() {
    let order = |seed| {
        let mut balancer: Balancer<32> = Balancer::new(STEADY, LeastLoaded::new(seed));
        (0..64).map(|_| pick(&mut balancer, at(1)).worker()).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn weighted_shares_are_exact_over_every_cycle_and_evenly_spread() {
    let weights = [5_u16, 1, 1, 0, 3];
    let mut balancer: Balancer<5, Weighted> = Balancer::new(STEADY, Weighted::new());
    for (worker, weight) in weights.into_iter().enumerate() {
        balancer.set_weight(worker, weight);
    }
    let order: Vec<usize> = (0..1_000).map(|_| run(&mut balancer, Outcome::Success, at(1))).collect();
    for cycle in order.windows(10) {
        for (worker, weight) in weights.into_iter().enumerate() {
            assert_eq!(cycle.iter().filter(|&&picked| picked == worker).count(), usize::from(weight));
        }
    }
    // The heaviest never comes more than twice in a row.
    assert!(order.windows(3).all(|three| three != [0, 0, 0]));
}

#[test]
fn least_loaded_fills_by_weight() {
    let mut balancer: Balancer<3> = Balancer::new(STEADY, least());
    balancer.set_weight(0, 4);
    balancer.set_weight(2, 2);
    for _ in 0..70 {
        let _out = pick(&mut balancer, at(1));
    }
    assert_eq!(balancer.loads(), [40, 10, 20]);
}

#[test]
fn two_choices_of_many_stay_near_the_mean() {
    let mut balancer: Balancer<64> = Balancer::new(STEADY, least());
    for _ in 0..64 * 100 {
        let _out = pick(&mut balancer, at(1));
    }
    let loads = balancer.loads();
    // One choice would stray by 3 times the root of 100.
    assert!(loads.iter().all(|&load| load.abs_diff(100) <= 6), "{loads:?}");
    // Where few of many may be picked, they still are, and evenly.
    let mut turns = [0_u32; 64];
    for _ in 0..300 {
        turns[balancer.pick_where(|worker| worker % 32 == 5, at(1)).unwrap().worker()] += 1;
    }
    assert!(turns[5].abs_diff(turns[37]) <= 6, "{turns:?}");
    assert_eq!(turns[5] + turns[37], 300);
}

#[test]
fn peak_ewma_prefers_who_is_fast_and_asks_the_slow_one_again() {
    let latency = Latency { half_life: Duration::from_secs(1), ..Latency::DEFAULT };
    let mut balancer: Balancer<2, PeakEwma> = Balancer::new(STEADY, PeakEwma::new(latency, 7));
    let took = [Duration::from_millis(40), Duration::from_millis(10)];
    let mut now = at(1);
    let mut turns = [0; 2];
    for _ in 0..1_000 {
        let ticket = pick(&mut balancer, now);
        let worker = ticket.worker();
        turns[worker] += 1;
        now += took[worker];
        balancer.done(ticket, Outcome::Success, now);
    }
    assert!(turns[0] >= 3 && turns[0] < 100, "{turns:?}");
    // Loaded with four, the fast one is as good as the slow one with none.
    let loads: Vec<usize> = (0..5).map(|_| pick(&mut balancer, now).worker()).collect();
    assert!(loads.contains(&0), "{loads:?}");
}

#[test]
fn peak_ewma_is_not_drawn_to_who_fails_at_once() {
    let mut balancer: Balancer<2, PeakEwma> = Balancer::new(STEADY, PeakEwma::new(Latency::DEFAULT, 7));
    let mut turns = [0; 2];
    let mut now = at(1);
    for _ in 0..100 {
        let ticket = pick(&mut balancer, now);
        turns[ticket.worker()] += 1;
        let (outcome, took) = if ticket.worker() == 0 { (Outcome::Failure, 1) } else { (Outcome::Success, 50) };
        now += Duration::from_millis(took);
        balancer.done(ticket, outcome, now);
    }
    assert_eq!(turns, [1, 99]);
    // A penalty from outside does the same to the other.
    assert!(balancer.penalize(1, Duration::from_secs(60), now));
    assert_eq!(pick(&mut balancer, now).worker(), 0);
    assert_eq!(balancer.worker(1, now).unwrap().expected, Some(Duration::from_secs(60)));
    assert!(!balancer.penalize(9, Duration::from_secs(60), now));
}

#[test]
fn any_does_as_the_policy_that_it_names() {
    fn order<P: Policy>(policy: P) -> Vec<usize> {
        let mut balancer: Balancer<20, P> = Balancer::new(STEADY, policy);
        balancer.set_weight(3, 5);
        let mut rng = Rng::new(3);
        let mut out = Vec::new();
        let mut now = at(1);
        (0..500)
            .map(|_| {
                now += Duration::from_millis(rng.at_most(20));
                if rng.at_most(2) > 0 && !out.is_empty() {
                    let ticket = out.swap_remove(rng.at_most(out.len() as u64 - 1) as usize);
                    balancer.done(ticket, Outcome::Success, now);
                }
                let ticket = balancer.pick(now).unwrap();
                let worker = ticket.worker();
                out.push(ticket);
                worker
            })
            .collect()
    }
    let any = |policy| order(Any::try_new(policy, 5).unwrap());
    assert_eq!(any(PolicyConfig::LeastLoaded), order(LeastLoaded::new(5)));
    assert_eq!(any(PolicyConfig::RoundRobin), order(RoundRobin::new()));
    assert_eq!(any(PolicyConfig::Weighted), order(Weighted::new()));
    assert_eq!(any(PolicyConfig::PeakEwma(Latency::DEFAULT)), order(PeakEwma::new(Latency::DEFAULT, 5)));
    let never = Latency { half_life: Duration::ZERO, ..Latency::DEFAULT };
    assert!(Any::try_new(PolicyConfig::PeakEwma(never), 5).is_err());
}

#[test]
fn an_invalid_config_is_refused() {
    let of = |config| Balancer::<4>::try_new(config, least()).err();
    let ejects = |eject| of(Config { eject: Some(eject), ..STEADY });
    assert_eq!(of(Config { workers: Some(5), ..STEADY }), Some(ConfigError::Workers));
    assert_eq!(of(Config { lease: Duration::ZERO, ..STEADY }), Some(ConfigError::NoLease));
    assert_eq!(of(Config { max_load: Some(0), ..STEADY }), Some(ConfigError::NoLoad));
    assert_eq!(of(Config { panic_pct: 101, ..STEADY }), Some(ConfigError::PanicPct));
    assert_eq!(ejects(Eject { failures: 0, ..ONE_STRIKE }), Some(ConfigError::NoFailures));
    assert_eq!(ejects(Eject { base: Duration::ZERO, ..ONE_STRIKE }), Some(ConfigError::NoBase));
    assert_eq!(ejects(Eject { max: Duration::from_secs(1), ..ONE_STRIKE }), Some(ConfigError::Max));
    assert_eq!(ejects(Eject { max_pct: 0, ..ONE_STRIKE }), Some(ConfigError::MaxPct));
    assert_eq!(of(Config { lease: Duration::MAX, ..Config::DEFAULT }), None);
    let mut none: Balancer<2> = Balancer::new(Config { workers: Some(0), ..STEADY }, least());
    assert!(none.pick(at(1)).is_err());
    assert_eq!((none.add(1, at(1)), none.add(2, at(1)), none.add(1, at(1))), (Ok(0), Ok(1), Err(NoPlace)));
    assert_eq!(none.snapshot().workers, 2);
}

#[test]
fn loads_never_drift_over_a_million_tickets_of_which_some_are_lost() {
    const WORKERS: usize = 24;
    let mut balancer: Balancer<WORKERS> = Balancer::new(STEADY, least());
    let mut rng = Rng::new(11);
    let mut now = at(1);
    let mut out: Vec<Ticket> = Vec::new();
    let mut dropped = 0_u64;
    for n in 0..1_000_000_u64 {
        now += Duration::from_millis(rng.at_most(4));
        out.push(pick(&mut balancer, now));
        while out.len() as u64 > 20 + rng.at_most(60) {
            let ticket = out.swap_remove(rng.at_most(out.len() as u64 - 1) as usize);
            match rng.at_most(15) {
                0 => dropped += 1,
                1 => _ = balancer.done(ticket, Outcome::Failure, now),
                2 => _ = balancer.done(ticket, Outcome::Cancelled, now),
                _ => _ = balancer.done(ticket, Outcome::Success, now),
            }
        }
        if n % 50_000 == 0 {
            // After a pause in which every lease ends, nothing is left but what is counted.
            now += LEASE + LEASE;
            balancer.poll(now);
            assert_eq!(balancer.loads(), [0; WORKERS]);
            let shown = balancer.snapshot();
            assert_eq!(shown.lost, dropped + out.len() as u64);
            dropped += out.len() as u64;
            let late = shown.late;
            for ticket in out.drain(..) {
                balancer.done(ticket, Outcome::Success, now);
            }
            assert!(balancer.snapshot().late > late);
        }
        let shown = balancer.snapshot();
        assert_eq!(shown.picked, u64::from(shown.load) + shown.succeeded + shown.failed + shown.cancelled + shown.lost);
        assert_eq!(balancer.loads().iter().sum::<u32>(), shown.load);
    }
    for ticket in out {
        balancer.done(ticket, Outcome::Success, now);
    }
    now += LEASE + LEASE;
    balancer.poll(now);
    assert_eq!((balancer.loads(), balancer.snapshot().lost), ([0; WORKERS], dropped));
}

#[test]
fn a_pick_whose_question_panics_leaves_nobody_out() {
    let eject = Eject { ramp: Duration::from_secs(70), ..ONE_STRIKE };
    let config = Config { eject: Some(eject), ..STRICT };
    let mut balancer: Balancer<2> = Balancer::new(config, least());
    assert!(fail(&mut balancer, 0, at(0)).is_some());
    let back = at(15); // with an eighth of its share
    let passed_over = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..9 {
            let mut last = 0;
            let usable = |worker| {
                let again = std::mem::replace(&mut last, worker) == worker && worker == 1;
                assert!(!again, "worker 0 was passed over, and 1 is asked about alone");
                true
            };
            let ticket = balancer.pick_where(usable, back).unwrap();
            balancer.done(ticket, Outcome::Success, back);
        }
    }));
    assert!(passed_over.is_err());
    assert_eq!(balancer.pick_where(|worker| worker == 0, back).unwrap().worker(), 0);
}

#[test]
fn a_refusal_names_the_moment_at_which_a_lost_ticket_makes_room() {
    let mut balancer: Balancer<2> = Balancer::new(Config { max_load: Some(1), ..STRICT }, least());
    let _lost = [pick(&mut balancer, at(1)), pick(&mut balancer, at(12))];
    let retry_at = balancer.pick(at(13)).unwrap_err().retry_at();
    assert_eq!((retry_at, Some(retry_at)), (at(41), balancer.poll_at()));
    assert!(balancer.pick(just_before(retry_at)).is_err());
    assert_eq!(balancer.pick(retry_at).unwrap().worker(), 0);
    // Of worker 1, of which the ticket is younger by an epoch.
    assert_eq!(balancer.pick_where(|worker| worker == 1, retry_at).unwrap_err().retry_at(), at(51));
    assert_eq!(balancer.pick_where(|_| false, retry_at).unwrap_err().retry_at(), Instant::MAX);
    // Ejected besides, it needs both; where ejected ones count in need, room alone.
    for (panic_pct, expected) in [(0, at(100)), (50, at(42))] {
        let eject = Eject { base: Duration::from_secs(98), max: Duration::from_secs(98), ..ONE_STRIKE };
        let config = Config { max_load: Some(2), eject: Some(eject), panic_pct, ..STRICT };
        let mut balancer: Balancer<2> = Balancer::new(config, least());
        let tickets = [0, 0].map(|worker| balancer.pick_where(|other| other == worker, at(2)).unwrap());
        let [failed, lost] = tickets;
        assert!(balancer.done(failed, Outcome::Failure, at(2)).is_some());
        let _lost = lost;
        if panic_pct > 0 {
            let _lost = balancer.pick_where(|other| other == 0, at(2)).unwrap();
        }
        let alone = balancer.pick_where(|other| other == 0, at(3)).unwrap_err();
        assert_eq!(alone.retry_at(), expected);
        assert!(balancer.pick_where(|other| other == 0, just_before(expected)).is_err());
        assert!(balancer.pick_where(|other| other == 0, expected).is_ok());
    }
}
