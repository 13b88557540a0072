//! The rate limiter alone, with weights: what its 64-bit multiplication adds.
#![no_std]
#![no_main]

use daur_core::reliability::limiter::{Config, Limiter};
use daur_measures::{black_box, image, now};

image!(limiter: Limiter = Limiter::new(Config::DEFAULT); {
    black_box(limiter.check_n(black_box(3), now()).is_ok());
    black_box(limiter.snapshot());
});
