//! The hasher for keys that strangers choose.

use core::fmt;
use core::hash::{BuildHasher, Hasher};

/// Hashes keys with SipHash-1-3 under a secret of 16 bytes.
///
/// For caches whose keys come from outside: who does not know the secret cannot choose keys that collide,
/// and so cannot make lookups slow. Give each boot or process a random secret: a device from its
/// entropy source, a host from the system. Where the program itself chooses the keys, [`Fast`](super::Fast)
/// costs a tenth.
///
/// The same key and secret hash to the same on every target, as long as `K` hashes itself so: lengths and
/// `usize` are hashed as eight bytes, numbers in little-endian order.
///
/// # Example
/// ```
/// use daur_core::performance::cache::{Cache, Config, Keyed, Lru};
/// use daur_core::time::Instant;
///
/// # let secret = [7; 16];
/// let mut cache: Cache<&str, u32, 16, Lru<u8>, Keyed> = Cache::with_hasher(Config::DEFAULT, Keyed::new(secret));
/// cache.insert("name from the network", 1, Instant::ZERO);
/// assert_eq!(cache.get("name from the network", Instant::ZERO), Some(&1));
/// ```
///
/// # References
/// Aumasson and Bernstein, "SipHash: a fast short-input PRF" (Indocrypt 2012). One round a word and three at the
/// end is what std's maps use.
#[derive(Clone, Copy)]
pub struct Keyed {
    k0: u64,
    k1: u64,
}

impl Keyed {
    /// The hasher with this secret.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(secret);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { k0: both as u64, k1: (both >> 64) as u64 }
    }
}

impl fmt::Debug for Keyed {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(..)")
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    #[inline]
    fn build_hasher(&self) -> KeyedHasher {
        Sip::new(self.k0, self.k1)
    }
}

/// The state of [`Keyed`] within one key.
pub type KeyedHasher = Sip<1, 3>;

/// SipHash with `C` rounds a word and `D` at the end.
#[derive(Clone, Copy)]
pub struct Sip<const C: usize, const D: usize> {
    v: [u64; 4],
    /// The bytes that do not make a word yet.
    tail: u64,
    /// How many bytes there were; the tail's are the rest of its division by eight.
    len: u64,
}

impl<const C: usize, const D: usize> Sip<C, D> {
    #[inline]
    const fn new(k0: u64, k1: u64) -> Self {
        // "somepseudorandomlygeneratedbytes"
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, len: 0 }
    }

    #[inline]
    fn rounds<const R: usize>(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        for _ in 0..R {
            a = a.wrapping_add(b);
            c = c.wrapping_add(d);
            b = b.rotate_left(13) ^ a;
            d = d.rotate_left(16) ^ c;
            a = a.rotate_left(32).wrapping_add(d);
            c = c.wrapping_add(b);
            b = b.rotate_left(17) ^ c;
            d = d.rotate_left(21) ^ a;
            c = c.rotate_left(32);
        }
        self.v = [a, b, c, d];
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds::<C>();
        self.v[0] ^= word;
    }

    /// Takes in the lowest `bytes` (1 to 8) of `word`; the others are zero.
    #[inline]
    fn add(&mut self, word: u64, bytes: u32) {
        let held = (self.len % 8) as u32;
        self.len = self.len.wrapping_add(u64::from(bytes));
        self.tail |= word << (8 * held);
        if held + bytes >= 8 {
            let full = self.tail;
            // A shift by all of its bits is not one.
            self.tail = if held == 0 { 0 } else { word >> (64 - 8 * held) };
            self.absorb(full);
        }
    }
}

impl<const C: usize, const D: usize> fmt::Debug for Sip<C, D> {
    /// Without the state, which knows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sip(..)")
    }
}

impl<const C: usize, const D: usize> Hasher for Sip<C, D> {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word), 8);
        }
        let mut count = 0;
        let mut word = 0;
        for &byte in rest {
            word |= u64::from(byte) << (8 * count);
            count += 1;
        }
        if count > 0 {
            self.add(word, count);
        }
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.add(u64::from(n), 1);
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.add(u64::from(n), 2);
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n), 4);
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.add(n, 8);
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64, 8);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mut end = *self;
        end.absorb(end.len << 56 | end.tail);
        end.v[2] ^= 0xff;
        end.rounds::<D>();
        end.v.iter().fold(0, |all, word| all ^ word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hash;
    use std::vec::Vec;

    #[test]
    fn siphash_2_4_of_the_paper() {
        // Appendix A: the key 00 01 .. 0f, the message 00 01 .. 0e.
        let Keyed { k0, k1 } = Keyed::new(core::array::from_fn(|n| u8::try_from(n).unwrap()));
        let mut sip = Sip::<2, 4>::new(k0, k1);
        sip.write(&core::array::from_fn::<u8, 15, _>(|n| u8::try_from(n).unwrap()));
        assert_eq!(sip.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn siphash_1_3_is_that_of_std_however_the_bytes_come() {
        let message: Vec<u8> = (0..64).collect();
        for len in 0..=64 {
            for cut in 0..=len {
                let mut ours = Sip::<1, 3>::new(0, 0);
                let mut std = std::hash::DefaultHasher::new();
                for hasher in [&mut ours as &mut dyn Hasher, &mut std] {
                    hasher.write(&message[..cut]);
                    hasher.write(&message[cut..len]);
                }
                assert_eq!(ours.finish(), std.finish(), "{cut} of {len}");
            }
        }
        let key = (7_u8, "sensor", [1_u16, 2], 3_u32, 4_u64, 5_usize, -6_i64, 'x', true, 8_u128);
        let mut ours = Sip::<1, 3>::new(0, 0);
        let mut std = std::hash::DefaultHasher::new();
        key.hash(&mut ours);
        key.hash(&mut std);
        assert_eq!(ours.finish(), std.finish());
    }

    #[test]
    fn another_secret_is_another_hash_and_nobody_sees_the_secret() {
        assert_ne!(Keyed::new([1; 16]).hash_one(5), Keyed::new([2; 16]).hash_one(5));
        assert_eq!(
            std::format!("{:?} {:?}", Keyed::new([1; 16]), Keyed::new([1; 16]).build_hasher()),
            "Keyed(..) Sip(..)"
        );
    }
}
