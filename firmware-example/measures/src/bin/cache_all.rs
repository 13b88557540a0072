//! Every verb of a cache that notes all there is: 32 entries by name, with weights, idle times and a keyed hasher.
#![no_std]
#![no_main]

use daur_core::performance::cache::{Cache, Coarse, Config, Idle, Keyed, Sieve, Weighted};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

const CONFIG: Config = Config { ttl: Some(Duration::from_secs(60)), idle: Some(Duration::from_secs(20)) };

image!(cache: Cache<[u8; 8], u32, 32, Sieve<u8>, Keyed, Weighted<Idle<Coarse>>> =
    Cache::with_hasher(CONFIG, Keyed::new([7; 16])).with_max_weight(1_000);
{
    let key = black_box([1; 8]);
    black_box(cache.insert(key, black_box(2), now()));
    black_box(cache.insert_with_ttl(key, black_box(2), black_box(Duration::from_secs(5)), now()));
    black_box(cache.insert_weighted(key, black_box(2), black_box(3), now(), |key, value| _ = black_box((key, value))));
    black_box(cache.get(&key, now()));
    black_box(cache.get_mut(&key, now()));
    black_box(cache.get_or_insert_with(key, now(), |_| black_box(4)));
    black_box(cache.peek(&key, now()));
    black_box(cache.expires_at(&key, now()));
    black_box(cache.remove(&key, now()));
    black_box(cache.pop());
    cache.retain(now(), |_, value| black_box(*value) > 3);
    black_box(cache.iter(now()).count());
    black_box(cache.resize_soft(black_box(7)));
    black_box(cache.limit_weight(black_box(70)));
    black_box(cache.sweep(now(), black_box(5)));
    cache.poll(now());
    cache.clear();
    black_box((cache.snapshot(), cache.poll_at()));
});
