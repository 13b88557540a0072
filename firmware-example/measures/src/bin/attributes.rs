//! A function behind `#[circuit_breaker]` and `#[retry]`, without a host.
#![no_std]
#![no_main]

use cortex_m as _; // its critical section
use daur_core::attributes::Sleep;
use daur_core::time::{Clock, Duration, Instant};
use daur_measures::{black_box, image, now};

struct Timer;

static TIMER: Timer = Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        now()
    }
}

impl Sleep for Timer {
    fn sleep(&self, length: Duration) {
        black_box(length);
    }
}

struct Failed;

#[daur_core::retry(delay = "5ms", jitter = "none", time = TIMER)]
#[daur_core::circuit_breaker(open = |_| Failed, time = TIMER)]
fn read(register: u32) -> Result<u32, Failed> {
    if black_box(register) == 0 { Err(Failed) } else { Ok(register) }
}

image!(register: u32 = 0; {
    black_box(read(black_box(*register)).is_ok());
});
