//! A fallback of other types than the function's.

use daur_std::retry;

fn of_the_first_alone(_: (), first: &u8) -> Result<u8, ()> {
    Ok(*first)
}

#[retry(fallback = of_the_first_alone)]
fn of_two(first: u8, second: u8) -> Result<u8, ()> {
    Ok(first + second)
}

#[retry(fallback = |_| 5)]
fn no_result() -> Result<u8, ()> {
    Ok(1)
}

fn main() {}
