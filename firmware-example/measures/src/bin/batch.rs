//! The batcher alone: up to 16 readings of 8 bytes, by count, bytes and time.
#![no_std]
#![no_main]

use daur_core::performance::batch::{Batcher, Config};
use daur_measures::{black_box, image, now};

image!(batcher: Batcher<u64, 16> = Batcher::new(Config { max_bytes: Some(100), ..Config::DEFAULT }); {
    black_box(batcher.push_sized(black_box(1), black_box(8), now()).is_ok());
    if let Some(batch) = batcher.poll(now()) {
        batch.iter().for_each(|item| _ = black_box(item));
    }
    black_box(batcher.poll_at());
});
