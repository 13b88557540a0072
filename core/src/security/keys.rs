//! HMAC-SHA256 with its key already absorbed, keys derived per device, and the ring of them.

use core::fmt;

use crate::id::DeviceId;
use crate::text::Text;

/// Bytes of a tag, and of every key derived here.
pub const TAG_LEN: usize = 32;
/// The least bytes of a signing key (RFC 7518, section 3.2).
pub const MIN_KEY_LEN: usize = 32;

/// Holds an HMAC-SHA256 key as the two hash states it leaves (the midstate); the key's bytes are not kept.
#[derive(Clone)]
pub struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// Absorbs `key`, of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self { let _ = key; todo!() }
    /// The tag of the parts, one after the other, with nothing between them.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] { let _ = (parts, self.inner, self.outer); todo!() }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool { use subtle::ConstantTimeEq; a.ct_eq(b).into() }

/// The key of one device: HMAC-SHA256(fleet key, "daur device key v1" 00 id).
#[must_use]
pub fn derive_device_key(fleet_key: &[u8], device: &DeviceId) -> [u8; TAG_LEN] { let _ = (fleet_key, device); todo!() }

/// Names a key in a token's header: 1 to 16 characters of `A-Z a-z 0-9 - _ .`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kid(Text<16>);

/// What a key in the ring is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs and verifies. One key has this role.
    Signing,
    /// Still verifies what it has signed.
    VerifyOnly,
}

/// Says why a key was not taken into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Fewer than [`MIN_KEY_LEN`] bytes.
    TooShort,
    /// Another key has that name.
    Duplicate,
    /// The ring holds no more.
    Full,
    /// Not 1 to 16 characters of the set.
    InvalidKid,
    /// No such key, or the one that signs.
    NotRemovable,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { let _ = f; todo!() }
}
impl core::error::Error for KeyError {}

impl Kid {
    /// # Errors
    /// [`KeyError::InvalidKid`].
    pub fn new(name: &str) -> Result<Self, KeyError> { Text::new(name).map(Self).map_err(|_| KeyError::InvalidKid) }
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str { self.0.as_str() }
}
