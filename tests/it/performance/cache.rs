//! The cache: its rules, the faults that others' have had, and a naive model beside it.

use std::hash::{BuildHasher, Hasher};

use daur_core::performance::cache::{
    Cache, Coarse, Config, ConfigError, Exact, Fast, Idle, Inserted, Lru, Note, Policy, Sieve, Snapshot,
};
use daur_core::rng::Rng;
use daur_core::time::{Duration, Instant};

mod faults;
mod model;
mod notes;
mod sieve;
mod traces;

const TEN_SECS: Config = Config { ttl: Some(Duration::from_secs(10)), ..Config::DEFAULT };

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// A cache of four with the keys 0 to 3, of which 0 was used longest ago.
fn full() -> Cache<u32, u32, 4> {
    let mut cache = Cache::new(TEN_SECS);
    for key in 0..4 {
        assert_eq!(cache.insert(key, key * 10, at(1)), Inserted::Added);
    }
    cache
}

fn adds_up(s: Snapshot) -> bool {
    s.inserted == u64::from(s.len) + s.evicted + s.expired + s.removed
}

/// Every key collides with every other.
#[derive(Clone, Copy, Default)]
struct Colliding;

impl BuildHasher for Colliding {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Colliding {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0xFFFF_FFFF_FFFF_FFFF
    }
}

mod rules {
    use super::*;

    #[test]
    fn rule_1_an_entry_is_found_until_its_ttl_and_not_at_it() {
        let mut cache = full();
        let last = Instant::from_nanos(at(11).as_nanos() - 1);
        assert_eq!(cache.get(&0, last), Some(&0));
        assert_eq!(cache.get(&0, at(11)), None);
        assert_eq!(cache.insert(1, 11, last), Inserted::Replaced(10));
        assert_eq!(cache.get(&1, at(20)), Some(&11), "a replacement starts anew");
        *cache.get_mut(&1, at(20)).unwrap() = 12;
        assert_eq!(cache.get(&1, at(21)), None, "a change in place does not");
        cache.insert_with_ttl(2, 0, Duration::ZERO, at(5));
        assert_eq!(cache.get(&2, at(5)), None);
        cache.insert_with_ttl(3, 0, Duration::MAX, at(5));
        assert_eq!(cache.get(&3, at(1 << 34)), Some(&0), "in 500 years");
    }

    #[test]
    fn rule_1_without_a_ttl_an_entry_is_found_at_the_last_moment_there_is() {
        let mut cache: Cache<u32, u32, 4> = Cache::new(Config::DEFAULT);
        cache.insert(1, 1, at(0));
        cache.insert_with_ttl(2, 2, Duration::from_secs(1), at(0));
        assert_eq!(cache.get(&1, Instant::MAX), Some(&1));
        assert_eq!(cache.get(&2, Instant::MAX), None);
        assert_eq!((cache.poll_at(), cache.expires_at(&1, Instant::MAX)), (Some(at(1)), Some(Instant::MAX)));
        cache.poll(Instant::MAX);
        assert_eq!((cache.poll_at(), cache.len()), (None, 1));
    }

    #[test]
    fn rule_2_an_expired_entry_is_never_handed_out_and_is_removed_when_looked_up() {
        let mut cache = full();
        assert_eq!((cache.peek(&0, at(11)), cache.contains(&0, at(11)), cache.iter(at(11)).count()), (None, false, 0));
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.get(&0, at(11)), None);
        assert_eq!(cache.get_mut(&1, at(11)), None);
        assert_eq!(cache.remove(&2, at(11)), None);
        assert_eq!(cache.len(), 1);
        assert_eq!(cache.insert(3, 0, at(11)), Inserted::Added, "its former value was over");
        assert_eq!((cache.snapshot().expired, cache.snapshot().misses), (4, 2));
    }

    #[test]
    fn rule_3_sweeping_before_poll_at_changes_nothing_and_at_it_len_is_exact() {
        let mut cache = full();
        cache.insert_with_ttl(0, 0, Duration::from_secs(1), at(1));
        assert_eq!(cache.poll_at(), Some(at(2)));
        assert_eq!(cache.sweep(Instant::from_nanos(at(2).as_nanos() - 1), 4), 0);
        assert_eq!(cache.sweep(at(2), 4), 1);
        assert_eq!((cache.len(), cache.poll_at()), (3, Some(at(11))));
        cache.poll(at(11));
        assert_eq!((cache.len(), cache.poll_at(), cache.snapshot().expired), (0, None, 4));
    }

    #[test]
    fn rule_3_poll_at_lies_ahead_after_a_poll_even_within_a_round() {
        let mut cache = full();
        cache.insert_with_ttl(0, 0, Duration::from_secs(19), at(1));
        assert_eq!(cache.sweep(at(11), 1), 0, "the first place holds the one that lives longer");
        cache.poll(at(20));
        assert_eq!((cache.len(), cache.poll_at()), (0, None));
    }

    #[test]
    fn rule_4_nothing_is_evicted_while_there_is_room_and_then_what_was_used_longest_ago() {
        let mut cache = full();
        assert_eq!(cache.get(&0, at(2)), Some(&0));
        assert_eq!(cache.get_mut(&1, at(2)), Some(&mut 10));
        assert_eq!(cache.peek(&2, at(2)), Some(&20));
        assert!(cache.contains(&2, at(2)));
        assert_eq!(cache.insert(4, 40, at(2)), Inserted::Evicted(2, 20));
        assert_eq!(cache.insert(3, 31, at(2)), Inserted::Replaced(30));
        assert_eq!(cache.iter(at(2)).map(|(key, _)| *key).collect::<Vec<_>>(), [3, 4, 1, 0]);
        assert_eq!(cache.remove(&4, at(2)), Some(40));
        assert_eq!(cache.insert(5, 50, at(2)), Inserted::Added, "there was room again");
        assert_eq!(cache.pop_lru(), Some((0, 0)));
    }

    #[test]
    fn rule_5_what_an_insertion_puts_aside_is_handed_back() {
        let mut cache: Cache<String, String, 4> = Cache::new(Config::DEFAULT);
        let insert = |cache: &mut Cache<_, _, 4>, key: &str, value: &str| cache.insert(key.into(), value.into(), at(0));
        for key in ["a", "b", "c", "d"] {
            insert(&mut cache, key, "1");
        }
        assert_eq!(insert(&mut cache, "a", "2"), Inserted::Replaced("1".into()));
        assert_eq!(insert(&mut cache, "e", "1"), Inserted::Evicted("b".into(), "1".into()));
        assert_eq!(cache.resize_soft(0), 4);
        assert_eq!(insert(&mut cache, "f", "1"), Inserted::Refused("f".into(), "1".into()));
        assert_eq!((cache.snapshot().refused, cache.capacity()), (1, 0));
    }

    #[test]
    fn rule_6_every_entry_that_came_in_is_accounted_for() {
        let mut cache = full();
        cache.insert(4, 0, at(2));
        cache.remove(&4, at(2));
        cache.get(&1, at(11));
        cache.clear();
        let s = cache.snapshot();
        assert_eq!((s.inserted, s.evicted, s.expired, s.removed, s.len), (5, 1, 1, 3, 0));
        assert!(adds_up(s));
    }

    #[test]
    fn rule_8_uses_told_later_leave_the_cache_as_if_they_had_been_told_at_once() {
        fn run<P: Policy, S: BuildHasher + Copy, T: Note>(hasher: S, idle: Option<Duration>) {
            let config = Config { idle, ..TEN_SECS };
            let mut told_at_once: Cache<u64, u64, 16, P, S, T> = Cache::with_hasher(config, hasher);
            let mut told_later: Cache<u64, u64, 16, P, S, T> = Cache::with_hasher(config, hasher);
            let mut uses: Vec<(usize, Instant)> = Vec::new();
            let (mut rng, mut now, mut used) = (Rng::new(3), at(1), 0);
            for step in 0..20_000 {
                let key = rng.at_most(23);
                if rng.at_most(9) > 0 {
                    let found = told_later.locate(hasher.hash_one(key), |own, value| (*own == key).then_some(*value));
                    let found = found.filter(|&(place, _)| !told_later.is_over_at(place, now));
                    assert_eq!(found.map(|(_, value)| value), told_at_once.peek(&key, now).copied());
                    if let Some((place, _)) = found {
                        let count_only = told_later.is_used_at(place);
                        let before: Vec<u64> = told_at_once.iter(now).map(|(key, _)| *key).collect();
                        told_at_once.get(&key, now);
                        uses.push((place, now));
                        used += u32::from(count_only);
                        assert!(!count_only || told_at_once.iter(now).map(|(key, _)| *key).eq(before));
                    }
                } else {
                    uses.drain(..).for_each(|(place, at)| told_later.use_at(place, at));
                    let inserted = told_at_once.insert(key, step, now);
                    assert_eq!(told_later.insert(key, step, now), inserted, "step {step}");
                    assert_eq!(told_later.snapshot(), told_at_once.snapshot(), "step {step}");
                    assert!(told_later.iter(now).eq(told_at_once.iter(now)), "step {step}");
                    now += Duration::from_millis(rng.at_most(900));
                }
            }
            told_later.use_at(99, now);
            assert!(told_later.is_over_at(99, now) && told_at_once.snapshot().evicted > 100);
            let marks = Cache::<u64, u64, 16, P, S, T>::MARKS;
            assert_eq!(used > 0, marks && idle.is_none());
        }
        run::<Lru, _, Exact>(Fast::new(), None);
        run::<Sieve<u8>, _, Exact>(Fast::new(), None);
        run::<Sieve, _, Idle<Coarse>>(Fast::new(), None);
        run::<Lru<u8>, _, Idle>(Fast::new(), Some(Duration::from_secs(3)));
        run::<Sieve<u8>, _, Idle<Coarse>>(Fast::new(), Some(Duration::from_secs(3)));
        run::<Lru, _, Coarse>(Colliding, None);
        run::<Sieve, _, Exact>(Colliding, None);
    }

    #[test]
    fn rule_7_a_clock_that_steps_back_never_brings_an_entry_back() {
        let mut cache = full();
        assert_eq!(cache.get(&0, at(11)), None);
        assert_eq!(cache.get(&0, at(1)), None);
        assert_eq!(cache.get(&1, at(0)), Some(&10));
        assert_eq!(cache.insert(5, 0, at(0)), Inserted::Added);
    }
}

mod shape {
    use super::*;

    #[test]
    fn a_cache_stands_in_a_static_and_an_invalid_config_is_refused_at_run_time() {
        static CACHE: std::sync::Mutex<Cache<u32, u32, 8, Lru<u8>>> = std::sync::Mutex::new(Cache::new(TEN_SECS));
        CACHE.lock().unwrap().insert(1, 1, at(0));
        let zero = Config { ttl: Some(Duration::ZERO), ..Config::DEFAULT };
        assert_eq!(Cache::<u32, u32, 8>::try_new(zero).err(), Some(ConfigError::TtlIsZero));
        assert!(Cache::<u32, u32, 8>::try_new(TEN_SECS).is_ok());
    }

    #[test]
    fn with_a_hasher_of_its_own_a_ttl_of_zero_counts_as_one_nanosecond() {
        let zero = Config { ttl: Some(Duration::ZERO), ..Config::DEFAULT };
        let mut cache: Cache<u32, u32, 8, Lru<u8>, Fast> = Cache::with_hasher(zero, Fast::seeded(7));
        cache.insert(1, 10, at(1));
        assert_eq!(cache.get(&1, at(1)), Some(&10));
        assert_eq!(cache.get(&1, at(1) + Duration::from_nanos(1)), None);
    }

    #[test]
    fn an_entry_takes_the_bytes_that_the_documentation_says() {
        let small = size_of::<Cache<u32, u32, 256, Lru<u8>>>() - size_of::<Cache<u32, u32, 128, Lru<u8>>>();
        assert_eq!(small, 128 * 22);
        let large = size_of::<Cache<u64, u64, 2048>>() - size_of::<Cache<u64, u64, 1024>>();
        assert_eq!(large, 1024 * 34);
    }

    #[test]
    fn both_widths_of_links_hold_all_they_can_number() {
        let mut narrow: Box<Cache<u32, u32, 256, Lru<u8>>> = Box::new(Cache::new(Config::DEFAULT));
        let mut odd: Cache<u32, u32, 7, Lru<u8>> = Cache::new(Config::DEFAULT);
        for key in 0..1_000 {
            narrow.insert(key, key, at(0));
            odd.insert(key, key, at(0));
        }
        assert_eq!((narrow.len(), odd.len()), (256, 7));
        assert!((744..1_000).all(|key| narrow.get(&key, at(0)) == Some(&key)));
        assert!((993..1_000).all(|key| odd.get(&key, at(0)) == Some(&key)));
    }

    #[test]
    fn a_shrunk_cache_grows_back() {
        let mut cache = full();
        assert_eq!(cache.resize_soft(2), 2);
        assert_eq!(cache.insert(9, 90, at(1)), Inserted::Evicted(2, 20));
        assert_eq!((cache.len(), cache.snapshot().capacity), (2, 2));
        assert_eq!(cache.resize_soft(100), 0);
        assert_eq!(cache.insert(10, 0, at(1)), Inserted::Added);
        assert_eq!(cache.insert(11, 0, at(1)), Inserted::Added);
        assert_eq!(cache.insert(12, 0, at(1)), Inserted::Evicted(3, 30));
    }

    #[test]
    fn the_snapshot_tells_the_hit_ratio() {
        let mut cache = full();
        assert_eq!(cache.snapshot().hit_permille(), 0);
        for key in 2..5 {
            cache.get(&key, at(1));
        }
        assert_eq!(cache.snapshot().hit_permille(), 666);
    }

    #[test]
    fn debug_shows_no_key_and_no_value() {
        let mut cache: Cache<&str, &str, 4> = Cache::new(Config::DEFAULT);
        cache.insert("alice", "hunter2", at(0));
        let shown = format!("{cache:?}");
        assert!(shown.contains("inserted: 1") && !shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
