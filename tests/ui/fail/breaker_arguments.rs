//! Every wrong argument of `#[circuit_breaker]` is told at its own place.

use daur_std::circuit_breaker;
use daur_std::core::reliability::breaker::{Config, Open};
use daur_std::reliability::breaker::SharedBreaker;

static UPSTREAM: SharedBreaker = SharedBreaker::new(Config::DEFAULT);

struct Error;

impl From<Open> for Error {
    fn from(_: Open) -> Self {
        Self
    }
}

#[circuit_breaker(threshold = 5)]
fn misspelt() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(failure_threshold = 0, recovery_timeout = "soon")]
fn not_allowed() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(probes = 2, success_threshold = 3)]
fn more_successes_than_probes() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(probe_lease = "0s")]
fn no_lease() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(breaker = UPSTREAM, failure_threshold = 3)]
fn two_configs() -> Result<(), Error> {
    Ok(())
}

fn main() {}
