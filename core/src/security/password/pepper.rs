//! A secret of the device in every hash.

use zeroize::Zeroize;

use super::{Error, HASH_LEN, Pbkdf2, hash_bytes, verify_bytes};
use crate::security::keys::{HmacKey, KeyError, MIN_KEY_LEN};
use crate::text::Text;

use super::phc::Phc;

/// Mixes a secret key into passwords before they are hashed: HMAC-SHA256(key, password) takes the password's place.
///
/// Where a device's store of hashes can be read but its key cannot (a protected page of flash, a secure element), a
/// PIN of a few digits cannot be guessed from its hash. A new pepper makes all hashes useless: keep the old one.
///
/// # Rules
/// 1. What is stored with one pepper matches with that pepper only, and not without one.
/// 2. The key is kept as an [`HmacKey`], the mixed password as a [`Peppered`]: both are wiped on drop.
///
/// # Cost
/// 64 bytes of RAM; two compressions of SHA-256 a password.
///
/// # Errors
/// [`KeyError::TooShort`] for a key of fewer than 32 bytes; then as [`hash`](super::hash) and
/// [`verify`](super::verify).
///
/// # Example
/// A PIN at the keypad of a device, hashed between other work and with few attempts:
/// ```
/// use daur_core::security::keys::same;
/// use daur_core::security::lockout::{Config, Lockout};
/// use daur_core::security::password::{Pbkdf2, Pepper};
/// use daur_core::time::{Duration, Instant};
///
/// static ATTEMPTS: Config = Config { first_lock: Duration::from_secs(60), ..Config::DEFAULT };
/// let pepper = Pepper::new(b"32 bytes of the protected page..").unwrap();
/// let salt = b"random 16 bytes!";
/// let stored = pepper.pbkdf2("4711", salt, 2_000).unwrap().step(u32::MAX).unwrap();
///
/// let mut lockout: Lockout<1> = Lockout::new(ATTEMPTS, b"one name only: no key needed");
/// let mut enter = |pin: &str, now: Instant| {
///     lockout.check("pin", now).ok()?;
///     let mut slowly = pepper.pbkdf2(pin, salt, 2_000).ok()?;
///     let hash = loop {
///         // The idle loop: 100 iterations, then something else.
///         if let Some(hash) = slowly.step(100) {
///             break hash;
///         }
///     };
///     let right = same(&hash, &stored);
///     if right { lockout.on_success("pin", now) } else { _ = lockout.on_failure("pin", now) }
///     Some(right)
/// };
/// let now = Instant::from_secs(10);
/// assert_eq!(enter("4711", now), Some(true));
/// assert_eq!([enter("0000", now), enter("1234", now), enter("1111", now)], [Some(false); 3]);
/// assert_eq!(enter("4711", now), None, "locked, right or wrong");
/// assert_eq!(enter("4711", Instant::from_secs(70)), Some(true));
/// ```
pub struct Pepper(HmacKey);

/// Holds a password with the pepper in it, for [`Pbkdf2::new`]; wiped on drop, never printed.
pub struct Peppered([u8; HASH_LEN]);

impl Pepper {
    /// The pepper of a secret key.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] if it has fewer than 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() < MIN_KEY_LEN { Err(KeyError::TooShort) } else { Ok(Self(HmacKey::new(key))) }
    }

    /// The password with the pepper in it.
    #[must_use]
    pub fn apply(&self, password: &str) -> Peppered {
        Peppered(self.0.tag(&[password.as_bytes()]))
    }

    /// Begins a derivation in steps.
    ///
    /// # Errors
    /// As [`Pbkdf2::new`].
    pub fn pbkdf2(&self, password: &str, salt: &[u8], iterations: u32) -> Result<Pbkdf2, Error> {
        Pbkdf2::new(self.apply(password).as_bytes(), salt, iterations)
    }

    /// The PHC string of a password, as [`hash`](super::hash) makes it.
    ///
    /// # Errors
    /// As [`hash`](super::hash).
    pub fn hash(&self, password: &str, salt: &[u8], iterations: u32) -> Result<Text<{ Phc::LEN }>, Error> {
        if super::has_nul(password) {
            return Err(Error::Nul);
        }
        hash_bytes(self.apply(password).as_bytes(), salt, iterations)
    }

    /// Whether `password` is the one that was hashed, as [`verify`](super::verify) says it.
    ///
    /// # Errors
    /// As [`verify`](super::verify).
    pub fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
        verify_bytes(self.apply(password).as_bytes(), stored)
    }
}

impl Peppered {
    /// The bytes to derive from.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
        &self.0
    }
}

impl Drop for Peppered {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::password::{MIN_ITERATIONS, hash, verify};

    #[test]
    fn rule_1_a_hash_matches_with_its_own_pepper_only() {
        let [ours, other] = [[1; 32], [2; 32]].map(|key| Pepper::new(&key).unwrap());
        let stored = ours.hash("4711", &[3; 16], MIN_ITERATIONS).unwrap();
        let plain = hash("4711", &[3; 16], MIN_ITERATIONS).unwrap();
        assert_eq!(ours.verify("4711", stored.as_str()), Ok(true));
        assert_eq!(ours.verify("4712", stored.as_str()), Ok(false));
        assert_eq!(other.verify("4711", stored.as_str()), Ok(false));
        assert_eq!(verify("4711", stored.as_str()), Ok(false));
        assert_eq!(ours.verify("4711", plain.as_str()), Ok(false));
        // HMAC of the password under the key, then PBKDF2: nothing else.
        let mixed = HmacKey::new(&[1; 32]).tag(&[b"4711"]);
        let derived = Pbkdf2::new(&mixed, &[3; 16], MIN_ITERATIONS).unwrap().step(u32::MAX).unwrap();
        assert!(Phc::parse(stored.as_str()).is_ok_and(|phc| phc.hash == derived));
        let slowly = ours.pbkdf2("4711", &[3; 16], MIN_ITERATIONS).unwrap().step(u32::MAX);
        assert_eq!(slowly, Some(derived));
    }

    #[test]
    fn a_short_key_and_what_no_hash_takes_are_refused() {
        assert!(matches!(Pepper::new(&[1; 31]), Err(KeyError::TooShort)));
        let pepper = Pepper::new(&[1; 32]).unwrap();
        assert_eq!(pepper.hash("a\0", &[3; 16], MIN_ITERATIONS), Err(Error::Nul));
        assert_eq!(pepper.hash("a", &[3; 7], MIN_ITERATIONS), Err(Error::Salt));
        assert_eq!(pepper.hash("a", &[3; 16], 1), Err(Error::Iterations));
        assert_eq!(pepper.verify("a", "plain"), Err(Error::Malformed));
    }
}
