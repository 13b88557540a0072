//! The circuit breaker over a window of ten buckets of time.
#![no_std]
#![no_main]

use daur_core::reliability::breaker::{Breaker, Config, Span, TimeWindow};
use daur_measures::{black_box, image, now};

image!(breaker: Breaker<TimeWindow<10>> = Breaker::time_windowed(Config::DEFAULT, Span::DEFAULT); {
    if let Ok(permit) = breaker.try_acquire(now()) {
        if black_box(true) {
            black_box(breaker.on_success(permit, now()));
        } else {
            black_box(breaker.on_failure(permit, now()));
        }
    }
    black_box(breaker.state());
});
