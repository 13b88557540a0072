//! Balancing over endpoints and over threads.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, OnceLock, mpsc};

use daur_std::clock::ManualClock;
use daur_std::core::performance::balancer::{
    Config as BalancerConfig, Eject, Event, Latency, PolicyConfig, Refusal, State,
};
use daur_std::core::reliability::breaker::{self, ModeConfig};
use daur_std::core::reliability::retry::Class;
use daur_std::core::time::{Duration, Instant};
use daur_std::performance::balancer::{
    AddError, Config, ConfigError, Endpoints, Failure, LoadBalancer, Report, Why, Workers, init, load_balancer,
};

const STEADY: BalancerConfig = BalancerConfig { eject: None, panic_pct: 0, ..BalancerConfig::DEFAULT };
const PLAIN: Config = Config { balancer: STEADY, ..Config::DEFAULT };

fn named<'a>(config: Config, names: &[&str], clock: &'a ManualClock) -> Endpoints<(), 8, &'a ManualClock> {
    let endpoints = Endpoints::with_clock(config, clock).unwrap();
    names.iter().for_each(|name| endpoints.add(name, (), 1).unwrap());
    endpoints
}

fn loads<const N: usize>(endpoints: &Endpoints<(), N, &ManualClock>) -> Vec<u32> {
    endpoints.snapshot().endpoints.iter().map(|endpoint| endpoint.worker.load).collect()
}

#[test]
fn endpoints_rule_1_an_endpoint_whose_breaker_is_open_is_skipped_until_it_admits_a_probe() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = breaker::Config { failures: 2, probes: 1, success_threshold: 1, ..breaker::Config::DEFAULT };
    let endpoints = named(Config { breaker: Some((breaker, ModeConfig::DEFAULT)), ..PLAIN }, &["a", "b"], &clock);
    while endpoints.snapshot().endpoints[0].breaker.unwrap().state == breaker::State::Closed {
        let pick = endpoints.pick().unwrap();
        if pick.name() == "a" {
            pick.failure()
        } else {
            pick.success()
        };
    }
    assert!((0..6).all(|_| endpoints.pick().unwrap().name() == "b"));
    endpoints.set_available("b", false);
    let retry_at = endpoints.pick().unwrap_err().retry_at();
    assert_eq!(retry_at, Instant::from_secs(61));
    clock.set(Instant::from_nanos(retry_at.as_nanos() - 1));
    assert!(endpoints.pick().is_err());
    clock.set(retry_at);
    let probe = endpoints.pick().unwrap();
    // One probe is out, and there is no place for another.
    assert!(endpoints.pick().is_err());
    drop(probe); // gives its place back
    endpoints.pick().unwrap().success();
    assert_eq!(endpoints.snapshot().endpoints[0].breaker.unwrap().state, breaker::State::Closed);
}

#[test]
fn endpoints_rule_2_a_dropped_pick_a_panic_and_a_dropped_future_give_the_load_back() {
    let clock = ManualClock::default();
    let endpoints = named(PLAIN, &["a", "b"], &clock);
    let pick = endpoints.pick().unwrap();
    assert_eq!(loads(&endpoints), [1, 0]);
    drop(pick);
    let panics = AssertUnwindSafe(|| {
        endpoints.call_blocking(2, |()| Class::Transient, |_| -> Result<(), ()> { panic!("the call's") })
    });
    assert!(catch_unwind(panics).is_err());
    let call = endpoints.call(2, |()| Class::Transient, |_| std::future::pending::<Result<(), ()>>());
    let mut call = Box::pin(call);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    assert_eq!(loads(&endpoints).iter().sum::<u32>(), 1);
    drop(call);
    let all = endpoints.snapshot().all;
    assert_eq!((loads(&endpoints), all.cancelled, all.failed), (vec![0, 0], 3, 0));
    // Leaked, it counts until its lease is over.
    std::mem::forget(endpoints.pick().unwrap());
    clock.advance(Duration::from_secs(60));
    assert_eq!(loads(&endpoints).iter().sum::<u32>(), 1);
    clock.advance(Duration::from_secs(20));
    assert_eq!((loads(&endpoints), endpoints.snapshot().all.lost), (vec![0, 0], 1));
}

#[test]
fn endpoints_rule_3_a_call_asks_each_endpoint_once_and_no_more_than_it_may() {
    let clock = ManualClock::default();
    let endpoints = named(PLAIN, &["a", "b", "c"], &clock);
    let asked = RefCell::new(Vec::new());
    let call = |tries, class: Class, works_at: &str| {
        asked.borrow_mut().clear();
        let answer = endpoints.call_blocking(
            tries,
            |_: &&str| class,
            |endpoint| {
                asked.borrow_mut().push(endpoint.name().to_owned());
                if endpoint.name() == works_at { Ok(7) } else { Err("down") }
            },
        );
        (answer, asked.borrow().concat())
    };
    assert_eq!(call(9, Class::Transient, "c"), (Ok(7), "abc".to_owned()));
    assert_eq!(call(9, Class::Transient, ""), (Err(Failure::Error { error: "down", asked: 3 }), "abc".to_owned()));
    assert_eq!(call(2, Class::Transient, ""), (Err(Failure::Error { error: "down", asked: 2 }), "ab".to_owned()));
    assert_eq!(call(9, Class::Permanent, ""), (Err(Failure::Error { error: "down", asked: 1 }), "c".to_owned()));
    assert_eq!(call(9, Class::Ignored, ""), (Err(Failure::Error { error: "down", asked: 1 }), "a".to_owned()));
    let all = endpoints.snapshot().all;
    assert_eq!((all.succeeded, all.failed, all.cancelled, all.load), (1, 8, 1, 0));
    let none: Endpoints<()> = Endpoints::try_new(PLAIN).unwrap();
    let answer = none.call_blocking(3, |()| Class::Transient, |_| Ok::<(), ()>(()));
    assert_eq!(answer, Err(Failure::NoneAvailable { retry_at: Instant::MAX }));
}

#[tokio::test]
async fn endpoints_rule_3_so_does_an_async_call_and_a_hint_is_a_penalty() {
    let clock = ManualClock::default();
    let config = Config { policy: PolicyConfig::PeakEwma(Latency::DEFAULT), ..PLAIN };
    let endpoints = named(config, &["a", "b"], &clock);
    let pause = Duration::from_secs(60);
    let answer = endpoints
        .call(
            2,
            |_: &()| Class::TransientAfter(pause),
            |endpoint| async move { if endpoint.name() == "a" { Err(()) } else { Ok(endpoint.name().to_owned()) } },
        )
        .await;
    assert_eq!(answer, Ok("b".to_owned()));
    assert_eq!(endpoints.snapshot().endpoints[0].worker.expected, Some(pause));
    assert!((0..5).all(|_| endpoints.pick().unwrap().name() == "b"));
}

#[test]
fn endpoints_rule_4_a_drained_endpoint_leaves_with_its_last_call_and_a_removed_one_at_once() {
    let clock = ManualClock::default();
    let endpoints = named(PLAIN, &["a", "b"], &clock);
    let a = endpoints.pick().unwrap();
    assert!(endpoints.drain("a"));
    assert_eq!(endpoints.len(), 2);
    assert!((0..4).all(|_| endpoints.pick().unwrap().name() == "b"));
    assert_eq!(a.success(), Some(Event::Drained { worker: 0 }));
    assert_eq!(endpoints.len(), 1);
    let b = endpoints.pick().unwrap();
    assert_eq!(endpoints.remove("b").unwrap().name(), "b");
    assert!(endpoints.remove("b").is_none() && !endpoints.drain("b") && endpoints.is_empty());
    // Another has its place before it reports.
    endpoints.add("c", (), 1).unwrap();
    endpoints.add("d", (), 1).unwrap();
    assert_eq!(b.failure(), None);
    let shown = endpoints.snapshot();
    assert_eq!((shown.all.late, shown.all.lost, shown.all.failed), (1, 1, 0));
    assert_eq!(endpoints.add("c", (), 1), Err(AddError::Known(())));
    ["e", "f", "g", "h", "i", "j"].iter().for_each(|name| endpoints.add(name, (), 1).unwrap());
    assert_eq!(endpoints.add("k", (), 1), Err(AddError::NoPlace(())));
}

#[test]
fn who_fails_is_ejected_and_the_dashboard_says_so() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let eject = Eject { failures: 2, ..Eject::DEFAULT };
    let config = Config { balancer: BalancerConfig { eject: Some(eject), ..STEADY }, ..PLAIN };
    let endpoints = named(config, &["a", "b"], &clock);
    for _ in 0..4 {
        let pick = endpoints.pick().unwrap();
        if pick.name() == "b" {
            pick.failure()
        } else {
            pick.success()
        };
    }
    let until = Instant::from_secs(31);
    assert_eq!(endpoints.snapshot().endpoints[1].worker.state, State::Ejected { until });
    endpoints.set_weight("a", 0);
    assert_eq!(endpoints.pick().unwrap_err(), Refusal::NoneAvailable { retry_at: until });
    assert!(endpoints.restore("b") && !endpoints.restore("z"));
    assert_eq!(endpoints.pick().unwrap().name(), "b");
    let json = serde_json::to_value(endpoints.snapshot()).unwrap();
    assert_eq!((&json["endpoints"][1]["name"], &json["all"]["ejections"]), (&"b".into(), &1.into()));
}

#[test]
fn an_invalid_config_of_endpoints_is_refused() {
    let of = |config| Endpoints::<()>::try_new(config).err();
    let lease = BalancerConfig { lease: Duration::ZERO, ..STEADY };
    assert!(matches!(of(Config { balancer: lease, ..PLAIN }), Some(ConfigError::Balancer(_))));
    let latency = Latency { half_life: Duration::ZERO, ..Latency::DEFAULT };
    assert!(matches!(of(Config { policy: PolicyConfig::PeakEwma(latency), ..PLAIN }), Some(ConfigError::Policy(_))));
    let breaker = (breaker::Config { probes: 0, ..breaker::Config::DEFAULT }, ModeConfig::DEFAULT);
    assert!(matches!(of(Config { breaker: Some(breaker), ..PLAIN }), Some(ConfigError::Breaker(_))));
}

#[test]
fn eight_threads_leave_no_load_behind() {
    let endpoints: Endpoints<u32> = Endpoints::try_new(PLAIN).unwrap();
    (0..20).for_each(|n| endpoints.add(&format!("{n}"), n, 1).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let endpoints = &endpoints;
            scope.spawn(move || {
                for n in 0..10_000 {
                    let pick = endpoints.pick().unwrap();
                    match (n + thread) % 3 {
                        0 => _ = pick.success(),
                        1 => _ = pick.failure(),
                        _ => drop(pick),
                    }
                    if n % 1_000 == 0 {
                        endpoints.remove(&format!("{thread}"));
                        endpoints.add(&format!("{thread}"), 0, 1).unwrap();
                    }
                }
            });
        }
    });
    let shown = endpoints.snapshot();
    assert_eq!((shown.all.load, shown.all.picked, shown.all.workers), (0, 80_000, 20));
    assert_eq!(shown.all.succeeded + shown.all.failed + shown.all.cancelled + shown.all.lost, 80_000);
    assert_eq!(shown.all.late, shown.all.lost);
}

/// Holds each worker in a task until the answer's end is dropped.
fn hold(balancer: &LoadBalancer, workers: usize) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let begun = Arc::new(Barrier::new(workers + 1));
    for _ in 0..workers {
        let (held, begun) = (Arc::clone(&held), Arc::clone(&begun));
        let hold = move || {
            begun.wait();
            _ = held.lock().unwrap().recv();
        };
        balancer.submit_task(hold).unwrap();
    }
    begun.wait();
    release
}

fn of(workers: usize, queue: u32) -> LoadBalancer {
    LoadBalancer::try_new(Workers { workers, queue, ..Workers::DEFAULT }).unwrap()
}

#[test]
fn workers_rules_1_and_2_tasks_are_spread_and_a_full_balancer_gives_one_back() {
    let balancer = of(3, 2);
    let release = hold(&balancer, 3);
    assert_eq!(balancer.loads(), [1, 1, 1]);
    let done = Arc::new(AtomicU32::new(0));
    let task = || {
        let done = Arc::clone(&done);
        move || _ = done.fetch_add(1, Ordering::SeqCst)
    };
    let mut workers: Vec<usize> = (0..6).map(|_| balancer.submit_task(task()).unwrap()).collect();
    assert_eq!(balancer.loads(), [3, 3, 3]);
    workers.sort_unstable();
    assert_eq!(workers, [0, 0, 1, 1, 2, 2]);
    let refused = balancer.submit_task(task()).unwrap_err();
    assert_eq!(refused.why, Why::Full);
    (refused.job)(); // it is the task itself
    drop(release);
    assert_eq!(balancer.shutdown(), Report { done: 9, panicked: 0, dropped: 0 });
    assert_eq!((done.load(Ordering::SeqCst), balancer.loads()), (7, vec![0, 0, 0]));
    assert_eq!(balancer.submit_task(|| ()).unwrap_err().why, Why::ShutDown);
}

#[test]
fn workers_rule_3_a_task_that_panics_counts_and_its_worker_lives() {
    struct Sore;
    impl Drop for Sore {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("the value's");
            }
        }
    }
    let balancer = of(1, 10);
    balancer.submit_task(|| panic!("the task's")).unwrap();
    balancer.submit_task(|| std::panic::panic_any(Sore)).unwrap();
    let sore = Sore;
    balancer.submit_task(move || drop(sore)).unwrap();
    balancer.submit_task(|| ()).unwrap();
    assert_eq!(balancer.shutdown(), Report { done: 1, panicked: 3, dropped: 0 });
}

#[test]
fn workers_rule_4_shut_down_now_drops_what_has_not_begun_and_says_so() {
    let balancer = Arc::new(of(2, 10));
    let release = hold(&balancer, 2);
    let owned = Arc::new(());
    for _ in 0..8 {
        let owned = Arc::clone(&owned);
        balancer.submit_task(move || drop(owned)).unwrap();
    }
    let other = Arc::clone(&balancer);
    let shutdown = std::thread::spawn(move || other.shutdown_now());
    // full queues refuse too: only a balancer that has begun to shut down says so
    while !matches!(balancer.submit_task(|| ()), Err(refused) if refused.why == Why::ShutDown) {
        std::thread::yield_now();
    }
    drop(release);
    let report = shutdown.join().unwrap();
    assert_eq!((report.done, report.panicked), (2, 0));
    assert!(report.dropped >= 8);
    assert_eq!((Arc::strong_count(&owned), balancer.loads()), (1, vec![0, 0]));
}

#[test]
fn workers_rule_4_a_task_may_submit_tasks_and_shut_its_own_balancer_down() {
    let balancer = Arc::new(of(2, 10));
    let (tell, told) = mpsc::channel();
    let own = Arc::clone(&balancer);
    balancer
        .submit_task(move || {
            let from_within = tell.clone();
            own.submit_task(move || from_within.send("task").unwrap()).unwrap();
            own.shutdown();
            tell.send("end").unwrap();
        })
        .unwrap();
    let mut words: Vec<&str> = told.iter().collect();
    words.sort_unstable();
    assert_eq!(words, ["end", "task"]);
    assert!(balancer.submit_task(|| ()).is_err());
}

#[test]
fn no_threads_and_too_many_are_refused() {
    for workers in [0, 257] {
        let error = LoadBalancer::try_new(Workers { workers, ..Workers::DEFAULT }).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn the_global_one_is_made_at_its_first_use() {
    let first: *const LoadBalancer = load_balancer(2);
    assert!(std::ptr::eq(first, load_balancer(7)));
    assert_eq!(load_balancer(7).loads().len(), 2);
    assert!(init(of(1, 1)).is_err());
}

#[test]
fn endpoints_rule_4_a_drained_endpoint_whose_last_call_is_lost_or_late_leaves_with_its_lease() {
    for leaked in [true, false] {
        let clock = ManualClock::default();
        let endpoints = named(PLAIN, &["a", "b"], &clock);
        let a = endpoints.pick().unwrap();
        assert!(a.name() == "a" && endpoints.drain("a"));
        clock.advance(Duration::from_secs(59));
        assert_eq!(endpoints.len(), 2);
        if leaked {
            std::mem::forget(a);
            clock.advance(Duration::from_secs(21));
        } else {
            clock.advance(Duration::from_secs(21));
            assert_eq!(a.success(), None);
        }
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints.add("a", (), 1), Ok(()));
    }
}

#[test]
fn what_an_endpoint_is_made_of_ends_outside_of_the_lock() {
    static ENDPOINTS: OnceLock<Endpoints<Looks>> = OnceLock::new();
    static SEEN: AtomicU32 = AtomicU32::new(0);
    struct Looks;
    impl Drop for Looks {
        fn drop(&mut self) {
            if let Some(endpoints) = ENDPOINTS.get() {
                SEEN.fetch_add(1 + u32::from(endpoints.is_empty()), Ordering::SeqCst);
            }
        }
    }
    let endpoints = ENDPOINTS.get_or_init(|| Endpoints::try_new(PLAIN).unwrap());
    assert!(endpoints.add("a", Looks, 1).is_ok() && endpoints.drain("a"));
    assert_eq!(SEEN.load(Ordering::SeqCst), 2);
}

#[test]
fn a_refusal_names_no_moment_that_is_over_and_none_of_an_endpoint_that_is_off() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let breaker = breaker::Config { failures: 1, ..breaker::Config::DEFAULT };
    let endpoints = named(Config { breaker: Some((breaker, ModeConfig::DEFAULT)), ..PLAIN }, &["a", "b"], &clock);
    endpoints.pick().unwrap().failure();
    endpoints.set_available("b", false);
    assert_eq!(endpoints.pick().unwrap_err().retry_at(), Instant::from_secs(61));
    let not_a = endpoints.pick_where(|endpoint| endpoint.name() != "a").unwrap_err();
    assert_eq!(not_a.retry_at(), Instant::MAX);
    endpoints.set_available("a", false);
    assert_eq!(endpoints.pick().unwrap_err().retry_at(), Instant::MAX);
    clock.set(Instant::from_secs(100));
    assert_eq!(endpoints.pick().unwrap_err().retry_at(), Instant::MAX);
}

#[test]
fn workers_rule_3_what_a_panic_carries_may_panic_too_and_again() {
    struct Bomb(u32);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Self(self.0 - 1));
            }
        }
    }
    let balancer = of(1, 8);
    balancer.submit_task(|| std::panic::panic_any(Bomb(3))).unwrap();
    balancer.submit_task(|| ()).unwrap();
    assert_eq!(balancer.shutdown(), Report { done: 1, panicked: 1, dropped: 0 });
}
