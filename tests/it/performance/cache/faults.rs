//! Faults that other caches have had.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use daur_core::performance::cache::{Cache, Config, Fast, Idle, Inserted, Lru, Policy, Sieve, Weighted};
use daur_core::rng::Rng;

use super::{Colliding, TEN_SECS, adds_up, at, full};

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

#[test]
fn a_sweep_of_a_cache_of_colliding_keys_removes_the_right_ones() {
    fn run<P: Policy>() {
        let mut cache: Cache<u32, u32, 32, P, Colliding> = Cache::with_hasher(Config::DEFAULT, Colliding);
        for key in 0..32 {
            cache.insert_with_ttl(key, key, daur_core::time::Duration::from_secs(u64::from(key % 3) + 1), at(0));
        }
        cache.poll(at(1));
        assert!((0..32).all(|key| cache.contains(&key, at(0)) == (key % 3 != 0)));
        for key in 100..140 {
            cache.insert(key, key, at(1));
            assert!(cache.len() <= 32);
        }
        assert!((108..140).all(|key| cache.get(&key, at(1)) == Some(&key)), "the newest 32, none used");
    }
    run::<Lru<u8>>();
    run::<Sieve<u8>>();
}

/// Keys and values whose every piece of code panics when its turn comes.
mod panics {
    use super::*;

    /// How many calls into the program's code are left until one panics, and how many of them there are alive.
    #[derive(Default)]
    struct Fuse {
        left: Cell<Option<u32>>,
        alive: Cell<usize>,
    }

    impl Fuse {
        fn burn(&self) {
            match self.left.get() {
                // Not while a panic is under way: two at once abort.
                Some(0) if !std::thread::panicking() => {
                    self.left.set(None);
                    resume_unwind(Box::new("the program's own"));
                }
                Some(left) => self.left.set(Some(left.saturating_sub(1))),
                None => {}
            }
        }
    }

    struct Key<'a>(u32, &'a Fuse);

    impl<'a> Key<'a> {
        fn new(n: u32, fuse: &'a Fuse) -> Self {
            fuse.alive.set(fuse.alive.get() + 1);
            Key(n, fuse)
        }
    }

    impl Hash for Key<'_> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.1.burn();
            (self.0 % 5).hash(state); // many collide, so that many are compared
        }
    }

    impl PartialEq for Key<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.1.burn();
            self.0 == other.0
        }
    }

    impl Eq for Key<'_> {}

    impl Drop for Key<'_> {
        fn drop(&mut self) {
            self.1.alive.set(self.1.alive.get() - 1);
            self.1.burn();
        }
    }

    /// As a value it panics in `drop` only.
    type Value<'a> = Key<'a>;

    type Frail<'a, P> = Cache<Key<'a>, Value<'a>, 16, P, Fast, Weighted<Idle>>;

    fn step<'a, P: Policy>(cache: &mut Frail<'a, P>, rng: &mut Rng, fuse: &'a Fuse) {
        let n = rng.at_most(30) as u32;
        let key = || Key::new(n, fuse);
        let value = || Value::new(n, fuse);
        let now = at(rng.at_most(30));
        match rng.at_most(13) {
            0..4 => _ = cache.insert(key(), value(), now),
            4 => _ = cache.insert_weighted(key(), value(), rng.at_most(9) as u32, now, |_, _| fuse.burn()),
            5 | 6 => _ = cache.get(&key(), now),
            7 => _ = cache.remove(&key(), now),
            8 => {
                _ = cache.get_or_insert_with(key(), now, |_| {
                    fuse.burn();
                    value()
                });
            }
            9 => cache.retain(now, |key, _| {
                fuse.burn();
                !key.0.is_multiple_of(3)
            }),
            10 => _ = cache.sweep(now, 7),
            11 => _ = cache.pop(),
            12 if n < 8 => {
                cache.resize_soft(n as usize + 1);
                cache.limit_weight(u64::from(n) + 5);
            }
            12 => {
                cache.limit_weight(1_000);
                cache.resize_soft(16);
            }
            _ if n < 3 => cache.clear(),
            _ => {}
        }
    }

    fn run<P: Policy>(seed: u64) {
        let fuse = Fuse::default();
        let mut rng = Rng::new(seed);
        let config = Config { idle: Some(daur_core::time::Duration::from_secs(5)), ..TEN_SECS };
        let mut cache: Frail<'_, P> = Cache::with_hasher(config, Fast::new());
        let mut panicked = 0;
        for _ in 0..20_000 {
            fuse.left.set(Some(rng.at_most(40) as u32));
            panicked += u32::from(catch_unwind(AssertUnwindSafe(|| step(&mut cache, &mut rng, &fuse))).is_err());
            fuse.left.set(None);
            // Whole again: what is alive is in the cache, the bound holds once something comes in, all adds up.
            assert_eq!(fuse.alive.get(), 2 * cache.len());
            assert!(adds_up(cache.snapshot()), "{cache:?}");
            cache.insert(Key::new(1_000, &fuse), Value::new(0, &fuse), at(0));
            assert!(cache.len() <= cache.capacity() && cache.weight() <= cache.max_weight(), "{cache:?}");
            assert!(cache.remove(&Key::new(1_000, &fuse), at(0)).is_some());
            let found = (0..31).filter(|n| cache.contains(&Key::new(*n, &fuse), at(0))).count();
            assert_eq!(found, cache.iter(at(0)).count(), "each can be found");
            assert_eq!(found, cache.len());
        }
        assert!(panicked > 1_000, "{panicked}");
        drop(cache);
        assert_eq!(fuse.alive.get(), 0);
    }

    #[test]
    fn a_key_or_value_that_panics_leaves_a_whole_lru() {
        run::<Lru<u8>>(1);
        run::<Lru<u16>>(2);
    }

    #[test]
    fn a_key_or_value_that_panics_leaves_a_whole_sieve() {
        run::<Sieve<u8>>(3);
        run::<Sieve<u16>>(4);
    }

    #[test]
    fn a_value_that_panics_when_a_cache_is_cleared_leaves_the_others() {
        let fuse = Fuse::default();
        let mut cache: Frail<'_, Lru<u8>> = Cache::with_hasher(Config::DEFAULT, Fast::new());
        for n in 0..16 {
            cache.insert(Key::new(n, &fuse), Value::new(n, &fuse), at(0));
        }
        fuse.left.set(Some(4));
        assert!(catch_unwind(AssertUnwindSafe(|| cache.clear())).is_err());
        fuse.left.set(None);
        let left: Vec<u32> = cache.iter(at(0)).map(|(key, _)| key.0).collect();
        assert!(!left.is_empty() && left.len() < 16);
        assert!(left.iter().all(|n| cache.get(&Key::new(*n, &fuse), at(0)).is_some()));
        cache.clear();
        assert_eq!((cache.len(), fuse.alive.get()), (0, 0));
    }
}
