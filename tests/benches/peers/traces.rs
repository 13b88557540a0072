//! How often caches of the same number of entries hit on seeded traces, and what an entry takes.
//!
//! Nothing here is timed. The optimum is that of a cache which knows the future and may refuse newcomers. A
//! sixth of the bytes of an entry in `moka` are more than those of an entry and a quarter here, so "Sieve + 1/4" is
//! Sieve at a sixth of moka's memory: what its target is about.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroUsize;

use cached::{Cached, LruTtlCache};
use daur_core::performance::cache::{Cache, Config, Lru, Policy, Sieve};
use daur_core::time::{Duration, Instant};
use daur_tests::traces::{looping, optimum, scan_mixed, zipf};

use crate::harness::Options;

const REQUESTS: usize = 1_000_000;
const KEYS: u32 = 100_000;

pub(crate) fn run(options: &Options) {
    ratios(options);
    bytes::<1_024>(options, "cache: bytes per entry, 1,024 entries of u64 -> u64");
    bytes::<65_536>(options, "cache: bytes per entry, 65,536 entries of u64 -> u64");
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Hits of a cache that is asked, and told what it did not have.
fn hits_of(trace: &[u64], mut hit: impl FnMut(u64) -> bool) -> usize {
    trace.iter().filter(|key| hit(**key)).count()
}

fn ours<P: Policy>(trace: &[u64], size: usize) -> usize {
    let mut cache: Box<Cache<u64, u64, 20_480, P>> = Box::new(Cache::new(Config::DEFAULT));
    cache.resize_soft(size);
    hits_of(trace, |key| {
        let hit = cache.get(&key, Instant::ZERO).is_some();
        if !hit {
            cache.insert(key, key, Instant::ZERO);
        }
        hit
    })
}

fn lru(trace: &[u64], size: usize) -> usize {
    let mut cache = lru::LruCache::new(NonZeroUsize::new(size).expect("not zero"));
    hits_of(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.put(key, key);
        }
        hit
    })
}

fn quick(trace: &[u64], size: usize) -> usize {
    let mut cache = quick_cache::unsync::Cache::new(size);
    hits_of(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, key);
        }
        hit
    })
}

/// Its housekeeping runs after every insertion, so that it never holds more than its size.
fn moka(trace: &[u64], size: usize) -> usize {
    let cache = moka::sync::Cache::new(size as u64);
    hits_of(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, key);
            cache.run_pending_tasks();
        }
        hit
    })
}

fn ratios(options: &Options) {
    const TITLE: &str = "cache: hit ratio";
    if !options.wants(TITLE) {
        return;
    }
    let traces = [
        ("zipf(0.99) of 100,000 keys", zipf(KEYS, 0.99, REQUESTS, 1), true),
        ("scan-mixed: 10,000 of the zipf, 5,000 once", scan_mixed(KEYS, 0.99, REQUESTS, (10_000, 5_000), 2), true),
        ("looping over 3,000 keys", looping(3_000, REQUESTS), false),
    ];
    println!("\n{TITLE} in percent, {REQUESTS} requests");
    for (name, trace, has_target) in traces {
        println!("  {name}");
        print!("    {:>8}", "entries");
        let columns = ["Sieve + 1/4", "daur Sieve", "daur Lru", "lru", "quick_cache", "moka", "optimum"];
        columns.iter().for_each(|column| print!(" {column:>12}"));
        println!();
        for size in [256, 1_024, 4_096, 16_384] {
            let (sieve, more) = (ours::<Sieve>(&trace, size), ours::<Sieve>(&trace, size + size / 4));
            let (lru, ours_lru, quick) = (lru(&trace, size), ours::<Lru>(&trace, size), quick(&trace, size));
            let (moka, optimum) = (moka(&trace, size), optimum(&trace, size));
            print!("    {size:>8}");
            for hits in [more, sieve, ours_lru, lru, quick, moka, optimum] {
                #[expect(clippy::cast_precision_loss, reason = "a million")]
                let percent = 100.0 * hits as f64 / REQUESTS as f64;
                print!(" {percent:>12.2}");
            }
            if has_target {
                print!("   target >= moka {}", verdict(more >= moka));
            }
            println!();
        }
    }
}

/// Counts what this thread takes: the bytes that it asks for, rounded up as the allocator does.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// glibc's way, which others do not differ much from: a word of its own before each piece, and pieces of
/// 16 bytes, two at least.
fn count(bytes: usize, sign: isize) {
    let taken = (bytes + size_of::<usize>()).next_multiple_of(16).max(32);
    // Memory may be freed when the thread's own variables are gone already.
    let _ = LIVE.try_with(|live| live.set(live.get() + sign * taken.cast_signed()));
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `fill` leaves allocated, divided among `n` entries.
pub(crate) fn per_entry<T>(n: usize, fill: impl FnOnce() -> T) -> f64 {
    let before = LIVE.get();
    let filled = fill();
    let after = LIVE.get();
    drop(filled);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a small cache")]
    let (taken, n) = ((after - before) as f64, n as f64);
    taken / n
}

fn filled<const N: usize, P: Policy>() -> Box<Cache<u64, u64, N, P>> {
    let mut cache = Box::new(Cache::new(Config { ttl: Some(Duration::from_secs(3_600)), ..Config::DEFAULT }));
    for key in 0..N as u64 {
        cache.insert(key, key, Instant::ZERO);
    }
    assert_eq!(cache.len(), N);
    cache
}

fn bytes<const N: usize>(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let ttl = std::time::Duration::from_secs(3_600);
    let keys = 0..N as u64;
    let ours = per_entry(N, filled::<N, Lru>);
    println!("\n{title}, as the allocator takes them");
    println!("  {:<44} {ours:>12.1} B", "daur (Lru, ttl, statistics)");
    println!("  {:<44} {:>12.1} B", "daur (Sieve, ttl, statistics)", per_entry(N, filled::<N, Sieve>));
    let peers = [
        (
            "lru (no ttl)",
            Some(0.5),
            per_entry(N, || {
                let mut cache = lru::LruCache::new(NonZeroUsize::new(N).expect("not zero"));
                keys.clone().for_each(|key| _ = cache.put(key, key));
                cache
            }),
        ),
        ("const-lru (no ttl)", None, per_entry(N, || Box::new(const_lru::ConstLru::<u64, u64, N>::new()))),
        (
            "quick_cache::unsync (no ttl)",
            None,
            per_entry(N, || {
                let mut cache = quick_cache::unsync::Cache::new(N);
                keys.clone().for_each(|key| cache.insert(key, key));
                cache
            }),
        ),
        (
            "cached LruTtlCache",
            None,
            per_entry(N, || {
                let mut cache: LruTtlCache<u64, u64> =
                    LruTtlCache::builder().max_size(N).ttl(ttl).build().expect("a valid cache");
                keys.clone().for_each(|key| _ = cache.cache_set(key, key));
                cache
            }),
        ),
        (
            "moka::sync (ttl)",
            Some(1.0 / 6.0),
            per_entry(N, || {
                let cache = moka::sync::Cache::builder().max_capacity(N as u64).time_to_live(ttl).build();
                keys.clone().for_each(|key| {
                    cache.insert(key, key);
                    cache.run_pending_tasks();
                });
                cache
            }),
        ),
    ];
    for (name, target, bytes) in peers {
        print!("  {name:<44} {bytes:>12.1} B   ratio {:>7.3}", ours / bytes);
        if let Some(target) = target {
            print!("   target {target:.2} {}", verdict(ours / bytes <= target));
        }
        println!();
    }
}
