//! The text that is stored.

use super::{Error, HASH_LEN, within_bounds};
use crate::text::Text;

const PREFIX: &str = "$pbkdf2-sha256$i=";
const MIN_SALT: usize = 8;
const MAX_SALT: usize = 48;

/// Holds the parts of `$pbkdf2-sha256$i=600000,l=32$salt$hash` (the PHC string format).
///
/// One spelling for each value: standard base64 without padding, leftover bits zero, no leading zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Phc {
    /// Iterations, within bounds.
    pub iterations: u32,
    /// The hash.
    pub hash: [u8; HASH_LEN],
    salt: [u8; MAX_SALT],
    salt_len: usize,
}

impl Phc {
    /// The most bytes of a PHC string of this module.
    pub const LEN: usize = 160;

    /// Parts without a hash yet.
    pub(super) fn new(iterations: u32, salt: &[u8]) -> Result<Self, Error> {
        within_bounds(iterations)?;
        if !(MIN_SALT..=MAX_SALT).contains(&salt.len()) {
            return Err(Error::Salt);
        }
        let mut phc = Self { iterations, hash: [0; HASH_LEN], salt: [0; MAX_SALT], salt_len: salt.len() };
        phc.salt.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
        Ok(phc)
    }

    /// Reads a stored text. What it gives is within bounds.
    ///
    /// # Errors
    /// [`Error`]: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = text.as_bytes().strip_prefix(PREFIX.as_bytes()).ok_or(Error::Malformed)?;
        let comma = bytes.iter().position(|b| !b.is_ascii_digit()).ok_or(Error::Malformed)?;
        let (digits, rest) = bytes.split_at_checked(comma).ok_or(Error::Malformed)?;
        let rest = rest.strip_prefix(b",l=32$").ok_or(Error::Malformed)?;
        if digits.is_empty() || digits.first() == Some(&b'0') {
            return Err(Error::Malformed);
        }
        // More digits than a u32 has are out of bounds, not malformed.
        let iterations = digits.iter().fold(0_u32, |n, d| n.saturating_mul(10).saturating_add(u32::from(d - b'0')));
        let dollar = rest.iter().position(|b| *b == b'$').ok_or(Error::Malformed)?;
        let (salt, hash) = rest.split_at_checked(dollar).ok_or(Error::Malformed)?;
        let mut buffer = [0; MAX_SALT];
        let len = decode(salt, &mut buffer)?;
        let mut phc = Self::new(iterations, buffer.get(..len).unwrap_or_default())?;
        let hash = hash.strip_prefix(b"$").ok_or(Error::Malformed)?;
        if decode(hash, &mut phc.hash)? != HASH_LEN {
            return Err(Error::Malformed);
        }
        Ok(phc)
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        self.salt.get(..self.salt_len).unwrap_or_default()
    }

    /// The text to store.
    #[must_use]
    pub fn text(&self) -> Text<{ Self::LEN }> {
        let mut text = Text::EMPTY;
        text.push(PREFIX);
        decimal(self.iterations, &mut text);
        text.push(",l=32$");
        encode(self.salt(), &mut text);
        text.push("$");
        encode(&self.hash, &mut text);
        text
    }
}

/// Not `write!`, which would bring all of `core::fmt` into a device's image.
fn decimal(value: u32, text: &mut Text<{ Phc::LEN }>) {
    let mut tens = 1_000_000_000;
    while tens > 0 {
        if tens == 1 || value >= tens {
            let digit = (value / tens % 10) as usize;
            text.push("0123456789".get(digit..digit + 1).unwrap_or_default());
        }
        tens /= 10;
    }
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8], text: &mut Text<{ Phc::LEN }>) {
    let mut push = |six: u32| {
        let six = six as usize & 63;
        text.push(ALPHABET.get(six..six + 1).unwrap_or_default());
    };
    let (mut group, mut bits) = (0_u32, 0);
    for byte in bytes {
        group = (group << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 6 {
            bits -= 6;
            push(group >> bits);
        }
    }
    if bits > 0 {
        push(group << (6 - bits));
    }
}

/// Decodes into the front of `out`; how many bytes.
fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let (mut group, mut bits, mut len) = (0_u32, 0_u32, 0_usize);
    for character in text {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(Error::Malformed),
        };
        group = (group << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *out.get_mut(len).ok_or(Error::Malformed)? = ((group >> bits) & 255) as u8;
            len += 1;
        }
    }
    if bits >= 6 || group & ((1 << bits) - 1) != 0 { Err(Error::Malformed) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::password::MAX_ITERATIONS;
    use std::format;

    const SALT: &str = "c2FsdHNhbHQ";
    const HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_text_reads_back_as_written() {
        for length in 8..=48 {
            let salt = &[0xA5; 48][..length];
            let mut phc = Phc::new(MAX_ITERATIONS, salt).unwrap();
            phc.hash = [0xFE; 32];
            let text = phc.text();
            let read = Phc::parse(text.as_str()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(read == phc && read.salt() == salt);
        }
    }

    #[test]
    fn every_value_has_one_spelling() {
        let good = format!("$pbkdf2-sha256$i=1000,l=32${SALT}${HASH}");
        assert!(Phc::parse(&good).is_ok());
        for bad in [
            format!("$pbkdf2-sha512$i=1000,l=32${SALT}${HASH}"),
            format!("pbkdf2-sha256$i=1000,l=32${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=01000,l=32${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=+1000,l=32${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=,l=32${SALT}${HASH}"),
            format!("$pbkdf2-sha256$l=32,i=1000${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=1000,l=33${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=1000${SALT}${HASH}"),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}=${HASH}"),
            format!("$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHR${HASH}"),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${HASH}="),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${HASH}A"),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${}", &HASH[1..]),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${}B", &HASH[1..]),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}"),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${HASH}$"),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace('A', "-"),
            std::string::String::new(),
        ] {
            assert!(matches!(Phc::parse(&bad), Err(Error::Malformed)), "{bad}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_told_apart() {
        let error = |iterations: &str, salt: &str| {
            Phc::parse(&format!("$pbkdf2-sha256$i={iterations},l=32${salt}${HASH}")).err()
        };
        for iterations in ["1", "999", "10000001", "4294967295", "99999999999999999999"] {
            assert_eq!(error(iterations, SALT), Some(Error::Iterations), "{iterations}");
        }
        assert_eq!(error("1000", "c2FsdA"), Some(Error::Salt));
        assert_eq!(error("1000", ""), Some(Error::Salt));
        assert_eq!(error("10000000", SALT), None);
    }
}
