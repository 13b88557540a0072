//! The expansion names everything by its full path, whatever stands around it.

#![expect(dead_code, reason = "they only stand in the way")]

struct Ok;
struct Err;
struct Some;
struct None;
struct Option;
struct From;
struct Clone;
struct Sync;
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

#[::daur_std::memoize(ttl = "60s", time = CLOCK)]
fn kept(text: &str, number: u8) -> Result<usize> {
    ::core::result::Result::Ok(text.len() + number as usize)
}

#[::daur_core::memoize(maxsize = 4, ttl = "60s", time = CLOCK)]
fn kept_without_a_host(number: u8) -> ::core::option::Option<u8> {
    ::core::option::Option::Some(number)
}

static CLOCK: ::daur_std::clock::StdClock = ::daur_std::clock::StdClock;

#[::daur_std::parallelize(num_workers = 2)]
fn split(numbers: &[u8], by: u8) -> ::std::vec::Vec<u8> {
    numbers.iter().map(|number| number * by).collect()
}

pub(crate) fn main() {
    ::core::assert!(::core::matches!(kept("abc", 4), ::core::result::Result::Ok(7)));
    ::core::assert_eq!(kept_without_a_host(5), ::core::option::Option::Some(5));
    ::core::assert_eq!(split(&[1, 2, 3], 2), [2, 4, 6]);
    ::core::mem::drop(later(5));
    ::core::assert!(::core::matches!(read(), ::core::result::Result::Ok(5)));
}
