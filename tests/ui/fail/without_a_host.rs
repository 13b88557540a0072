//! Without a host, an attribute says which static it needs.

use daur_core::time::{Clock, Instant};
use daur_core::{circuit_breaker, measure_time, retry};

struct Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

static TIMER: Timer = Timer;

#[retry(jitter = "none")]
fn no_time() -> Result<(), ()> {
    Ok(())
}

#[retry]
async fn no_time_and_no_seed() -> Result<(), ()> {
    Ok(())
}

#[retry(time = TIMER)]
fn no_seed() -> Result<(), ()> {
    Ok(())
}

#[circuit_breaker]
fn no_clock() -> Result<(), daur_core::reliability::breaker::Open> {
    Ok(())
}

#[measure_time]
fn no_profiler() {}

fn main() {}
