//! What the types of a memoized function lack is told where they stand.

use daur_std::memoize;

struct Plain;

#[memoize]
fn an_answer(_key: u32) -> Plain {
    Plain
}

#[memoize]
fn a_value(_key: u32) -> Result<Plain, String> {
    Ok(Plain)
}

#[memoize(cache_errors = true)]
fn an_error(key: u32) -> Result<u32, Plain> {
    Ok(key)
}

type NoResult = Vec<u8>;

#[memoize]
fn of_a_name(_key: u32) -> NoResult {
    Vec::new()
}

fn main() {}
