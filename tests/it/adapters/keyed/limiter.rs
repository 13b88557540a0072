//! The keyed limiter through its public API.

use daur_core::reliability::limiter::{self, Gcra, Quota};
use daur_core::rng::Rng;
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::reliability::keyed::limiter::{Config, ConfigError, KeyedLimiter, Refused};
use daur_std::reliability::keyed::{MAX_CAPACITY, OnFull};

use crate::adapters::allocations;

const SECOND: Duration = Duration::from_secs(1);
/// One a second, two at once.
const LIMIT: limiter::Config = limiter::Config { rate: 1, period: SECOND, burst: 2 };
const SMALL: Config = Config { limit: LIMIT, capacity: 4, on_full: OnFull::Refuse };

fn limiter(config: Config, clock: &ManualClock) -> KeyedLimiter<u64, &ManualClock> {
    KeyedLimiter::with_clock(config, clock).unwrap()
}

#[test]
fn rule_1_each_key_has_the_limit_of_a_gcra_of_its_own() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(Config { capacity: 1_000, ..SMALL }, &clock);
    let quota = Quota::new(LIMIT);
    let mut alone = [Gcra::NEW; 50];
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let key = rng.at_most(49);
        let n = u32::try_from(rng.at_most(3)).unwrap();
        clock.advance(Duration::from_millis(rng.at_most(40)));
        let state = &mut alone[usize::try_from(key).unwrap()];
        assert_eq!(keyed.peek(&key), state.peek(&quota, keyed.now()).map_err(Refused::from));
        assert_eq!(keyed.check_n(&key, n), state.check_n(&quota, n, keyed.now()).map_err(Refused::from));
    }
}

#[test]
fn rule_1_refused_just_before_and_accepted_exactly_at_retry_at() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    assert!(keyed.check(&7).is_ok() && keyed.check(&7).is_ok());
    let refused = keyed.check(&7).unwrap_err();
    assert_eq!(refused, Refused::Limited { retry_at: Instant::from_secs(101) });
    clock.set(refused.retry_at() - Duration::from_nanos(1));
    assert_eq!(keyed.check(&7), Err(refused));
    clock.set(refused.retry_at());
    assert_eq!(keyed.check(&7), Ok(()));
}

#[test]
fn rule_2_never_seen_keys_allocate_nothing() {
    for on_full in [OnFull::Refuse, OnFull::Admit] {
        let keyed: KeyedLimiter<str> =
            KeyedLimiter::try_new(Config { capacity: 1_000, on_full, limit: LIMIT }).unwrap();
        let names: Vec<String> = (0..20_000).map(|n| format!("user-{n}")).collect();
        let ((), allocations, held) = allocations::of(|| {
            for name in &names {
                let _ = keyed.check(name);
                let _ = keyed.check_n(name, 2);
                let _ = keyed.peek(name);
            }
        });
        assert_eq!((allocations, held), (0, 0));
        let snapshot = keyed.snapshot();
        // 13 shards of 96 keys.
        assert!((1_000..=1_344).contains(&snapshot.keys), "{snapshot:?}");
        assert_eq!(snapshot.keys, snapshot.busy);
    }
}

#[test]
fn rule_3_a_rested_key_makes_room_and_loses_nothing() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    for key in 0..4 {
        assert!(keyed.check(&key).is_ok());
    }
    clock.set(Instant::from_secs(101));
    for key in 4..8 {
        assert!(keyed.check(&key).is_ok());
    }
    let snapshot = keyed.snapshot();
    assert_eq!((snapshot.keys, snapshot.busy, snapshot.forgotten), (4, 4, 4));
    clock.set(Instant::from_secs(102));
    assert_eq!(keyed.snapshot().busy, 0);
    assert!(keyed.check(&0).is_ok() && keyed.check(&0).is_ok() && keyed.check(&0).is_err());
}

#[test]
fn rule_4_a_key_that_has_used_something_up_is_never_forgotten() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    for key in 0..4 {
        assert!(keyed.check(&key).is_ok());
        clock.advance(Duration::from_millis(100));
    }
    assert!(keyed.check(&0).is_ok());
    assert_eq!(keyed.check(&9), Err(Refused::Full { retry_at: Instant::from_secs(101) }));
    clock.set(Instant::from_secs(101));
    let full = keyed.check(&9).unwrap_err();
    // Key 0 has been used again. Key 1 is the first to rest, a second after its check.
    assert_eq!(full, Refused::Full { retry_at: Instant::from_millis(101_100) });
    clock.set(full.retry_at() - Duration::from_nanos(1));
    assert_eq!(keyed.check(&9), Err(full));
    clock.set(full.retry_at());
    assert_eq!(keyed.check(&9), Ok(()));
    assert!(keyed.check(&0).is_ok() && keyed.check(&0).is_err());
    let snapshot = keyed.snapshot();
    assert_eq!((snapshot.full, snapshot.forgotten, snapshot.limited, snapshot.untracked), (3, 1, 1, 0));
}

#[test]
fn rule_4_a_full_table_can_let_newcomers_through() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(Config { on_full: OnFull::Admit, ..SMALL }, &clock);
    for key in 0..4 {
        assert!(keyed.check(&key).is_ok() && keyed.check(&key).is_ok());
    }
    for _ in 0..10 {
        assert!(keyed.check(&9).is_ok());
    }
    // More than the burst is refused even where nothing is tracked.
    assert_eq!(keyed.check_n(&9, 3), Err(Refused::Limited { retry_at: Instant::MAX }));
    assert!((0..4).all(|key| keyed.check(&key).is_err()), "who had a place is limited as before");
    assert_eq!(keyed.snapshot().untracked, 10);
}

#[test]
fn rule_5_peeking_changes_nothing() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    for key in 0..100 {
        assert!(keyed.peek(&key).is_ok());
    }
    assert_eq!(keyed.snapshot().keys, 0);
    assert!(keyed.check(&1).is_ok() && keyed.check(&1).is_ok());
    let before = keyed.snapshot();
    assert!(keyed.peek(&1).is_err());
    assert_eq!(keyed.snapshot(), before);
}

#[test]
fn rule_6_a_clock_that_steps_back_lets_nothing_through_and_forgets_nothing() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    for key in 0..4 {
        assert!(keyed.check(&key).is_ok() && keyed.check(&key).is_ok());
    }
    for back in [Instant::from_secs(50), Instant::ZERO] {
        clock.set(back);
        assert!((0..10).all(|key| keyed.check(&key).is_err()));
    }
    assert_eq!(keyed.snapshot().forgotten, 0);
}

/// Eight threads, a hundred thousand strangers each, who find it empty and crowd it at once.
#[test]
fn a_flood_from_eight_threads_neither_grows_it_nor_lifts_a_limit() {
    let clock = ManualClock::new(Instant::from_secs(100));
    for on_full in [OnFull::Refuse, OnFull::Admit] {
        let keyed = limiter(Config { capacity: 1_000, on_full, ..SMALL }, &clock);
        assert!((0..3).map(|_| keyed.check(&u64::MAX)).filter(Result::is_ok).count() == 2);
        let passed: u64 = std::thread::scope(|scope| {
            let flood = |thread: u64| {
                let keyed = &keyed;
                move || {
                    let (passed, _, held) = allocations::of(|| {
                        let strangers = (0..100_000).map(|n| (thread << 32) + n);
                        strangers.filter(|key| keyed.check(key).is_ok()).count() as u64
                    });
                    assert_eq!(held, 0);
                    passed
                }
            };
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(flood(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let snapshot = keyed.snapshot();
        let places = snapshot.keys as u64 - 1;
        assert!((1_000..=1_344).contains(&snapshot.keys), "{snapshot:?}");
        // Each was counted once: it has a place, or none was free.
        assert_eq!(places + snapshot.full + snapshot.untracked, 800_000);
        assert_eq!(passed, places + snapshot.untracked);
        assert_eq!(snapshot.forgotten, 0, "nobody was as good as new");
        assert!(matches!(keyed.check(&u64::MAX), Err(Refused::Limited { .. })));
    }
}

#[test]
fn a_reset_gives_a_key_its_burst_back() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let keyed = limiter(SMALL, &clock);
    assert!(keyed.check(&1).is_ok() && keyed.check(&1).is_ok() && keyed.check(&1).is_err());
    keyed.reset(&1);
    assert!(keyed.check(&1).is_ok());
    keyed.reset(&2);
    assert_eq!(keyed.snapshot().keys, 1);
}

#[test]
fn threads_together_get_what_one_would_get() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let config = Config { limit: limiter::Config { burst: 500, ..LIMIT }, capacity: 200, on_full: OnFull::Refuse };
    let keyed = limiter(config, &clock);
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..20_000_u64).filter(|n| keyed.check(&(n % 10)).is_ok()).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 10 * 500);
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    let refused = |config| KeyedLimiter::<u64>::try_new(config).map(drop).unwrap_err();
    assert_eq!(refused(Config { capacity: 0, ..SMALL }), ConfigError::NoCapacity);
    // A digit too many in a file must not end the process for want of memory.
    assert_eq!(refused(Config { capacity: usize::MAX, ..SMALL }), ConfigError::MaxCapacity);
    assert_eq!(Config { capacity: MAX_CAPACITY, ..SMALL }.validate(), Ok(()));
    let limit = limiter::Config { rate: 0, ..LIMIT };
    assert_eq!(refused(Config { limit, ..SMALL }), ConfigError::Limit(limiter::ConfigError::NoRate));
}
