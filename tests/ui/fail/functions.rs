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

#[retry]
struct Data;

#[circuit_breaker]
impl Data {}

trait Read {
    #[retry]
    fn read(&self) -> Result<u8, ()>;
}

#[retry]
fn a_future_of_no_result() -> impl Future<Output = u8> {
    std::future::ready(5)
}

#[measure_time(profiler = 5)]
fn no_place() {}

#[measure_time("one", "two")]
fn two_names() {}

fn main() {}
