//! How keys are hashed where strangers may choose them.

use std::hash::BuildHasher;

use foldhash::fast::{FoldHasher, RandomState};

/// Hashes keys with a seed of its own, drawn when it is made: two caches hash the same key differently.
///
/// Who does not know the seed cannot choose keys that collide. One who could measure it would make lookups walk the 256
/// entries of a shard at most, since a shard has no more. That is why a fast hash will do where std's maps take
/// SipHash, which costs 11 ns more for a `u64`: twice what is left of a lookup. Where even that is too much give the
/// cache std's `RandomState`.
///
/// # References
/// `foldhash`, which multiplies to 128 bits and folds them.
#[derive(Clone, Debug, Default)]
pub struct Seeded(RandomState);

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        self.0.build_hasher()
    }
}
