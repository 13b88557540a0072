//! Without a host, `#[memoize]` says what it needs.

use daur_core::memoize;

#[memoize(ttl = "60s")]
fn no_clock(key: u8) -> u8 {
    key
}

#[memoize(maxsize = 3)]
fn too_few(key: u8) -> u8 {
    key
}

#[memoize(maxsize = 65537)]
fn too_many(key: u8) -> u8 {
    key
}

#[memoize]
fn a_text(key: &str, bytes: &[u8]) -> usize {
    key.len() + bytes.len()
}

#[memoize]
fn a_number(_key: &f32) -> u8 {
    5
}

fn main() {}
