//! The cache with the policy Sieve: 32 entries of two words.
#![no_std]
#![no_main]

use daur_core::performance::cache::{Cache, Config, Sieve};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

const CONFIG: Config = Config { ttl: Some(Duration::from_secs(60)), ..Config::DEFAULT };

image!(cache: Cache<u32, u32, 32, Sieve<u8>> = Cache::new(CONFIG); {
    black_box(cache.insert(black_box(1), black_box(2), now()));
    black_box(cache.get(&black_box(1), now()));
    black_box(cache.remove(&black_box(1), now()));
    cache.poll(now());
    black_box(cache.snapshot());
});
