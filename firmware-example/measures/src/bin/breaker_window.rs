//! The circuit breaker over a window of 100 calls.
#![no_std]
#![no_main]

use daur_core::reliability::breaker::{Breaker, Config, CountWindow, Window};
use daur_measures::{black_box, image, now};

image!(breaker: Breaker<CountWindow<4>> = Breaker::windowed(Config::DEFAULT, Window::DEFAULT); {
    if let Ok(permit) = breaker.try_acquire(now()) {
        if black_box(true) {
            black_box(breaker.on_success(permit, now()));
        } else {
            black_box(breaker.on_failure(permit, now()));
        }
    }
    black_box(breaker.state());
});
