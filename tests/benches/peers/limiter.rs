//! A check of a keyed limiter beside `governor`'s: a key among 1,024 that passes, one that is refused, a key
//! that nobody has seen before.
//!
//! Each reads its own clock, as it does where it is used. `governor`'s table grows with each new key and is
//! told to shrink by its owner; ours forgets by itself.

use std::hint::black_box;
use std::num::NonZeroU32;

use daur_core::reliability::limiter;
use daur_core::time::Duration;
use daur_std::reliability::keyed::OnFull;
use daur_std::reliability::keyed::limiter::{Config, KeyedLimiter};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::harness::{Options, Subject, compare, subject};

const CHECKS: u32 = 16_384;
const KEYS: u64 = 1_024;
/// As many as can be asked for: nothing is refused.
const MANY: u32 = 1_000_000_000;

pub(crate) fn run(options: &Options) {
    compare(options, "limiter: keyed check that passes, 1,024 keys", pair(MANY, MANY, "governor", |n| n % KEYS));
    compare(options, "limiter: keyed check that is refused, 1,024 keys", pair(1, 1, "governor", |n| n % KEYS));
    compare(options, "limiter: keyed check of names that passes, 1,024 names", names());
    // So many keys that each check meets a full shard with rested keys.
    compare(options, "limiter: keyed check of a key never seen", pair(MANY, 1, "governor (grows)", |n| n));
}

fn ours<K: std::hash::Hash + ?Sized>(rate: u32, burst: u32) -> KeyedLimiter<K> {
    let limit = limiter::Config { rate, period: Duration::from_secs(1), burst };
    KeyedLimiter::try_new(Config { limit, capacity: 2_048, on_full: OnFull::Refuse }).expect("a valid config")
}

fn theirs<K: std::hash::Hash + Eq + Clone>(rate: u32, burst: u32) -> DefaultKeyedRateLimiter<K> {
    let some = |n| NonZeroU32::new(n).expect("not zero");
    RateLimiter::keyed(Quota::per_second(some(rate)).allow_burst(some(burst)))
}

fn pair(rate: u32, burst: u32, theirs_name: &'static str, key: fn(u64) -> u64) -> Vec<Subject> {
    let (ours, theirs) = (ours::<u64>(rate, burst), theirs::<u64>(rate, burst));
    let (mut n, mut m) = (0, 0);
    vec![
        subject("daur KeyedLimiter", CHECKS, move || {
            for _ in 0..CHECKS {
                _ = black_box(ours.check(&black_box(key(n))));
                n += 1;
            }
        }),
        subject(theirs_name, CHECKS, move || {
            for _ in 0..CHECKS {
                _ = black_box(theirs.check_key(&black_box(key(m))));
                m += 1;
            }
        })
        .target(1.0),
    ]
}

fn names() -> Vec<Subject> {
    let (ours, theirs) = (ours::<str>(MANY, MANY), theirs::<String>(MANY, MANY));
    let names: Vec<String> = (0..KEYS).map(|n| format!("user-{n}@example.org")).collect();
    let same = names.clone();
    vec![
        subject("daur KeyedLimiter", CHECKS, move || {
            for name in names.iter().cycle().take(CHECKS as usize) {
                _ = black_box(ours.check(black_box(name)));
            }
        }),
        subject("governor", CHECKS, move || {
            for name in same.iter().cycle().take(CHECKS as usize) {
                _ = black_box(theirs.check_key(black_box(name)));
            }
        })
        .target(1.0),
    ]
}
