//! The cache beside `lru`, `quick_cache`, `moka`, `cached` and `const-lru`: `u64 -> u64`, each as its
//! documentation sets it up, one thread.
//!
//! Ours has a ttl and statistics in every comparison. Time is passed in, as a host with a coarse clock
//! and a device with a tick counter do it; `cached` and `moka` with a ttl read the clock themselves,
//! and that is part of what they cost.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time;

use cached::{Cached, LruTtlCache};
use daur_core::performance::cache::{Cache, Config, Lru, Policy, Sieve};
use daur_core::time::{Duration, Instant};

use crate::harness::{Options, compare, subject, worst_of};

const CONFIG: Config = Config { ttl: Some(Duration::from_secs(3_600)), ..Config::DEFAULT };
const TTL: time::Duration = time::Duration::from_secs(3_600);
const LOOKUPS: u32 = 16_384;

pub(crate) fn run(options: &Options) {
    // The spec's targets: of the peers with a ttl for our fastest, of `lru` for each policy.
    hit::<1_024, Sieve>(options, "cache: hit of Sieve, 1,024 entries", SIEVE, 0.75);
    hit::<1_024, Lru>(options, "cache: hit of Lru, 1,024 entries", LRU, 1.1);
    hit::<65_536, Sieve>(options, "cache: hit of Sieve, 65,536 entries", SIEVE, 0.75);
    hit::<65_536, Lru>(options, "cache: hit of Lru, 65,536 entries", LRU, 1.1);
    insert::<1_024, Sieve>(options, "cache: insert and evict of Sieve, 1,024 entries", SIEVE, 0.5);
    insert::<1_024, Lru>(options, "cache: insert and evict of Lru, 1,024 entries", LRU, 0.5);
    insert::<65_536, Sieve>(options, "cache: insert and evict of Sieve, 65,536 entries", SIEVE, 0.33);
    insert::<65_536, Lru>(options, "cache: insert and evict of Lru, 65,536 entries", LRU, 0.33);
    worst::<1_024>(options, "cache: worst single insert, 1,024 entries, 65,536 inserts");
    worst::<65_536>(options, "cache: worst single insert, 65,536 entries, 1,048,576 inserts");
}

const LRU: &str = "daur (Lru, ttl, statistics)";
const SIEVE: &str = "daur (Sieve, ttl, statistics)";

fn ours<const N: usize, P: Policy>() -> Box<Cache<u64, u64, N, P>> {
    Box::new(Cache::new(CONFIG))
}

fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

fn cached_cache(n: usize) -> LruTtlCache<u64, u64> {
    LruTtlCache::builder().max_size(n).ttl(TTL).build().expect("a valid cache")
}

fn moka_cache(n: usize) -> moka::sync::Cache<u64, u64> {
    moka::sync::Cache::builder().max_capacity(n as u64).time_to_live(TTL).build()
}

/// Keys below `n` in an order that no prefetcher knows, the same for all.
fn lookups(n: usize) -> Vec<u64> {
    let mut rng = daur_core::rng::Rng::new(1);
    (0..LOOKUPS).map(|_| rng.at_most(n as u64 - 1)).collect()
}

fn hit<const N: usize, P: Policy + 'static>(options: &Options, title: &str, name: &'static str, target: f64) {
    if !options.wants(title) {
        return;
    }
    let keys = lookups(N);
    macro_rules! hits {
        ($name:expr, $cache:expr, |$c:ident, $key:ident| $get:expr) => {{
            let keys = keys.clone();
            #[allow(unused_mut, reason = "some peers take `&self`")]
            let mut $c = $cache;
            subject($name, LOOKUPS, move || {
                let mut sum = 0_u64;
                for &$key in &keys {
                    sum = sum.wrapping_add($get);
                }
                black_box(sum);
            })
        }};
    }
    let mut cache = ours::<N, P>();
    let mut const_lru = Box::new(const_lru::ConstLru::<u64, u64, N>::new());
    let mut lru = lru::LruCache::new(size(N));
    let quick = quick_cache::sync::Cache::new(N * 2); // its size is an estimate; all keys must be hits
    let mut quick_unsync = quick_cache::unsync::Cache::new(N * 2);
    let moka = moka_cache(N * 2);
    let mut cached = cached_cache(N);
    for key in 0..N as u64 {
        cache.insert(key, key, Instant::ZERO);
        lru.put(key, key);
        _ = const_lru.insert(key, key);
        quick.insert(key, key);
        quick_unsync.insert(key, key);
        moka.insert(key, key);
        cached.cache_set(key, key);
    }
    moka.run_pending_tasks();
    let now = black_box(Instant::from_secs(1));
    let subjects = vec![
        hits!(name, cache, |c, key| c.get(&key, now).copied().unwrap_or(0)),
        hits!("lru", lru, |c, key| c.get(&key).copied().unwrap_or(0)).target(target),
        hits!("const-lru", const_lru, |c, key| c.get(&key).copied().unwrap_or(0)).target(0.17),
        hits!("quick_cache::unsync", quick_unsync, |c, key| c.get(&key).copied().unwrap_or(0)),
        hits!("quick_cache::sync", quick, |c, key| c.get(&key).unwrap_or(0)),
        hits!("cached LruTtlCache", cached, |c, key| c.cache_get(&key).copied().unwrap_or(0)).target(0.1),
        hits!("moka::sync (ttl)", moka, |c, key| c.get(&key).unwrap_or(0)).target(0.03),
    ];
    compare(options, title, subjects);
}

fn insert<const N: usize, P: Policy + 'static>(options: &Options, title: &str, name: &'static str, target: f64) {
    if !options.wants(title) {
        return;
    }
    const INSERTS: u32 = 16_384;
    macro_rules! inserts {
        ($name:expr, $cache:expr, |$c:ident, $key:ident| $insert:expr) => {{
            #[allow(unused_mut, reason = "some peers take `&self`")]
            let mut $c = $cache;
            let mut next = 4 * N as u64;
            // Full before the first repeat: what is timed evicts every time.
            for $key in 0..next {
                _ = black_box($insert);
            }
            subject($name, INSERTS, move || {
                for $key in next..next + u64::from(INSERTS) {
                    _ = black_box($insert);
                }
                next += u64::from(INSERTS);
            })
        }};
    }
    let now = black_box(Instant::from_secs(1));
    let subjects = vec![
        inserts!(name, ours::<N, P>(), |c, key| c.insert(key, key, now)),
        inserts!("lru", lru::LruCache::new(size(N)), |c, key| c.push(key, key)).target(target),
        inserts!("quick_cache::unsync", quick_cache::unsync::Cache::new(N), |c, key| c.insert(key, key)),
        inserts!("quick_cache::sync", quick_cache::sync::Cache::new(N), |c, key| c.insert(key, key)),
        inserts!("cached LruTtlCache", cached_cache(N), |c, key| c.cache_set(key, key)),
        inserts!("moka::sync (ttl)", moka_cache(N), |c, key| c.insert(key, key)),
    ];
    compare(options, title, subjects);
}

fn worst<const N: usize>(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    // So many that `lru` has to rehash in both.
    let (inserts, rarer) = if N > 10_000 { (16 * N as u64, 6) } else { (64 * N as u64, 1) };
    macro_rules! worst {
        ($name:literal, $cache:expr, |$c:ident, $key:ident| $insert:expr) => {
            worst_of($name, rarer, move |timed| {
                #[allow(unused_mut, reason = "some peers take `&self`")]
                let mut $c = $cache;
                for n in 0..inserts {
                    // No order in the keys, and none twice.
                    let $key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    timed(&mut || _ = black_box($insert));
                }
            })
        };
    }
    let now = black_box(Instant::from_secs(1));
    macro_rules! ours {
        ($name:expr, $policy:ty) => {{
            let mut cache = ours::<N, $policy>();
            worst_of($name, rarer, move |timed| {
                cache.clear();
                for n in 0..inserts {
                    let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    timed(&mut || _ = black_box(cache.insert(key, key, now)));
                    // Used at once, so that Sieve's hand finds nothing but used entries and walks as far as it may.
                    black_box(cache.get(&key, now));
                }
            })
        }};
    }
    // `lru` gets a hasher without a random seed, so that every repeat rehashes at the same insertion; with its
    // own it does at some other each time, and the fastest of each would hide it.
    let siphash = BuildHasherDefault::<DefaultHasher>::default();
    let subjects = vec![
        ours!("daur (Lru, ttl, statistics; each used once)", Lru),
        worst!("lru", lru::LruCache::with_hasher(size(N), siphash.clone()), |c, key| c.push(key, key)).target(0.02),
        worst!("quick_cache::unsync", quick_cache::unsync::Cache::new(N), |c, key| c.insert(key, key)),
        worst!("cached LruTtlCache", cached_cache(N), |c, key| c.cache_set(key, key)),
        worst!("moka::sync (ttl)", moka_cache(N), |c, key| c.insert(key, key)),
        ours!("daur (Sieve, ttl, statistics; each used once)", Sieve),
    ];
    compare(options, title, subjects);
}
