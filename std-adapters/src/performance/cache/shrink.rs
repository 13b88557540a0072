//! The shared caches as those who give memory back.

use std::hash::{BuildHasher, Hash};

use daur_core::performance::cache::Policy;
use daur_core::performance::memory::{Share, Shrink};
use daur_core::time::Clock;

use super::{SharedCache, SmartCache};

/// Evicts what is above the share of `max_size`; the bytes are an estimate: the entries', and what the cache's
/// [`weighing`](SharedCache::weighing) says they own.
impl<K: Hash + Eq, V, P: Policy, S: BuildHasher, C: Clock> Shrink for SharedCache<K, V, P, S, C> {
    fn shrink(&self, keep: Share) -> u64 {
        self.shrink_to(keep.of(self.config.max_size)).1
    }

    fn restore(&self, keep: Share) {
        self.resize_soft(keep.of(self.config.max_size));
    }
}

/// As the [`SharedCache`].
impl<C: Clock> Shrink for SmartCache<C> {
    fn shrink(&self, keep: Share) -> u64 {
        self.shared().shrink(keep)
    }

    fn restore(&self, keep: Share) {
        self.shared().restore(keep);
    }
}
