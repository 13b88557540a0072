//! A memoized function alone: 32 answers of one word under one word, for a minute each.
#![no_std]
#![no_main]

use cortex_m as _; // its critical section
use daur_core::shared::Shared;
use daur_core::time::{Clock, Instant};
use daur_measures::{black_box, image, now};

struct Timer;

static TIMER: Timer = Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        now()
    }
}

#[daur_core::memoize(maxsize = 32, ttl = "60s", time = TIMER)]
fn calibration(channel: u32) -> Result<u32, ()> {
    if channel == 0 { Err(()) } else { Ok(black_box(channel)) }
}

image!(channel: u32 = 1; {
    *channel = black_box(calibration(black_box(*channel))).unwrap_or(0);
    black_box(calibration_memo().with(|cache, _| cache.snapshot()));
});
