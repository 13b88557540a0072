//! PBKDF2-HMAC-SHA256 in steps, PHC strings, and the rules of a new password.

use crate::text::Text;
use core::fmt;

/// Iterations of a new hash on a host (OWASP, 2023).
pub const DEFAULT_ITERATIONS: u32 = 600_000;
/// The fewest iterations that a stored hash may name.
pub const MIN_ITERATIONS: u32 = 1_000;
/// The most iterations that a stored hash may name.
pub const MAX_ITERATIONS: u32 = 10_000_000;
/// Bytes of a new salt.
pub const SALT_LEN: usize = 16;
/// Bytes of a hash.
pub const HASH_LEN: usize = 32;

/// A PHC string of this module: at most 128 bytes.
pub type Phc = Text<128>;

/// Says why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The stored text is not `$pbkdf2-sha256$i=..,l=32$salt$hash`.
    Malformed,
    /// The iterations lie outside what is allowed; nothing was derived.
    Iterations,
    /// The salt is shorter than 8 or longer than 32 bytes.
    Salt,
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
impl core::error::Error for Error {}

/// Derives 32 bytes from a password, as many iterations at a time as the caller has time for.
pub struct Pbkdf2 {
    left: u32,
}

impl Pbkdf2 {
    /// # Errors
    /// [`Error::Iterations`] for 0 or more than [`MAX_ITERATIONS`].
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, Error> {
        let _ = (password, salt, iterations);
        todo!()
    }
    /// Does up to `n` iterations; the hash when all are done.
    pub fn step(&mut self, n: u32) -> Option<[u8; HASH_LEN]> {
        let _ = n;
        todo!()
    }
    /// Iterations still to do.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }
}

/// The PHC string of a password. `salt` is fresh random bytes for every call.
///
/// # Errors
/// [`Error::Iterations`], [`Error::Salt`].
pub fn hash(password: &str, salt: &[u8], iterations: u32) -> Result<Phc, Error> {
    let _ = (password, salt, iterations);
    todo!()
}

/// Whether `password` is the one that was hashed. Bounds are checked before anything is derived.
///
/// # Errors
/// [`Error`] if the stored text cannot be used.
pub fn verify(password: &str, stored: &str) -> Result<bool, Error> {
    let _ = (password, stored);
    todo!()
}

/// Spends the time of a verification, for a user that does not exist.
pub fn dummy(password: &str, iterations: u32) {
    let _ = (password, iterations);
    todo!()
}

/// Whether a stored hash should be made anew at the next login.
#[must_use]
pub fn needs_rehash(stored: &str, iterations: u32) -> bool {
    let _ = (stored, iterations);
    todo!()
}

/// Rules of a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least code points. Default 8.
    pub min_len: usize,
    /// Most code points. Default 128.
    pub max_len: usize,
    /// The seed's composition rules; default off, as NIST SP 800-63B asks.
    pub require_upper: bool,
    /// As above.
    pub require_lower: bool,
    /// As above.
    pub require_digit: bool,
    /// As above.
    pub require_special: bool,
}

impl Rules {
    /// As NIST SP 800-63B rev. 4 and ASVS 5 ask.
    pub const DEFAULT: Self = Self {
        min_len: 8,
        max_len: 128,
        require_upper: false,
        require_lower: false,
        require_digit: false,
        require_special: false,
    };

    /// Every rule that `password` breaks; `Ok` if none.
    ///
    /// # Errors
    /// [`Broken`]: all of them.
    pub fn check(&self, password: &str, user: &str) -> Result<(), Broken> {
        let _ = (password, user);
        todo!()
    }
}

/// Holds the rules that a password breaks; prints them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(u16);
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = (f, self.0);
        todo!()
    }
}
impl core::error::Error for Broken {}
