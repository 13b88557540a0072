//! One run of retries, with cancellation and without a budget.
#![no_std]
#![no_main]

use daur_core::reliability::budget::Unlimited;
use daur_core::reliability::retry::{Class, Config, Run};
use daur_core::time::Instant;
use daur_measures::{black_box, image, now};

image!(run: Run = Run::new(Config::DEFAULT, Unlimited, Instant::ZERO); {
    run.begin();
    let _ = black_box(run.on_failure(black_box(Class::Transient), || black_box(7), now()));
    run.cancel();
    run.on_success();
});
