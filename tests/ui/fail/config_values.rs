//! A named config that is wrong, or of which the device would need to know more.

use daur_core::attributes::Sleep;
use daur_core::reliability::{breaker, retry};
use daur_core::time::{Clock, Duration, Instant};

struct Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

impl Sleep for Timer {
    fn sleep(&self, _: Duration) {}
}

static TIMER: Timer = Timer;

const DRAWS: retry::Config = retry::Config::DEFAULT;

#[daur_core::retry(config = DRAWS, time = TIMER)]
fn no_seed() -> Result<(), ()> {
    Ok(())
}

const ZERO: retry::Config = retry::Config { max_attempts: retry::Attempts::Limited(0), ..retry::Config::DEFAULT };

#[daur_std::retry(config = ZERO)]
fn no_attempts() -> Result<(), ()> {
    Ok(())
}

const NEVER: breaker::Config = breaker::Config { failures: 0, ..breaker::Config::DEFAULT };

#[daur_std::circuit_breaker(config = NEVER)]
fn no_failures() -> Result<(), breaker::Open> {
    Ok(())
}

fn main() {}
