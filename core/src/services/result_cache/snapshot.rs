//! What a cache of results has done.

/// Shows what a cache of results has done and holds (`get_stats` of the seed's `ResultCache`).
///
/// # Rules
/// 1. Every look-up is a hit or a miss; `expired` are misses too.
/// 2. Every entry handed in is stored or skipped, or still waits in `queued_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Look-ups answered.
    pub hits: u64,
    /// Look-ups not answered, for any reason.
    pub misses: u64,
    /// Misses whose entry was too old.
    pub expired: u64,
    /// Answers shared by a caller who was computing the same.
    pub shared: u64,
    /// Entries written.
    pub stored: u64,
    /// Entries deleted to make room.
    pub evicted: u64,
    /// Entries whose checksum was wrong, and reads that found the store damaged.
    pub corrupt: u64,
    /// Entries not written.
    pub skipped: u64,
    /// Refusals of the store.
    pub faults: u64,
    /// Stores put into quarantine.
    pub quarantined: u64,
    /// Times that the store was opened again.
    pub reopened: u64,
    /// Entries in the store.
    pub rows: u64,
    /// Bytes in use in the store.
    pub bytes: u64,
    /// Its largest size.
    pub max_bytes: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Whether the store is open at present.
    pub up: bool,
}

impl Snapshot {
    /// How many of a thousand look-ups were answered; `None` before the first.
    #[must_use]
    pub const fn hit_permille(&self) -> Option<u16> {
        let all = self.hits.saturating_add(self.misses);
        match (self.hits as u128 * 1_000).checked_div(all as u128) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
            Some(permille) => Some(permille as u16),
            None => None,
        }
    }
}
