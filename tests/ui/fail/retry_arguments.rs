//! Every wrong argument of `#[retry]` is told at its own place, all of them together.

use daur_std::core::reliability::retry::Config;
use daur_std::retry;

const RETRY: Config = Config::DEFAULT;

#[retry(max_attempt = 3)]
fn misspelt() -> Result<(), ()> {
    Ok(())
}

#[retry(max_attempts = 0)]
fn no_attempts() -> Result<(), ()> {
    Ok(())
}

#[retry(max_attempts = "always")]
fn not_a_number() -> Result<(), ()> {
    Ok(())
}

#[retry(delay = "5 weeks", max_delay = 5)]
fn not_durations() -> Result<(), ()> {
    Ok(())
}

#[retry(delay = "10s", max_delay = "5s")]
fn shorter_than_the_first_wait() -> Result<(), ()> {
    Ok(())
}

#[retry(delay = "90s")]
fn longer_than_the_longest_by_default() -> Result<(), ()> {
    Ok(())
}

#[retry(strategy = "quadratic", jitter = "some")]
fn unknown_names() -> Result<(), ()> {
    Ok(())
}

#[retry(strategy = "linear", factor = 3, jitter = "101%")]
fn out_of_place() -> Result<(), ()> {
    Ok(())
}

#[retry(delay = "1s", delay = "2s")]
fn twice() -> Result<(), ()> {
    Ok(())
}

#[retry(max_attempts)]
fn no_value() -> Result<(), ()> {
    Ok(())
}

#[retry("3")]
fn a_text_alone() -> Result<(), ()> {
    Ok(())
}

#[retry(time = 5)]
fn not_a_path() -> Result<(), ()> {
    Ok(())
}

#[retry(max_elapsed = "0s")]
fn no_time() -> Result<(), ()> {
    Ok(())
}

#[retry(config = RETRY, delay = "1s", jitter = "none")]
fn two_configs() -> Result<(), ()> {
    Ok(())
}

#[retry(config = 5, budget = "10%")]
fn neither_a_config_nor_a_budget() -> Result<(), ()> {
    Ok(())
}

fn main() {
    // The functions are there all the same: nobody who calls them complains.
    let _ = (misspelt(), no_attempts());
}
