//! Every wrong argument of `#[memoize]` is told at its own place, all of them together.

use daur_std::memoize;
use daur_std::performance::memoize::{Config, Memo};

static NAMED: Memo<u32, u32> = Memo::new("named", Config::DEFAULT);

#[memoize(max_size = 3)]
fn misspelt(key: u32) -> u32 {
    key
}

#[memoize(maxsize = 0, ttl = "0s", policy = "fifo")]
fn wrong_values(key: u32) -> u32 {
    key
}

#[memoize(maxsize = "many", ttl = 60, cache_errors = 1, cache_none = "no")]
fn wrong_kinds(key: u32) -> u32 {
    key
}

#[memoize(cache = NAMED, maxsize = 5, ttl = "60s", memo = other, time = CLOCK)]
fn two_caches(key: u32) -> u32 {
    key
}

#[memoize(cache = 5, memo = "name")]
fn not_names(key: u32) -> u32 {
    key
}

#[memoize(idle = "0ms", refresh_ahead = "5s")]
fn ahead_of_nothing(key: u32) -> u32 {
    key
}

#[memoize(cache_none = false)]
fn no_option(key: u32) -> u32 {
    key
}

#[memoize(key = |key| *key)]
fn a_key_of_no_type(key: u32) -> u32 {
    key
}

#[memoize(key = |key| -> &u32 { key })]
fn a_borrowed_key(key: u32) -> u32 {
    key
}

#[memoize(key = |a, b, c| -> u32 { *a })]
fn a_key_of_too_many(a: u32, b: u32) -> u32 {
    a + b
}

#[memoize(key = async |a| -> u32 { *a })]
fn a_later_key(a: u32) -> u32 {
    a
}

#[memoize(key = by_hand)]
fn no_closure(a: u32) -> u32 {
    a
}

#[memoize(key = |(a, b)| -> u32 { a + b })]
fn a_pattern_with_a_key((a, b): (u32, u32)) -> u32 {
    a + b
}

fn main() {
    // The functions are there all the same: nobody who calls them complains.
    let _ = (misspelt(1), a_key_of_no_type(1));
}
