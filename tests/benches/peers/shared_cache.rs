//! The shared cache beside other caches that threads share: `u64 -> u64`, 1,024 entries.
//!
//! Each is as its documentation sets it up, with its own default hasher.

use std::hash::RandomState;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use daur_core::performance::cache::{Lru, Sieve};
use daur_core::time::Duration;
use daur_std::clock::{CoarseClock, StdClock};
use daur_std::performance::cache::{Config, Seeded, SharedCache};

use crate::harness::{Options, Subject, compare, subject};

const ENTRIES: u64 = 1_024;
/// Operations of a repeat, by each thread.
const OPERATIONS: u32 = 65_536;
const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn config(ttl: Option<Duration>) -> Config {
    Config { max_size: 1_024, ttl, ..Config::DEFAULT }
}

fn ours(ttl: Option<Duration>) -> SharedCache<u64, u64> {
    let cache = SharedCache::try_new(config(ttl)).expect("a valid config");
    (0..ENTRIES).for_each(|key| _ = cache.insert(key, key));
    cache
}

fn sieve() -> SharedCache<u64, u64, Sieve<u8>> {
    let cache = SharedCache::with_hasher(config(None), CoarseClock, Seeded::default()).expect("a valid config");
    (0..ENTRIES).for_each(|key| _ = cache.insert(key, key));
    cache
}

fn by_std_clock() -> SharedCache<u64, u64, Lru<u8>, Seeded, StdClock> {
    let cache = SharedCache::with_clock(config(MINUTE), StdClock).expect("a valid config");
    (0..ENTRIES).for_each(|key| _ = cache.insert(key, key));
    cache
}

fn by_std_hash() -> SharedCache<u64, u64, Lru<u8>, RandomState> {
    let cache = SharedCache::with_hasher(config(None), CoarseClock, RandomState::new()).expect("a valid config");
    (0..ENTRIES).for_each(|key| _ = cache.insert(key, key));
    cache
}

fn quick() -> quick_cache::sync::Cache<u64, u64> {
    let cache = quick_cache::sync::Cache::new(1_024);
    (0..ENTRIES).for_each(|key| cache.insert(key, key));
    cache
}

fn moka(ttl: bool) -> moka::sync::Cache<u64, u64> {
    let builder = moka::sync::Cache::builder().max_capacity(1_024);
    let builder = if ttl { builder.time_to_live(std::time::Duration::from_secs(60)) } else { builder };
    let cache = builder.build();
    (0..ENTRIES).for_each(|key| cache.insert(key, key));
    cache
}

/// The next number of a thread: in no order that a processor could learn.
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 32
}

/// A subject whose `threads` do `OPERATIONS` each, all on one cache.
fn threads<T: Send + Sync + 'static>(
    name: &'static str,
    threads: u64,
    cache: T,
    operation: impl Fn(&T, u64) + Send + Sync + Copy + 'static,
) -> Subject {
    let cache = Arc::new(cache);
    let mut round = 0;
    let work = move |cache: &T, seed: u64| {
        let mut state = seed;
        for _ in 0..OPERATIONS {
            operation(cache, step(&mut state));
        }
    };
    subject(name, OPERATIONS * u32::try_from(threads).unwrap_or(1), move || {
        round += threads;
        thread::scope(|scope| {
            for other in 1..threads {
                let cache = &cache;
                scope.spawn(move || work(cache, round + other));
            }
            work(&cache, round);
        });
    })
}

pub(crate) fn run(options: &Options) {
    hits(options, "shared cache: hit, one thread", 1, None);
    hits(options, "shared cache: hit, two threads", 2, Some(1.0));
    computed(options, "shared cache: hit of get_or_insert_with, two threads");
    inserts(options, "shared cache: insert and evict, two threads");
}

fn aim(subject: Subject, target: Option<f64>) -> Subject {
    match target {
        Some(target) => subject.target(target),
        None => subject,
    }
}

fn hits(options: &Options, title: &str, n: u64, target: Option<f64>) {
    if !options.wants(title) {
        return;
    }
    macro_rules! get {
        ($name:literal, $cache:expr) => {
            threads($name, n, $cache, |cache, key| _ = black_box(cache.get(&(key % ENTRIES))))
        };
    }
    let subjects = vec![
        get!("daur", ours(None)),
        get!("daur (sieve)", sieve()),
        get!("daur (ttl)", ours(MINUTE)),
        get!("daur (ttl by the exact clock)", by_std_clock()),
        get!("daur (hashed by std's SipHash)", by_std_hash()),
        aim(get!("quick_cache::sync", quick()), target),
        get!("moka::sync", moka(false)),
        get!("moka::sync (ttl)", moka(true)),
    ];
    compare(options, title, subjects);
}

fn computed(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    macro_rules! get {
        ($name:literal, $cache:expr, |$c:ident, $key:ident| $get:expr) => {
            threads($name, 2, $cache, |$c, key| {
                let $key = key % ENTRIES;
                _ = black_box($get);
            })
        };
    }
    let subjects = vec![
        get!("daur", ours(None), |c, key| c.get_or_insert_with(&key, || key)),
        get!("daur (ttl)", ours(MINUTE), |c, key| c.get_or_insert_with(&key, || key)),
        get!("quick_cache::sync", quick(), |c, key| c.get_or_insert_with(&key, || Ok::<_, ()>(key))),
        get!("moka::sync", moka(false), |c, key| c.get_with(key, || key)),
    ];
    compare(options, title, subjects);
}

fn inserts(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let subjects = vec![
        threads("daur", 2, ours(None), |cache, key| _ = black_box(cache.insert(key, key))),
        threads("daur (sieve)", 2, sieve(), |cache, key| _ = black_box(cache.insert(key, key))),
        threads("daur (ttl)", 2, ours(MINUTE), |cache, key| _ = black_box(cache.insert(key, key))),
        threads("quick_cache::sync", 2, quick(), |cache, key| cache.insert(key, key)),
        threads("moka::sync", 2, moka(false), |cache, key| cache.insert(key, key)),
    ];
    compare(options, title, subjects);
}
