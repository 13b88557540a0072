//! The error tracker alone: four kinds, four messages.
#![no_std]
#![no_main]

use daur_core::monitoring::errors::{Config, Errors};
use daur_measures::{black_box, image, now};

image!(errors: Errors<4, 4> = Errors::new(Config::DEFAULT); {
    errors.record(black_box("i2c"), black_box("no acknowledge"), now());
    black_box(errors.top().next());
    black_box(errors.snapshot(now()).total);
});
