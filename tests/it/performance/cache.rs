//! The cache: its rules, the faults that others' have had, and a naive model beside it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::rc::Rc;

use daur_core::performance::cache::{Cache, Config, ConfigError, Fast, Inserted, Lru, Snapshot};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

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

/// Faults that other caches have had.
mod faults {
    use super::*;

    #[test]
    fn an_expired_entry_does_not_stay_and_count_for_ever() {
        let mut cache = full();
        let mut steps = 0;
        while cache.poll_at().is_some() {
            cache.sweep(at(11), 1);
            steps += 1;
        }
        assert_eq!((cache.len(), steps), (0, 4), "one place a call, one round");
    }

    #[test]
    fn memory_stays_within_the_bound_under_load() {
        let drops = Rc::new(Cell::new(0_u64));
        struct Counted(Rc<Cell<u64>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let mut cache: Cache<u64, Counted, 64, Lru<u8>> = Cache::new(TEN_SECS);
        for key in 0..10_000 {
            cache.insert(key, Counted(drops.clone()), at(key / 100));
            assert_eq!(Rc::strong_count(&drops), 1 + cache.len());
        }
        assert_eq!((cache.len(), drops.get()), (64, 10_000 - 64));
        cache.clear();
        assert_eq!(drops.get(), 10_000);
    }

    #[test]
    fn nothing_is_evicted_while_the_cache_is_not_full() {
        // Other tables evict when one bucket is full, or when tombstones have filled them.
        let mut cache: Cache<u32, u32, 64, Lru<u8>, Colliding> = Cache::with_hasher(Config::DEFAULT, Colliding);
        for round in 0..100 {
            for key in 0..64 {
                assert_eq!(cache.insert(round * 64 + key, 0, at(0)), Inserted::Added);
            }
            for key in 0..64 {
                assert_eq!(cache.remove(&(round * 64 + key), at(0)), Some(0));
            }
        }
        assert_eq!(cache.snapshot().evicted, 0);
    }

    #[test]
    fn no_insertion_rehashes_the_keys_that_are_there() {
        // Every hash of a key is counted: one for the new key, one for the key that it evicts, however
        // long the cache has run and however its keys collide.
        #[derive(PartialEq, Eq)]
        struct Spy<'a>(u32, &'a Cell<u32>);
        impl Hash for Spy<'_> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.1.set(self.1.get() + 1);
                self.0.hash(state);
            }
        }
        let hashes = Cell::new(0);
        let mut spread: Box<Cache<Spy<'_>, u32, 1024>> = Box::new(Cache::new(TEN_SECS));
        let mut piled: Cache<Spy<'_>, u32, 64, Lru, Colliding> = Cache::with_hasher(TEN_SECS, Colliding);
        let mut worst = 0;
        for key in 0..20_000_u32 {
            let key = key.wrapping_mul(2_654_435_761) % 4_096;
            let now = at(u64::from(key) / 64);
            for step in 0..4 {
                hashes.set(0);
                match step {
                    0 => _ = spread.insert(Spy(key, &hashes), 0, now),
                    1 => _ = spread.remove(&Spy(key / 3, &hashes), now),
                    2 => _ = piled.insert(Spy(key, &hashes), 0, now),
                    _ => _ = piled.get(&Spy(key / 3, &hashes), now),
                }
                worst = worst.max(hashes.get());
            }
        }
        assert_eq!(worst, 2);
    }

    #[test]
    fn a_key_whose_hash_changes_inside_does_no_worse_than_be_lost() {
        // Interior mutability in a key is a fault of the program; the cache stays whole all the same.
        #[derive(Debug, PartialEq, Eq)]
        struct Fickle(u32, Rc<Cell<u32>>);
        impl Hash for Fickle {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (self.0 ^ self.1.get()).hash(state);
            }
        }
        let salt = Rc::new(Cell::new(0));
        let mut cache: Cache<Fickle, u32, 16, Lru<u8>> = Cache::new(Config::DEFAULT);
        for key in 0..1_000 {
            salt.set(key / 7);
            cache.insert(Fickle(key, salt.clone()), key, at(0));
            assert!(cache.len() <= 16);
        }
        while cache.pop_lru().is_some() {}
        assert_eq!(cache.insert(Fickle(1, salt.clone()), 1, at(0)), Inserted::Added);
        assert_eq!(cache.get(&Fickle(1, salt), at(0)), Some(&1));
    }
}

/// What a cache is, written down without a thought for speed: the last used first.
struct Model {
    entries: VecDeque<(u16, u32, u64)>,
    capacity: usize,
    snapshot: Snapshot,
}

impl Model {
    fn place(&self, key: u16) -> Option<usize> {
        self.entries.iter().position(|entry| entry.0 == key)
    }

    fn insert(&mut self, key: u16, value: u32, expiry: u64, now: u64) -> Inserted<u16, u32> {
        let old = self.place(key).and_then(|place| self.entries.remove(place));
        if self.capacity == 0 {
            self.snapshot.refused += 1;
            return Inserted::Refused(key, value);
        }
        let outcome = match old {
            Some((_, old, expiry)) if now < expiry => {
                self.snapshot.updated += 1;
                Inserted::Replaced(old)
            }
            Some(_) => {
                self.snapshot.expired += 1;
                self.snapshot.inserted += 1;
                Inserted::Added
            }
            None => {
                self.snapshot.inserted += 1;
                match self.pop_if_full() {
                    Some((key, value)) => Inserted::Evicted(key, value),
                    None => Inserted::Added,
                }
            }
        };
        self.entries.push_front((key, value, expiry));
        outcome
    }

    fn pop_if_full(&mut self) -> Option<(u16, u32)> {
        (self.entries.len() == self.capacity).then(|| self.pop()).flatten()
    }

    fn pop(&mut self) -> Option<(u16, u32)> {
        let (key, value, _) = self.entries.pop_back()?;
        self.snapshot.evicted += 1;
        Some((key, value))
    }

    fn get(&mut self, key: u16, now: u64) -> Option<u32> {
        let entry = self.place(key).and_then(|place| self.entries.remove(place));
        match entry {
            Some(entry) if now < entry.2 => {
                self.entries.push_front(entry);
                self.snapshot.hits += 1;
                return Some(entry.1);
            }
            Some(_) => self.snapshot.expired += 1,
            None => {}
        }
        self.snapshot.misses += 1;
        None
    }

    fn remove(&mut self, key: u16, now: u64) -> Option<u32> {
        let (_, value, expiry) = self.place(key).and_then(|place| self.entries.remove(place))?;
        if now < expiry {
            self.snapshot.removed += 1;
            return Some(value);
        }
        self.snapshot.expired += 1;
        None
    }

    fn poll(&mut self, now: u64) {
        let before = self.entries.len();
        self.entries.retain(|entry| now < entry.2);
        self.snapshot.expired += (before - self.entries.len()) as u64;
    }

    fn snapshot(&self) -> Snapshot {
        let (len, capacity) = (self.entries.len() as u32, self.capacity as u32);
        Snapshot { len, capacity, weight: len.into(), max_weight: capacity.into(), ..self.snapshot }
    }
}

#[derive(Clone, Debug)]
enum Verb {
    Insert(u16, u32),
    InsertFor(u16, u32, u64),
    Get(u16),
    Remove(u16),
    Pop,
    Poll,
    Resize(usize),
    Clear,
    Pass(u64),
}

fn verb() -> impl Strategy<Value = Verb> {
    let key = 0..40_u16;
    prop_oneof![
        8 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Verb::Insert(key, value)),
        4 => (key.clone(), any::<u32>(), 0..30_u64).prop_map(|(key, value, ttl)| Verb::InsertFor(key, value, ttl)),
        8 => key.clone().prop_map(Verb::Get),
        3 => key.prop_map(Verb::Remove),
        1 => Just(Verb::Pop),
        1 => Just(Verb::Poll),
        1 => (0..20_usize).prop_map(Verb::Resize),
        1 => (0..50_u8).prop_map(|n| if n == 0 { Verb::Clear } else { Verb::Pop }),
        6 => (0..8_u64).prop_map(Verb::Pass),
    ]
}

fn agree<const N: usize, S: BuildHasher>(hasher: S, verbs: &[Verb]) -> Result<(), TestCaseError> {
    const TTL: u64 = 20;
    let config = Config { ttl: Some(Duration::from_nanos(TTL)), ..Config::DEFAULT };
    let mut cache: Cache<u16, u32, N, Lru<u8>, S> = Cache::with_hasher(config, hasher);
    let mut model = Model { entries: VecDeque::new(), capacity: N, snapshot: Snapshot::default() };
    let mut clock = 0;
    for verb in verbs {
        let now = Instant::from_nanos(clock);
        match *verb {
            Verb::Insert(key, value) => {
                prop_assert_eq!(cache.insert(key, value, now), model.insert(key, value, clock + TTL, clock));
            }
            Verb::InsertFor(key, value, ttl) => prop_assert_eq!(
                cache.insert_with_ttl(key, value, Duration::from_nanos(ttl), now),
                model.insert(key, value, clock + ttl, clock)
            ),
            Verb::Get(key) => prop_assert_eq!(cache.get(&key, now).copied(), model.get(key, clock)),
            Verb::Remove(key) => prop_assert_eq!(cache.remove(&key, now), model.remove(key, clock)),
            Verb::Pop => prop_assert_eq!(cache.pop_lru(), model.pop()),
            Verb::Poll => {
                cache.poll(now);
                model.poll(clock);
                prop_assert!(cache.poll_at().is_none_or(|soonest| now < soonest));
            }
            Verb::Resize(capacity) => {
                cache.resize_soft(capacity);
                model.capacity = capacity.min(N);
                while model.entries.len() > model.capacity {
                    model.pop();
                }
            }
            Verb::Clear => {
                cache.clear();
                model.snapshot.removed += model.entries.drain(..).count() as u64;
            }
            Verb::Pass(nanos) => clock += nanos,
        }
        prop_assert_eq!(cache.snapshot(), model.snapshot());
        prop_assert!(adds_up(cache.snapshot()));
        let soonest = model.entries.iter().map(|entry| Instant::from_nanos(entry.2)).min();
        prop_assert!(soonest.is_none_or(|soonest| cache.poll_at().is_some_and(|poll_at| poll_at <= soonest)));
        let now = Instant::from_nanos(clock);
        let live = model.entries.iter().filter(|entry| clock < entry.2).map(|entry| (entry.0, entry.1));
        prop_assert!(cache.iter(now).map(|(key, value)| (*key, *value)).eq(live), "the same entries in the same order");
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_cache_does_what_the_model_does(verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<16, _>(daur_core::performance::cache::Fast::new(), &verbs)?;
        agree::<5, _>(RandomState::new(), &verbs)?;
    }

    #[test]
    fn the_cache_does_what_the_model_does_with_keys_that_all_collide(verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<16, _>(Colliding, &verbs)?;
        agree::<31, _>(Colliding, &verbs)?;
    }
}
