//! PBKDF2-HMAC-SHA256 in steps, PHC strings, and the rules of a new password.

use core::fmt;

use zeroize::Zeroize;

use super::keys::{HmacKey, PADDED, same};
use crate::text::Text;

mod calibration;
mod common;
mod fold;
mod pepper;
mod phc;
mod rules;

pub use calibration::{Calibration, calibrate};
pub use common::Common;
pub use pepper::{Pepper, Peppered};
pub use phc::Phc;
pub use rules::{Broken, Rule, Rules};

/// Iterations of a new hash on a host (OWASP, 2023).
pub const DEFAULT_ITERATIONS: u32 = 600_000;
/// The fewest iterations that a stored hash may name (NIST SP 800-132).
pub const MIN_ITERATIONS: u32 = 1_000;
/// The most iterations that a stored hash may name: several seconds of a host.
pub const MAX_ITERATIONS: u32 = 10_000_000;
/// Bytes of a new salt.
pub const SALT_LEN: usize = 16;
/// Bytes of a hash.
pub const HASH_LEN: usize = 32;

/// Says why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The stored text is not `$pbkdf2-sha256$i=..,l=32$salt$hash`.
    Malformed,
    /// The iterations lie outside what is allowed; nothing was derived.
    Iterations,
    /// The salt is shorter than 8 or longer than 48 bytes.
    Salt,
    /// The password has a NUL.
    Nul,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a hash of the form $pbkdf2-sha256$i=..,l=32$salt$hash",
            Self::Iterations => "the iterations of a hash are between 1000 and 10000000",
            Self::Salt => "a salt has 8 to 48 bytes",
            Self::Nul => "a password has no NUL",
        })
    }
}

impl core::error::Error for Error {}

/// Derives 32 bytes from a password, as many iterations at a time as the caller has time for.
///
/// On a device call [`Pbkdf2::step`] from the idle loop (a Cortex-M4 at 64 MHz does some 12,000 iterations a second);
/// on a host use [`hash`] and [`verify`] on the blocking pool.
///
/// # Rules
/// 1. The result is that of RFC 8018, however the iterations are divided into steps.
/// 2. Iterations outside `1..=MAX_ITERATIONS` are refused before anything is derived.
///
/// # Cost
/// 170 bytes, wiped on drop; four compressions of SHA-256 at the start and two an iteration.
///
/// # Example
/// ```
/// use daur_core::security::password::Pbkdf2;
///
/// let mut slowly = Pbkdf2::new(b"passwd", b"salt", 10).unwrap();
/// let hash = loop {
///     if let Some(hash) = slowly.step(3) {
///         break hash;
///     }
/// };
/// assert_eq!(Pbkdf2::new(b"passwd", b"salt", 10).unwrap().step(u32::MAX), Some(hash));
/// ```
///
/// # References
/// RFC 8018, section 5.2; vectors in RFC 7914, section 11.
pub struct Pbkdf2 {
    key: HmacKey,
    block: [u8; 64],
    sum: [u8; HASH_LEN],
    left: u32,
}

impl Pbkdf2 {
    /// Begins the first 32 bytes of the derived key, which is all of it here.
    ///
    /// # Errors
    /// [`Error::Iterations`] for 0 or more than [`MAX_ITERATIONS`].
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, Error> {
        Self::block(password, salt, iterations, 1)
    }

    /// Begins the derived key's block `index`, which counts from 1: for keys longer than 32 bytes.
    ///
    /// # Errors
    /// As [`Pbkdf2::new`].
    pub fn block(password: &[u8], salt: &[u8], iterations: u32, index: u32) -> Result<Self, Error> {
        if iterations == 0 || iterations > MAX_ITERATIONS {
            return Err(Error::Iterations);
        }
        let key = HmacKey::new(password);
        let sum = key.tag(&[salt, &index.to_be_bytes()]);
        let mut block = PADDED;
        for (to, from) in block.iter_mut().zip(sum) {
            *to = from;
        }
        Ok(Self { key, block, sum, left: iterations - 1 })
    }

    /// Does up to `n` iterations; gives the hash when all are done.
    pub fn step(&mut self, n: u32) -> Option<[u8; HASH_LEN]> {
        for _ in 0..n.min(self.left) {
            self.key.tag_in_place(&mut self.block);
            for (sum, byte) in self.sum.iter_mut().zip(self.block) {
                *sum ^= byte;
            }
        }
        self.left -= n.min(self.left);
        if self.left == 0 { Some(self.sum) } else { None }
    }

    /// Iterations still to do.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }
}

impl Drop for Pbkdf2 {
    fn drop(&mut self) {
        self.block.zeroize();
        self.sum.zeroize();
    }
}

/// The PHC string of a password: the seed's `hash_password`, with the salt inside.
///
/// `salt` is fresh random bytes ([`SALT_LEN`] of them) on every call. The password's bytes are hashed as they come:
/// nothing is cut, and Unicode is not normalised, since its tables have no room on a device. A program that takes
/// passwords from many keyboards brings them to one form (NFC) first, always.
///
/// # Errors
/// [`Error::Iterations`] outside [`MIN_ITERATIONS`] to [`MAX_ITERATIONS`]; [`Error::Salt`]; [`Error::Nul`].
///
/// # Example
/// ```
/// use daur_core::security::password;
///
/// let stored = password::hash("correct horse", b"random 16 bytes!", 1_000).unwrap();
/// assert!(stored.as_str().starts_with("$pbkdf2-sha256$i=1000,l=32$"));
/// assert_eq!(password::verify("correct horse", stored.as_str()), Ok(true));
/// assert_eq!(password::verify("correct house", stored.as_str()), Ok(false));
/// assert!(password::needs_rehash(stored.as_str(), password::DEFAULT_ITERATIONS));
/// ```
#[doc(alias = "hash_password")]
pub fn hash(password: &str, salt: &[u8], iterations: u32) -> Result<Text<{ Phc::LEN }>, Error> {
    if has_nul(password) {
        return Err(Error::Nul);
    }
    hash_bytes(password.as_bytes(), salt, iterations)
}

fn hash_bytes(password: &[u8], salt: &[u8], iterations: u32) -> Result<Text<{ Phc::LEN }>, Error> {
    let mut phc = Phc::new(iterations, salt)?;
    phc.hash = derive(password, salt, iterations)?;
    Ok(phc.text())
}

/// Whether `password` is the one that was hashed. The bounds are checked before anything is derived.
///
/// # Errors
/// [`Error`] if the stored text cannot be used.
#[doc(alias = "verify_password")]
pub fn verify(password: &str, stored: &str) -> Result<bool, Error> {
    // HMAC fills a short key up with NULs, so that a password with some at its end would be as good.
    Ok(verify_bytes(password.as_bytes(), stored)? && !has_nul(password))
}

fn verify_bytes(password: &[u8], stored: &str) -> Result<bool, Error> {
    let phc = Phc::parse(stored)?;
    matches(password, phc.salt(), phc.iterations, &phc.hash)
}

/// The hash and the salt of a password: the seed's pair, for whoever stores the two (and the iterations) himself.
///
/// # Errors
/// As [`hash`].
///
/// # Example
/// ```
/// use daur_core::security::password::{hash_with_salt, verify_with_salt};
///
/// let (hash, salt) = hash_with_salt("correct horse", *b"random 16 bytes!", 1_000).unwrap();
/// assert_eq!(verify_with_salt("correct horse", &hash, &salt, 1_000), Ok(true));
/// assert_eq!(verify_with_salt("correct horse", &hash, &salt, 1_001), Ok(false));
/// ```
#[doc(alias = "hash_password")]
pub fn hash_with_salt(
    password: &str,
    salt: [u8; SALT_LEN],
    iterations: u32,
) -> Result<([u8; HASH_LEN], [u8; SALT_LEN]), Error> {
    if has_nul(password) {
        return Err(Error::Nul);
    }
    within_bounds(iterations)?;
    Ok((derive(password.as_bytes(), &salt, iterations)?, salt))
}

/// Whether `password` is the one that [`hash_with_salt`] hashed.
///
/// # Errors
/// [`Error::Iterations`], before anything is derived.
#[doc(alias = "verify_password")]
pub fn verify_with_salt(
    password: &str,
    hash: &[u8; HASH_LEN],
    salt: &[u8; SALT_LEN],
    iterations: u32,
) -> Result<bool, Error> {
    within_bounds(iterations)?;
    Ok(matches(password.as_bytes(), salt, iterations, hash)? && !has_nul(password))
}

fn has_nul(password: &str) -> bool {
    password.bytes().any(|byte| byte == 0)
}

fn within_bounds(iterations: u32) -> Result<(), Error> {
    if (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) { Ok(()) } else { Err(Error::Iterations) }
}

/// Spends the time of a verification, for a user that does not exist, so that time does not tell who does.
///
/// `iterations` are those of the hashes of users who do: make old ones anew ([`needs_rehash`]).
pub fn dummy(password: &str, iterations: u32) {
    let iterations = iterations.clamp(MIN_ITERATIONS, MAX_ITERATIONS);
    let matches = matches(password.as_bytes(), &[0; SALT_LEN], iterations, &[0; HASH_LEN]);
    core::hint::black_box(matches.is_ok_and(|matches| matches) && !has_nul(password));
}

/// Whether a stored hash should be made anew when its password is next at hand: it cannot be read, or has fewer
/// iterations.
#[must_use]
pub fn needs_rehash(stored: &str, iterations: u32) -> bool {
    Phc::parse(stored).map_or(true, |phc| phc.iterations < iterations)
}

fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<[u8; HASH_LEN], Error> {
    // All iterations are one step.
    Pbkdf2::new(password, salt, iterations)?.step(iterations).ok_or(Error::Iterations)
}

fn matches(password: &[u8], salt: &[u8], iterations: u32, hash: &[u8; HASH_LEN]) -> Result<bool, Error> {
    let mut derived = derive(password, salt, iterations)?;
    let same = same(&derived, hash);
    derived.zeroize();
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_does_not_depend_on_the_steps() {
        let whole = Pbkdf2::new(b"p", b"s", 100).unwrap().step(100).unwrap();
        for n in [1, 7, 99, 100, u32::MAX] {
            let mut slowly = Pbkdf2::new(b"p", b"s", 100).unwrap();
            let mut steps = 0;
            let hash = loop {
                assert!(steps <= 100);
                if let Some(hash) = slowly.step(n) {
                    break hash;
                }
                steps += 1;
                assert_eq!(slowly.left(), 99 - n * steps);
            };
            assert_eq!(hash, whole);
            assert_eq!(slowly.step(1), Some(whole), "done is done");
        }
    }

    #[test]
    fn iterations_out_of_bounds_are_refused_before_anything_is_derived() {
        assert!(matches!(Pbkdf2::new(b"", b"", 0), Err(Error::Iterations)));
        assert!(matches!(Pbkdf2::new(b"", b"", MAX_ITERATIONS + 1), Err(Error::Iterations)));
        assert_eq!(hash("p", &[0; 16], MIN_ITERATIONS - 1), Err(Error::Iterations));
        // At 2^32 iterations this test would not end.
        let stored = "$pbkdf2-sha256$i=4294967295,l=32$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(verify("p", stored), Err(Error::Iterations));
        assert!(needs_rehash(stored, 1_000));
    }

    #[test]
    fn a_salt_that_is_too_short_or_too_long_is_refused() {
        assert_eq!(hash("p", &[0; 7], MIN_ITERATIONS), Err(Error::Salt));
        assert_eq!(hash("p", &[0; 49], MIN_ITERATIONS), Err(Error::Salt));
        for length in [8, 48] {
            let stored = hash("p", &[255; 48][..length], MIN_ITERATIONS).unwrap();
            assert_eq!(verify("p", stored.as_str()), Ok(true), "{stored}");
        }
    }

    #[test]
    fn a_password_with_nuls_at_its_end_is_another_password() {
        let stored = hash("correct horse", &[1; 16], MIN_ITERATIONS).unwrap();
        for other in ["correct horse\0", "correct horse\0\0\0", "\0correct horse"] {
            assert_eq!(verify(other, stored.as_str()), Ok(false));
            assert_eq!(hash(other, &[1; 16], MIN_ITERATIONS), Err(Error::Nul));
        }
        assert_eq!(verify("correct horse", stored.as_str()), Ok(true));
    }

    #[test]
    fn a_hash_needs_another_only_with_fewer_iterations() {
        let stored = hash("p", &[1; 16], 2_000).unwrap();
        assert!(!needs_rehash(stored.as_str(), 2_000));
        assert!(needs_rehash(stored.as_str(), 2_001));
        assert!(needs_rehash("plain", 1));
        dummy("p", 0);
    }

    #[test]
    fn the_pair_is_what_the_text_holds() {
        let (hash, salt) = hash_with_salt("correct horse", [7; 16], MIN_ITERATIONS).unwrap();
        let stored = super::hash("correct horse", &[7; 16], MIN_ITERATIONS).unwrap();
        assert!(Phc::parse(stored.as_str()).is_ok_and(|phc| phc.hash == hash && phc.salt() == salt));
        assert_eq!(verify_with_salt("correct horse", &hash, &salt, MIN_ITERATIONS), Ok(true));
        assert_eq!(verify_with_salt("correct horse\0", &hash, &salt, MIN_ITERATIONS), Ok(false));
        assert_eq!(verify_with_salt("correct house", &hash, &salt, MIN_ITERATIONS), Ok(false));
        assert_eq!(hash_with_salt("a\0", salt, MIN_ITERATIONS), Err(Error::Nul));
        for iterations in [0, MIN_ITERATIONS - 1, MAX_ITERATIONS + 1, u32::MAX] {
            assert_eq!(hash_with_salt("a", salt, iterations), Err(Error::Iterations));
            assert_eq!(verify_with_salt("a", &hash, &salt, iterations), Err(Error::Iterations));
        }
    }
}
