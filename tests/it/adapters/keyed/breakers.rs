//! Keyed breakers through their public API.

use std::sync::Arc;

use daur_core::reliability::breaker::{self, Breaker, Open, State, Window};
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::reliability::keyed::OnFull;
use daur_std::reliability::keyed::breakers::{Config, ConfigError, Full, KeyedBreakers};

use crate::adapters::allocations;

type Keyed<C = &'static ManualClock> = KeyedBreakers<String, breaker::Consecutive, C>;

/// Opens on the second failure in a row, for a minute.
const EACH: breaker::Config = breaker::Config { failures: 2, ..breaker::Config::DEFAULT };
const SMALL: Config = Config { capacity: 3, idle_after: Duration::from_secs(600), on_full: OnFull::Refuse };

fn clock() -> &'static ManualClock {
    Box::leak(Box::new(ManualClock::new(Instant::from_secs(100))))
}

fn keyed(config: Config, clock: &'static ManualClock) -> Keyed {
    KeyedBreakers::with(config, clock, |_| Breaker::new(EACH)).unwrap()
}

fn fail(keyed: &Keyed, key: &str) {
    keyed.get(key).unwrap().call(|| Err::<(), _>(())).unwrap_err();
}

fn succeed(keyed: &Keyed, key: &str) {
    keyed.get(key).unwrap().call(|| Ok::<_, ()>(())).unwrap();
}

fn keys(keyed: &Keyed) -> Vec<String> {
    let mut keys = Vec::new();
    keyed.for_each(|key, _| keys.push(key.clone()));
    keys.sort();
    keys
}

#[test]
fn rule_1_the_same_key_gets_the_same_breaker() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    fail(&keyed, "a");
    fail(&keyed, "b");
    fail(&keyed, "a");
    assert_eq!(keyed.get("a").unwrap().state(), State::Open);
    assert_eq!(keyed.get("b").unwrap().state(), State::Closed);
    assert!(Arc::ptr_eq(&keyed.get("a").unwrap(), &keyed.get("a").unwrap()));
}

#[test]
fn rule_2_the_closed_breaker_that_was_used_longest_ago_makes_room() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    for key in ["a", "b", "c", "a"] {
        succeed(&keyed, key);
        clock.advance(Duration::from_millis(1));
    }
    succeed(&keyed, "d");
    assert_eq!(keys(&keyed), ["a", "c", "d"]);
    assert_eq!(keyed.snapshot().forgotten, 1);
}

#[test]
fn rule_3_failures_are_remembered_for_a_while() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    for key in ["a", "b", "c"] {
        fail(&keyed, key);
        clock.advance(Duration::from_secs(1));
    }
    let full = keyed.get("d").unwrap_err();
    assert_eq!(full, Full { retry_at: Instant::from_secs(700) });
    clock.set(full.retry_at - Duration::from_nanos(1));
    assert_eq!(keyed.get("d").unwrap_err(), full);
    clock.set(full.retry_at);
    succeed(&keyed, "d");
    assert_eq!(keys(&keyed), ["b", "c", "d"]);
    // An open one is remembered until its wait is over, and at least as long.
    for key in ["b", "c", "d"] {
        fail(&keyed, key);
        fail(&keyed, key);
    }
    assert_eq!(keyed.get("e").unwrap_err(), Full { retry_at: Instant::from_secs(1_300) });
    clock.set(Instant::from_secs(1_300) - Duration::from_nanos(1));
    assert!(keyed.get("e").is_err());
    clock.set(Instant::from_secs(1_300));
    assert!(keyed.get("e").is_ok());
}

#[test]
fn rule_4_a_breaker_that_refuses_is_never_forgotten_for_a_newcomer() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    for key in ["a", "b"] {
        fail(&keyed, key);
        fail(&keyed, key);
    }
    for n in 0..1_000 {
        succeed(&keyed, &n.to_string());
    }
    assert_eq!(keyed.get("a").unwrap().admit().unwrap_err(), Open { retry_at: Instant::from_secs(160) });
    assert_eq!(keyed.get("b").unwrap().state(), State::Open);
    assert_eq!(keyed.snapshot().forgotten, 999);
}

#[test]
fn rule_4_neither_is_one_that_is_held_or_was_set_by_hand() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    let held = keyed.get("held").unwrap();
    keyed.get("forced").unwrap().force_open();
    keyed.get("disabled").unwrap().force_closed();
    clock.advance(Duration::from_secs(100_000));
    assert_eq!(keyed.get("new").unwrap_err().retry_at, Instant::from_secs(100_700));
    assert_eq!(keyed.snapshot().full, 1);
    drop(held);
    assert!(keyed.get("new").is_ok());
    assert_eq!(keys(&keyed), ["disabled", "forced", "new"]);
}

#[test]
fn rule_4_a_newcomer_can_be_given_a_breaker_that_nobody_else_sees() {
    let clock = clock();
    let keyed = keyed(Config { on_full: OnFull::Admit, ..SMALL }, clock);
    let held: Vec<_> = ["a", "b", "c"].map(|key| keyed.get(key).unwrap()).into();
    for _ in 0..5 {
        fail(&keyed, "d");
    }
    let snapshot = keyed.snapshot();
    assert_eq!((snapshot.keys, snapshot.untracked, snapshot.full), (3, 5, 0));
    assert!(held.iter().all(|breaker| breaker.state() == State::Closed));
}

#[test]
fn rule_5_a_clock_that_steps_back_forgets_nothing_of_rule_3() {
    let clock = clock();
    let keyed = keyed(SMALL, clock);
    for key in ["a", "b", "c"] {
        fail(&keyed, key);
    }
    for back in [Instant::from_secs(50), Instant::ZERO] {
        clock.set(back);
        assert!(keyed.get("d").is_err());
        fail(&keyed, "c");
    }
}

#[test]
fn never_seen_keys_make_it_grow_by_no_byte() {
    let keyed: KeyedBreakers<u64> = KeyedBreakers::try_new(EACH, Config { capacity: 64, ..SMALL }).unwrap();
    for key in 0..64 {
        keyed.get(&key).unwrap();
    }
    let ((), _, held) = allocations::of(|| {
        for key in 1_000..3_000 {
            keyed.get(&key).unwrap();
        }
    });
    assert_eq!(held, 0);
    let all: Vec<_> = (0..64).map(|key| keyed.get(&key).unwrap()).collect();
    let ((), allocations, _) = allocations::of(|| {
        for key in 1_000..3_000 {
            assert!(keyed.get(&key).is_err());
        }
    });
    assert_eq!((allocations, all.len()), (0, 64));
}

#[test]
fn a_flood_from_eight_threads_forgets_no_breaker_that_refuses() {
    let clock = clock();
    let keyed = keyed(Config { capacity: 256, ..SMALL }, clock);
    fail(&keyed, "down");
    fail(&keyed, "down");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let keyed = &keyed;
            scope.spawn(move || {
                for n in 0..5_000 {
                    // In one shard the newcomers of all threads may hold every place for a moment, never here.
                    succeed(keyed, &format!("{thread}-{n}"));
                }
            });
        }
    });
    let snapshot = keyed.snapshot();
    // 6 shards of 64 keys.
    assert!((256..=384).contains(&snapshot.keys), "{snapshot:?}");
    assert_eq!(snapshot.keys as u64 + snapshot.forgotten, 40_001);
    assert_eq!(keyed.get("down").unwrap().state(), State::Open);
}

#[test]
fn every_mode_can_be_kept_by_key() {
    let clock = clock();
    let window = Window { calls: 10, failure_pct: 50, min_calls: 4 };
    let keyed =
        KeyedBreakers::with(SMALL, clock, move |_: &u32| Breaker::<breaker::CountWindow<1>>::windowed(EACH, window));
    let keyed = keyed.unwrap();
    for ok in [true, false, true, false] {
        let _ = keyed.get(&1).unwrap().call(|| if ok { Ok(()) } else { Err(()) });
    }
    assert_eq!(keyed.get(&1).unwrap().state(), State::Open);
    assert_eq!(keyed.get(&2).unwrap().state(), State::Closed);
}

#[test]
fn threads_that_ask_for_one_new_key_share_its_breaker() {
    let clock = clock();
    let keyed = keyed(Config { capacity: 1_000, ..SMALL }, clock);
    for round in 0..50 {
        let key = round.to_string();
        let same = std::thread::scope(|scope| {
            let threads = [0, 1, 2].map(|_| scope.spawn(|| keyed.get(key.as_str()).unwrap()));
            let [a, b, c] = threads.map(|thread| thread.join().unwrap());
            Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c)
        });
        assert!(same);
    }
    assert_eq!(keyed.snapshot().keys, 50);
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    let refused = |each, config| KeyedBreakers::<u64>::try_new(each, config).map(drop).unwrap_err();
    assert_eq!(refused(EACH, Config { capacity: 0, ..SMALL }), ConfigError::NoCapacity);
    assert_eq!(refused(EACH, Config { capacity: usize::MAX, ..SMALL }), ConfigError::MaxCapacity);
    assert_eq!(refused(EACH, Config { idle_after: Duration::ZERO, ..SMALL }), ConfigError::NoIdleAfter);
    let each = breaker::Config { failures: 0, ..EACH };
    assert_eq!(refused(each, SMALL), ConfigError::Breaker(breaker::ConfigError::NoFailures));
}
