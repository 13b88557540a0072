//! What a cache has done.

/// Shows what a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Entries now, with those that have expired unseen.
    pub len: u32,
    /// Entries that may be at once, after `resize_soft`.
    pub capacity: u32,
    /// What they weigh together: one each, but for a [`Weighted`](super::Weighted) cache.
    pub weight: u64,
    /// What they may weigh together, after `limit_weight`; without weights the capacity.
    pub max_weight: u64,
    /// Lookups that found their key.
    pub hits: u64,
    /// Lookups that did not, with those that found an expired entry.
    pub misses: u64,
    /// Entries that came in.
    pub inserted: u64,
    /// Values that replaced one that had not expired.
    pub updated: u64,
    /// Entries that left for want of room.
    pub evicted: u64,
    /// Entries that left because their time was over.
    pub expired: u64,
    /// Entries that left on request.
    pub removed: u64,
    /// Insertions into a cache shrunk to nothing, and of what is heavier than all may be.
    pub refused: u64,
}

impl Snapshot {
    /// The figures of two caches as those of one: for a cache in shards.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            len: self.len.saturating_add(other.len),
            capacity: self.capacity.saturating_add(other.capacity),
            weight: self.weight.saturating_add(other.weight),
            max_weight: self.max_weight.saturating_add(other.max_weight),
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            inserted: self.inserted.saturating_add(other.inserted),
            updated: self.updated.saturating_add(other.updated),
            evicted: self.evicted.saturating_add(other.evicted),
            expired: self.expired.saturating_add(other.expired),
            removed: self.removed.saturating_add(other.removed),
            refused: self.refused.saturating_add(other.refused),
        }
    }

    /// How many of a thousand lookups found their key; 0 without any.
    #[must_use]
    pub const fn hit_permille(&self) -> u16 {
        let lookups = self.hits.saturating_add(self.misses);
        match (self.hits as u128 * 1_000).checked_div(lookups as u128) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
            Some(permille) => permille as u16,
            None => 0,
        }
    }
}

/// The counting half of a [`Snapshot`].
#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) removed: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) const ZERO: Self =
        Self { hits: 0, misses: 0, inserted: 0, updated: 0, evicted: 0, expired: 0, removed: 0, refused: 0 };

    #[expect(clippy::cast_possible_truncation, reason = "a cache has at most 65,536 entries")]
    pub(super) fn snapshot(self, len: usize, capacity: usize, load: Option<(u64, u64)>) -> Snapshot {
        let Self { hits, misses, inserted, updated, evicted, expired, removed, refused } = self;
        let (weight, max_weight) = load.unwrap_or((len as u64, capacity as u64));
        let (len, capacity) = (len as u32, capacity as u32);
        Snapshot {
            len,
            capacity,
            weight,
            max_weight,
            hits,
            misses,
            inserted,
            updated,
            evicted,
            expired,
            removed,
            refused,
        }
    }
}
