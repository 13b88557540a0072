//! Keys: a request in one form, hashed.

use core::fmt;
use core::ops::Deref;

use crate::security::keys::Sha;

/// Bytes of a [`Key`].
pub const KEY_LEN: usize = 32;

/// What a part is; goes before it.
#[derive(Clone, Copy)]
enum Kind {
    Bytes = 0,
    Text = 1,
    Number = 2,
    List = 3,
    Pairs = 4,
}

/// Names a result by all that it depends on: the seed's `ResultCache` had the command's text for it.
///
/// [`Key::of`] for words in their order; [`Key::builder`] where a request also has texts, numbers, lists and settings.
/// What is not in the key does not tell two results apart, so put in the directory, the user and the policy if they do.
///
/// # Rules
/// 1. Requests with other parts have other keys, as far as SHA-256 tells them apart: before each part stand its kind
///    and its length.
/// 2. A text, the bytes of its letters and a number of its digits are three parts.
/// 3. Pairs have no order; one that is there twice counts twice.
/// 4. The same parts give the same key on every target and in every version.
///
/// # Cost
/// 32 bytes; a list, a number and pairs are
/// 36 bytes of RAM and 12,176 of flash on thumbv6m (image `result_key`), nearly all of it SHA-256, which tokens share. One compression of SHA-256 for each 64 bytes of parts,
/// of which each has 9 more than its own. [`KeyBuilder::pairs`] compares each pair with each.
///
/// # Sharing
/// `Copy`.
///
/// # Example
/// ```
/// use daur_core::services::result_cache::Key;
///
/// let key = Key::builder()
///     .text("convert")
///     .number(90)
///     .pairs(&[("LANG", "C"), ("HOME", "/root")])
///     .finish();
/// let same = Key::builder()
///     .text("convert")
///     .number(90)
///     .pairs(&[("HOME", "/root"), ("LANG", "C")])
///     .finish();
/// assert_eq!(key, same);
/// assert_ne!(Key::of(["ls", "-la"]), Key::of(["ls -la"]));
/// ```
///
/// # References
/// FIPS 180-4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// The key of parts in their order, each as its bytes.
    #[must_use]
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        parts.into_iter().fold(Self::builder(), |builder, part| builder.bytes(part.as_ref())).finish()
    }

    /// Begins a key whose parts are not all alike.
    pub const fn builder() -> KeyBuilder {
        KeyBuilder { hash: Sha::begin() }
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Builds a [`Key`] part by part.
#[must_use]
pub struct KeyBuilder {
    hash: Sha,
}

impl KeyBuilder {
    /// Some bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.part(Kind::Bytes, bytes);
        self
    }

    /// A text.
    pub fn text(mut self, text: &str) -> Self {
        self.part(Kind::Text, text.as_bytes());
        self
    }

    /// A number.
    pub fn number(mut self, number: u64) -> Self {
        self.part(Kind::Number, &number.to_le_bytes());
        self
    }

    /// A list, which ends where it ends: what comes after it is not taken for its own.
    pub fn list<P: AsRef<[u8]>>(mut self, parts: &[P]) -> Self {
        self.head(Kind::List, parts.len());
        for part in parts {
            self.part(Kind::Bytes, part.as_ref());
        }
        self
    }

    /// Pairs without an order: settings, variables, headers.
    pub fn pairs<K: AsRef<[u8]>, V: AsRef<[u8]>>(mut self, pairs: &[(K, V)]) -> Self {
        self.head(Kind::Pairs, pairs.len());
        let bytes = || pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
        let mut last = None;
        // The least of those that are greater than the last, with nothing to sort them in.
        while let Some(next) = bytes().filter(|pair| last.is_none_or(|last| *pair > last)).min() {
            for _ in bytes().filter(|pair| *pair == next) {
                self.part(Kind::Bytes, next.0);
                self.part(Kind::Bytes, next.1);
            }
            last = Some(next);
        }
        self
    }

    /// The key of all that.
    #[must_use]
    pub fn finish(self) -> Key {
        Key(self.hash.finish())
    }

    fn part(&mut self, kind: Kind, bytes: &[u8]) {
        self.head(kind, bytes.len());
        self.hash.update(bytes);
    }

    fn head(&mut self, kind: Kind, len: usize) {
        self.hash.update(&[kind as u8]);
        self.hash.update(&(len as u64).to_le_bytes());
    }
}
