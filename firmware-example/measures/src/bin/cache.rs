//! The cache alone: 32 entries of two words.
#![no_std]
#![no_main]

use daur_core::performance::cache::{Cache, Config, Lru};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(cache: Cache<u32, u32, 32, Lru<u8>> = Cache::new(Config { ttl: Some(Duration::from_secs(60)), ..Config::DEFAULT }); {
    black_box(cache.insert(black_box(1), black_box(2), now()));
    black_box(cache.get(&black_box(1), now()));
    black_box(cache.remove(&black_box(1), now()));
    cache.poll(now());
    black_box(cache.snapshot());
});
