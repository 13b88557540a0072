//! The retry budget alone.
#![no_std]
#![no_main]

use daur_core::reliability::budget::{Budget, Config};
use daur_measures::{black_box, image, now};

image!(budget: Budget = Budget::new(Config::DEFAULT); {
    black_box(now());
    budget.on_first_try();
    if black_box(budget.try_retry()).is_ok() {
        budget.on_success(black_box(2));
    }
});
