//! Tokens, passwords, commands and the audit chain, against published vectors and against attackers.

mod allow;
mod audit;
mod command;
mod deny;
mod email;
mod flood;
mod lockout;
mod manager;
mod path;
mod sanitize;
mod session;
mod token;
mod vectors;
mod wiped;

/// The bytes of hexadecimal digits.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// base64url without padding, written a second time so that the tests do not believe the library.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| (b >> i) & 1)).collect();
    let six = |group: &[u8]| (0..6).fold(0, |n, i| n * 2 + usize::from(*group.get(i).unwrap_or(&0)));
    bits.chunks(6).map(|group| char::from(ALPHABET[six(group)])).collect()
}

/// The bytes of a base64url text.
fn unbase64url(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<usize> =
        text.chars().flat_map(|c| (0..6).rev().map(move |i| (ALPHABET.find(c).unwrap() >> i) & 1)).collect();
    bits.chunks_exact(8).map(|byte| u8::try_from(byte.iter().fold(0, |n, bit| n * 2 + bit)).unwrap()).collect()
}
