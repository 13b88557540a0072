//! How often caches of the same number of entries hit on seeded traces, and what an entry takes.
//!
//! Nothing here is timed. The optimum is that of a cache which knows the future and may refuse newcomers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroUsize;

use cached::{Cached, LruTtlCache};
use daur_core::performance::cache::{Cache, Coarse, Config, Exact, Fast, Lru, Note, Policy, Sieve};
use daur_core::time::Instant;
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
    let mut cache: Box<Cache<u64, u64, 16_384, P>> = Box::new(Cache::new(Config::DEFAULT));
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
        let columns = ["daur Sieve", "daur Lru", "lru", "quick_cache", "moka", "optimum"];
        columns.iter().for_each(|column| print!(" {column:>12}"));
        println!();
        for size in [256, 1_024, 4_096, 16_384] {
            let sieve = ours::<Sieve>(&trace, size);
            let moka = moka(&trace, size);
            let all =
                [sieve, ours::<Lru>(&trace, size), lru(&trace, size), quick(&trace, size), moka, optimum(&trace, size)];
            print!("    {size:>8}");
            for hits in all {
                #[expect(clippy::cast_precision_loss, reason = "a million")]
                let percent = 100.0 * hits as f64 / REQUESTS as f64;
                print!(" {percent:>12.2}");
            }
            // To a hundredth of a percent, as it is printed.
            println!(
                "{}",
                if has_target { format!("   Sieve >= moka: {}", verdict(sieve + 50 >= moka)) } else { String::new() }
            );
        }
    }
}

/// Counts what this thread asks for, in the bytes that it asks for.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    // Memory may be freed when the thread's own variables are gone already.
    let _ = LIVE.try_with(|live| live.set(live.get() + sign * bytes.cast_signed()));
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
fn per_entry<T>(n: usize, fill: impl FnOnce() -> T) -> f64 {
    let before = LIVE.get();
    let filled = fill();
    let after = LIVE.get();
    drop(filled);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a small cache")]
    return (after - before) as f64 / n as f64;
}

fn filled<const N: usize, P: Policy, T: Note>() -> Box<Cache<u64, u64, N, P, Fast, T>> {
    let mut cache = Box::new(Cache::with_hasher(Config::DEFAULT, Fast::new()));
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
    let ours = per_entry(N, filled::<N, Lru, Coarse>);
    println!("\n{title}, as asked of the allocator");
    println!("  {:<44} {ours:>12.1} B", "daur (Lru or Sieve, ttl of u32 ticks)");
    println!("  {:<44} {:>12.1} B", "daur (Lru or Sieve, ttl to the nanosecond)", per_entry(N, filled::<N, Sieve, Exact>));
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
