//! The smallest cache with a ttl: 64 entries of two words, moments in ticks of a u32, the two verbs that all use.
#![no_std]
#![no_main]

use daur_core::performance::cache::{Cache, Coarse, Config, Fast, Lru};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(cache: Cache<u32, u32, 64, Lru<u8>, Fast, Coarse> = Cache::new(Config::DEFAULT); {
    black_box(cache.insert_with_ttl(black_box(1), black_box(2), black_box(Duration::from_secs(60)), now()));
    black_box(cache.get(&black_box(1), now()));
});
