//! What cannot be a fallback.

use daur_std::retry;

#[retry(fallback = 5)]
fn a_value() -> Result<u8, ()> {
    Ok(1)
}

#[retry(fallback = || Ok(5))]
fn a_closure_of_nothing() -> Result<u8, ()> {
    Ok(1)
}

#[retry(fallback = |error, first| Err(error))]
fn a_closure_of_some_arguments(first: u8, second: u8) -> Result<u8, ()> {
    Ok(first + second)
}

#[retry(fallback = async |error| Err(error))]
fn an_async_closure_for_a_sync_function() -> Result<u8, ()> {
    Ok(1)
}

#[retry(fallback = |_, pair| Ok(pair.0))]
fn an_argument_without_a_name((a, b): (u8, u8)) -> Result<u8, ()> {
    Ok(a + b)
}

fn main() {}
