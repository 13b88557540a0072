//! The default hasher: small, fast, the same for every build, and no defence.

use core::hash::{BuildHasher, Hasher};

/// Hashes keys with one multiplication a word.
///
/// For keys that the program itself chooses. Where a stranger chooses them he can choose many that
/// collide, and then a lookup walks all of them: give such a cache a keyed hasher, such as
/// `std::hash::RandomState` on a host, with [`Cache::with_hasher`](super::Cache::with_hasher). A
/// seed makes collisions harder to guess and no more than that.
///
/// The hash differs between 32-bit and 64-bit targets; nothing that a cache answers depends on it.
///
/// # References
/// Knuth, "The Art of Computer Programming" 6.4, multiplicative hashing; `rustc-hash` for the turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fast {
    seed: Word,
}

#[cfg(target_pointer_width = "64")]
type Word = u64;
#[cfg(not(target_pointer_width = "64"))]
type Word = u32;

/// The golden ratio's fraction: consecutive words land far from each other.
#[cfg(target_pointer_width = "64")]
const GOLDEN: Word = 0x9E37_79B9_7F4A_7C15;
#[cfg(not(target_pointer_width = "64"))]
const GOLDEN: Word = 0x9E37_79B9;

impl Fast {
    /// The hasher with the seed zero, so that a cache that uses it is all zeros in a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self { seed: 0 }
    }

    /// The hasher with a seed of its own.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        #[cfg(target_pointer_width = "64")]
        return Self { seed };
        #[cfg(not(target_pointer_width = "64"))]
        return Self { seed: (seed ^ (seed >> 32)) as Word };
    }
}

impl BuildHasher for Fast {
    type Hasher = FastHasher;

    #[inline]
    fn build_hasher(&self) -> FastHasher {
        FastHasher { state: self.seed }
    }
}

/// The state of [`Fast`] within one key.
#[derive(Clone, Copy, Debug)]
pub struct FastHasher {
    state: Word,
}

impl FastHasher {
    /// A product's upper bits know all of the word, its lower ones only the word's lower ones: turned
    /// around, so that the next product spreads what is known best.
    #[inline]
    fn add(&mut self, word: Word) {
        self.state = (self.state ^ word).wrapping_mul(GOLDEN).rotate_left(Word::BITS / 2);
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<{ size_of::<Word>() }>();
        for word in words {
            self.add(Word::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.add(rest.iter().fold(0, |word, &byte| (word << 8) | Word::from(byte)));
        }
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.add(Word::from(n));
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.add(Word::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.add(Word::from(n));
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the number's two halves")]
    fn write_u64(&mut self, n: u64) {
        self.add(n as Word);
        self.add((n >> 32) as Word);
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.add(n as Word);
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    fn finish(&self) -> u64 {
        // The table takes the group from the upper bits and the tag from the lower ones: turned back, and
        // the lower ones helped.
        let product = self.state.rotate_left(Word::BITS / 2);
        u64::from(product ^ (product >> 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_are_spread_over_the_groups() {
        // 4,096 consecutive keys, and 4,096 that differ in their upper half only, over 1,024 groups
        // of what the table takes from a hash: no group gets more than a random spread would give it.
        for shift in [0, 4, 12, 32, 48] {
            let mut groups = [0_u8; 1_024];
            for key in 0..4_096_u64 {
                let hash = Fast::new().hash_one(key << shift);
                let folded = (hash ^ (hash >> 32)) & 0xFFFF_FFFF;
                groups[usize::try_from(folded >> 22).unwrap()] += 1;
            }
            assert!(groups.iter().max() < Some(&16), "shift {shift}: {:?}", groups.iter().max());
        }
    }

    #[test]
    fn a_text_and_its_prefix_hash_differently() {
        let hash = |text: &str| Fast::new().hash_one(text);
        assert_ne!(hash("a"), hash("a\0"));
        assert_ne!(hash("sensor-1"), hash("sensor-2"));
        assert_ne!(Fast::seeded(1).hash_one("a"), hash("a"));
    }
}
