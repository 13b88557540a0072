//! The expansion names everything by its full path, whatever stands around it.

#![expect(dead_code, reason = "they only stand in the way")]

struct Ok;
struct Err;
struct Some;
struct None;
struct Option;
struct From;
mod std {}
mod core {}

type Result<T> = ::core::result::Result<T, ::daur_std::core::reliability::breaker::Open>;

#[::daur_std::retry]
#[::daur_std::circuit_breaker]
#[::daur_std::measure_time]
fn read() -> Result<u8> {
    ::core::result::Result::Ok(5)
}

const CONFIG: ::daur_std::core::reliability::retry::Config = ::daur_std::core::reliability::retry::Config::DEFAULT;

#[::daur_std::circuit_breaker(window = "10s", slow_call = "1s", recovery_timeout_max = "2m", fallback = |open| {
    ::core::result::Result::Err(open)
})]
#[::daur_std::retry(config = CONFIG, fallback = answer)]
async fn later(argument: u8) -> Result<u8> {
    ::core::result::Result::Ok(argument)
}

async fn answer(open: ::daur_std::core::reliability::breaker::Open, _: &u8) -> Result<u8> {
    ::core::result::Result::Err(open)
}

pub(crate) fn main() {
    ::core::mem::drop(later(5));
    ::core::assert!(::core::matches!(read(), ::core::result::Result::Ok(5)));
}
