//! Every wrong argument of `#[circuit_breaker]` is told at its own place.

use daur_std::circuit_breaker;
use daur_std::core::reliability::breaker::{Config, Open};
use daur_std::reliability::breaker::SharedBreaker;

const CONFIG: Config = Config::DEFAULT;

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

#[circuit_breaker(recovery_timeout = "0s")]
fn no_wait() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(recovery_timeout = "5s", recovery_timeout_max = "1s")]
fn a_wait_that_shrinks() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(config = CONFIG, probes = 3)]
fn a_config_and_a_part_of_another() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(window = 0)]
fn no_window() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(window = "soon")]
fn no_time() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(window = 10, failure_pct = 101, min_calls = 11, buckets = 5)]
fn a_window_out_of_range() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(window = "10s", buckets = 2000, slow_call = "0s", slow_pct = 0)]
fn a_time_out_of_range() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(failure_threshold = 5, window = 10)]
fn a_row_and_a_rate() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(failure_pct = 50, slow_call = "1s")]
fn a_rate_of_nothing() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(window = 10, slow_pct = 50)]
fn slower_than_what() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(breaker = UPSTREAM, window = 10)]
fn a_window_for_a_breaker_that_has_a_mode() -> Result<(), Error> {
    Ok(())
}

#[circuit_breaker(breaker = "UPSTREAM")]
fn a_text_for_a_breaker() -> Result<(), Error> {
    Ok(())
}

struct Client {
    config: Config,
}

impl Client {
    #[circuit_breaker(config = self.config)]
    fn a_static_made_of_a_field(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
