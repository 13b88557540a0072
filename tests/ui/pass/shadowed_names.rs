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

pub(crate) fn main() {
    ::core::assert!(::core::matches!(read(), ::core::result::Result::Ok(5)));
}
