//! Uses that are told later: many look at a cache that they share, and one who has it alone notes what they used.

use super::inner::folded;
use super::{Cache, Note, Policy};
use crate::time::Instant;

impl<K, V, const N: usize, P: Policy, S, T: Note> Cache<K, V, N, P, S, T> {
    /// Whether a use may change nothing but the count: of [`is_used_at`](Self::is_used_at).
    pub const MARKS: bool = P::MARKS;

    /// The place of the entry whose key has this hash and of which `look` makes something, and that: expired or not, and
    /// without a trace in order or counts.
    ///
    /// For who only shares the cache, or looks for what is no borrowed form of the key. The hash is the one that the cache's
    /// own hasher makes. The place is below `N`, and the entry's until the cache is changed.
    #[inline]
    #[must_use]
    pub fn locate<R>(&self, hash: u64, look: impl Fn(&K, &V) -> Option<R> + Copy) -> Option<(usize, R)> {
        self.table.find(folded(hash), move |index| {
            let entry = self.entry(index)?;
            look(&entry.key, &entry.value)
        })
    }

    /// Whether the entry at this place has expired; true where there is none.
    #[inline]
    #[must_use]
    pub fn is_over_at(&self, place: usize, now: Instant) -> bool {
        self.entry(place).is_none_or(|entry| self.is_over(entry.note, now))
    }

    /// Whether one more use of the entry at this place would be counted and change nothing else: in a
    /// [`Sieve`](super::Sieve) without an idle time, of one that was used already.
    #[inline]
    #[must_use]
    pub fn is_used_at(&self, place: usize) -> bool {
        P::MARKS && self.idle.is_forever() && self.table.is_marked(place)
    }

    /// Counts a use of the entry at this place, as of `now`; nothing where there is none.
    #[inline]
    pub fn use_at(&mut self, place: usize, now: Instant) {
        self.reach_idle(now);
        self.hit(place, now);
    }
}
