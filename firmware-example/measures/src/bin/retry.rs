//! The retry alone, with jitter.
#![no_std]
#![no_main]

use daur_core::reliability::retry::{Class, Config, Retry};
use daur_core::time::Instant;
use daur_measures::{black_box, image, now};

image!(retry: Retry = Retry::new(Config::DEFAULT, 7, Instant::ZERO); {
    let _ = black_box(retry.on_failure(black_box(Class::Transient), now()));
});
