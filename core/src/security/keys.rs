//! HMAC-SHA256 with its key already absorbed, and the keys of single devices.
//!
//! The hash function is RustCrypto's: its compression function, which picks SHA-NI or the like by
//! itself. HMAC around it (RFC 2104) is written out here. The crate `hmac` 0.13 in its place, its key
//! absorbed and cloned, links no panic either, but was measured to take 144 bytes a key instead of 64,
//! 600 bytes more of flash (thumbv6m), and for an iteration of PBKDF2, which is what a guess costs the
//! attacker at the same patience of ours, 134 ns instead of 86 and on a Cortex-M4 6,101 instructions
//! instead of 5,235. The tests hold ours against it.

use core::fmt;

use sha2::block_api::compress256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

use crate::id::DeviceId;
use crate::text::Text;

/// Bytes of a tag, and of every key derived here.
pub const TAG_LEN: usize = 32;
/// The least bytes of a signing key (RFC 7518, section 3.2).
pub const MIN_KEY_LEN: usize = 32;

const BLOCK: usize = 64;
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Holds an HMAC-SHA256 key as the two hash states that it leaves (the midstate).
///
/// The key's bytes are not kept, the states are wiped on drop, and there is no `Debug`. Use it
/// wherever the same key makes more than one tag: two of the four compressions that every short
/// tag would cost are done once.
///
/// # Rules
/// 1. A tag is that of RFC 2104 over SHA-256, for a key and a message of any length.
/// 2. [`same`] takes as long for equal texts as for others of that length.
///
/// # Cost
/// 64 bytes. A tag costs one compression for each 64 bytes of message (9 bytes of padding included),
/// and one more.
///
/// # Example
/// ```
/// use daur_core::security::keys::{HmacKey, same};
///
/// let key = HmacKey::new(b"Jefe");
/// let tag = key.tag(&[b"what do ya want ", b"for nothing?"]);
/// assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]); // RFC 4231, case 2
/// assert!(same(&tag, &tag) && !same(&tag, &[0; 32]));
/// ```
///
/// # References
/// RFC 2104, FIPS 180-4.
#[derive(Clone)]
pub struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// Absorbs `key`, of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            let mut hash = Sha::new(INITIAL, 0);
            hash.update(key);
            // The hash is the key from here on.
            let mut short = hash.finish();
            fill(&mut block, &short);
            short.zeroize();
        } else {
            fill(&mut block, key);
        }
        // Absorbed where they stay, so that no copy of a state is left behind.
        let mut absorbed = Self { inner: INITIAL, outer: INITIAL };
        block.iter_mut().for_each(|b| *b ^= 0x36);
        compress256(&mut absorbed.inner, core::slice::from_ref(&block));
        // The first pad is still in the block: this takes it out and puts the second in.
        block.iter_mut().for_each(|b| *b ^= 0x36 ^ 0x5C);
        compress256(&mut absorbed.outer, core::slice::from_ref(&block));
        block.zeroize();
        absorbed
    }

    /// The tag of the parts, one after the other, with nothing between them.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut hash = self.start();
        for part in parts {
            hash.update(part);
        }
        self.finish(&mut hash)
    }

    /// Begins a tag whose message comes piece by piece.
    pub(crate) fn start(&self) -> Sha {
        Sha { state: self.inner, block: [0; BLOCK], filled: 0, total: BLOCK as u64 }
    }

    /// The tag of a message that was [started](Self::start) and has come to its end. In place: on a device a second
    /// block would be stack that every tag needs.
    pub(crate) fn finish(&self, hash: &mut Sha) -> [u8; TAG_LEN] {
        hash.close();
        hash.block = PADDED;
        store(&hash.state, &mut hash.block);
        hash.state = self.outer;
        compress256(&mut hash.state, core::slice::from_ref(&hash.block));
        bytes(&hash.state)
    }

    /// Replaces the first 32 bytes of `block` by their tag; the rest must be [`PADDED`]'s. PBKDF2's inner loop.
    pub(crate) fn tag_in_place(&self, block: &mut [u8; BLOCK]) {
        for half in [self.inner, self.outer] {
            let mut state = half;
            compress256(&mut state, core::slice::from_ref(block));
            store(&state, block);
        }
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// A block that holds a 32-byte message after one block of key: the padding is always the same.
pub(crate) const PADDED: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    block[TAG_LEN] = 0x80;
    // (64 + 32) * 8 = 768 bits.
    block[BLOCK - 2] = 3;
    block
};

/// SHA-256 from any state. Its pieces are cut by `get`, `zip` and `as_chunks`, which cannot fail.
pub(crate) struct Sha {
    state: [u32; 8],
    block: [u8; BLOCK],
    filled: usize,
    total: u64,
}

impl Sha {
    /// Of a message alone.
    pub(crate) const fn begin() -> Self {
        Self::new(INITIAL, 0)
    }

    const fn new(state: [u32; 8], total: u64) -> Self {
        Self { state, block: [0; BLOCK], filled: 0, total }
    }

    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.total = self.total.wrapping_add(data.len() as u64);
        if self.filled > 0 {
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            let taken = room.len().min(data.len());
            fill(room, data);
            self.filled += taken;
            data = data.get(taken..).unwrap_or_default();
            if self.filled < BLOCK {
                return;
            }
            compress256(&mut self.state, core::slice::from_ref(&self.block));
        }
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        compress256(&mut self.state, blocks);
        fill(&mut self.block, rest);
        self.filled = rest.len();
    }

    pub(crate) fn finish(mut self) -> [u8; TAG_LEN] {
        self.close();
        bytes(&self.state)
    }

    /// Pads a message that has come to its end: the state is its hash then.
    fn close(&mut self) {
        let mut rest = self.block.iter_mut().skip(self.filled);
        if let Some(end) = rest.next() {
            *end = 0x80;
        }
        rest.for_each(|b| *b = 0);
        if self.filled >= BLOCK - 8 {
            compress256(&mut self.state, core::slice::from_ref(&self.block));
            self.block = [0; BLOCK];
        }
        if let Some(length) = self.block.last_chunk_mut::<8>() {
            *length = self.total.wrapping_mul(8).to_be_bytes();
        }
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }
}

impl Drop for Sha {
    fn drop(&mut self) {
        self.state.zeroize();
        wipe(&mut self.block);
    }
}

/// Overwrites bytes on the stack. `zeroize` would write byte by byte, which is felt in every tag.
pub(crate) fn wipe<const N: usize>(bytes: &mut [u8; N]) {
    *bytes = [0; N];
    zeroize::optimization_barrier(bytes);
}

/// Copies as much as fits. Not `copy_from_slice`, whose length check would bring a panic into the image.
fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// A hash state as bytes.
fn bytes(state: &[u32; 8]) -> [u8; TAG_LEN] {
    let mut bytes = [0; TAG_LEN];
    store(state, &mut bytes);
    bytes
}

/// Writes a hash state as bytes to the front of `to`.
fn store(state: &[u32; 8], to: &mut [u8]) {
    for (to, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b.as_chunks());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let words = a.iter().zip(b).fold(Choice::from(1), |all, (a, b)| all & word(a).ct_eq(&word(b)));
    // A slice's comparison begins with its length; it is public.
    let lengths = Choice::from(u8::from(a.len() == b.len()));
    (words & lengths & a_rest.ct_eq(b_rest)).into()
}

/// The key of one device: HMAC-SHA256(fleet key, `daur device key v1`, a zero byte, the device's id).
///
/// Who reads one device's key out of its flash can sign for that device and for no other.
///
/// # Example
/// ```
/// use daur_core::id::DeviceId;
/// use daur_core::security::keys::derive_device_key;
///
/// let [a, b] = ["a", "b"].map(|id| derive_device_key(&[7; 32], &DeviceId::new(id).unwrap()));
/// assert_ne!(a, b);
/// ```
#[must_use]
pub fn derive_device_key(fleet_key: &[u8], device: &DeviceId) -> [u8; TAG_LEN] {
    HmacKey::new(fleet_key).tag(&[b"daur device key v1\0", device.as_str().as_bytes()])
}

/// Names a key in a token's header: 1 to 16 characters of `A-Z a-z 0-9 - _ .`, which JSON need not escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Kid(Text<16>);

impl Kid {
    /// The key called `name`.
    ///
    /// # Errors
    /// [`KeyError::InvalidKid`] if it is empty, longer than 16 or has another character.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        DeviceId::new(name).map_err(|_| KeyError::InvalidKid)?;
        Text::new(name).map(Self).map_err(|_| KeyError::InvalidKid)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Says what a key in the ring is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Signs and verifies. Exactly one key has this role.
    Signing,
    /// Still verifies what it has signed.
    VerifyOnly,
}

/// Says why the ring of keys did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// Fewer than [`MIN_KEY_LEN`] bytes.
    TooShort,
    /// Another key has that name.
    Duplicate,
    /// The ring holds no more.
    Full,
    /// Not a name of a key.
    InvalidKid,
    /// No such key.
    Unknown,
    /// The signing key cannot be retired before another signs.
    Signing,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "a signing key has at least 32 bytes",
            Self::Duplicate => "another key has that name",
            Self::Full => "the ring of keys is full: retire one first",
            Self::InvalidKid => "a key's name is 1 to 16 characters of A-Z a-z 0-9 - _ .",
            Self::Unknown => "no key has that name",
            Self::Signing => "the signing key cannot be retired before another signs",
        })
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// RustCrypto's own.
    fn theirs(key: &[u8], message: &[u8]) -> [u8; 32] {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    #[test]
    fn a_tag_is_that_of_rfc_2104_for_every_length_and_every_cut() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
        for length in 0..=200 {
            let message = &bytes[..length];
            let key = HmacKey::new(&bytes[..length]);
            let expected = theirs(&bytes[..length], message);
            for cut in [0, 1, length / 2, length] {
                let (a, b) = message.split_at(cut.min(length));
                assert_eq!(key.tag(&[a, b, &[]]), expected, "{length} {cut}");
            }
        }
    }

    #[test]
    fn the_short_cut_of_32_bytes_is_the_same_tag() {
        let key = HmacKey::new(b"key");
        let mut block = PADDED;
        fill(&mut block, &[9; 32]);
        key.tag_in_place(&mut block);
        assert_eq!(block[..32], key.tag(&[&[9; 32]]));
        assert_eq!(block[32..], PADDED[32..]);
    }

    #[test]
    fn texts_are_the_same_if_every_byte_is() {
        for length in 0..50 {
            let text: Vec<u8> = (0..length).collect();
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &[text.as_slice(), &[0]].concat()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert!(!same(&text, &other), "{length} {at}");
                assert!(!same(&text, &text[..at]));
            }
        }
    }

    #[test]
    fn only_names_that_json_need_not_escape_are_kids() {
        assert!(Kid::new("2026-11.a_B").is_ok());
        for bad in ["", "a\"", "0123456789abcdefg", "ключ"] {
            assert_eq!(Kid::new(bad), Err(KeyError::InvalidKid), "{bad}");
        }
    }
}
