//! What an attribute cannot stand on.

use daur_std::{circuit_breaker, measure_time, retry};

#[retry]
fn nothing() {}

#[retry]
async fn a_number() -> u32 {
    5
}

#[circuit_breaker]
fn an_option() -> Option<u32> {
    None
}

#[measure_time]
const fn constant() -> u32 {
    5
}

#[measure_time("")]
fn nameless() {}

#[measure_time(op = "read")]
fn not_so() {}

fn main() {}
