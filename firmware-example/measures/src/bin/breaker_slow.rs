//! The circuit breaker over a window of 100 calls that are timed.
#![no_std]
#![no_main]

use daur_core::reliability::breaker::{Breaker, Config, CountWindow, Slow, SlowCalls, Window};
use daur_measures::{black_box, image, now};

image!(breaker: Breaker<Slow<CountWindow<4>>> = Breaker::with_mode(Config::DEFAULT, Slow::<CountWindow<4>>::of_calls(Window::DEFAULT, SlowCalls::DEFAULT)); {
    if let Ok(permit) = breaker.try_acquire(now()) {
        if black_box(true) {
            black_box(breaker.on_success(permit, now()));
        } else {
            black_box(breaker.on_failure(permit, now()));
        }
    }
    black_box(breaker.state());
});
