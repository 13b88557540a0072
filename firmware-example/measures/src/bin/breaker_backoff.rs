//! The circuit breaker whose wait grows by a strategy, with jitter.
#![no_std]
#![no_main]

use daur_core::reliability::breaker::{Backoff, Breaker, Config, Consecutive, Growth};
use daur_measures::{black_box, image, now};

image!(breaker: Breaker<Backoff<Consecutive>> = Breaker::with_mode(Config::DEFAULT, Backoff::new(Consecutive::new(5), Growth::DEFAULT, 7)); {
    if let Ok(permit) = breaker.try_acquire(now()) {
        if black_box(true) {
            black_box(breaker.on_success(permit, now()));
        } else {
            black_box(breaker.on_failure(permit, now()));
        }
    }
    black_box(breaker.state());
});
