//! Entries that weigh more than one another.

use core::hash::{BuildHasher, Hash};

use super::{Cache, Entry, Inserted, Load, Note, Noted, Policy, Weighted};
use crate::time::{Duration, Instant};

impl<K, V, const N: usize, P: Policy, S, T: Note> Cache<K, V, N, P, S, Weighted<T>> {
    /// The cache with a limit for the weight of all entries together: for a `static`.
    #[must_use]
    pub const fn with_max_weight(mut self, limit: u64) -> Self {
        self.load.set_limit(limit);
        self
    }

    /// What all entries weigh together, with those that have expired unseen.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.load.weight()
    }

    /// What all entries may weigh together.
    #[must_use]
    pub const fn max_weight(&self) -> u64 {
        self.load.limit()
    }
}

impl<K: Hash + Eq, V, const N: usize, P: Policy, S: BuildHasher, T: Note> Cache<K, V, N, P, S, Weighted<T>> {
    /// Keeps `value` under `key` as an entry of this weight for the config's ttl. Those that have to leave for it
    /// go to `aside`, one by one.
    ///
    /// A weight of zero counts as one, and so does what is inserted otherwise. What is heavier than
    /// all may be together is refused, and the key's former value leaves too, since it is out of date.
    pub fn insert_weighted(
        &mut self,
        key: K,
        value: V,
        weight: u32,
        now: Instant,
        aside: impl FnMut(K, V),
    ) -> Inserted<K, V> {
        self.insert_weighted_for(Entry { key, value, note: weight }, self.ttl.nanos(), now, aside)
    }

    /// As [`insert_weighted`](Self::insert_weighted), for a `ttl` of its own.
    pub fn insert_weighted_with_ttl(
        &mut self,
        key: K,
        value: V,
        weight: u32,
        ttl: Duration,
        now: Instant,
        aside: impl FnMut(K, V),
    ) -> Inserted<K, V> {
        self.insert_weighted_for(Entry { key, value, note: weight }, ttl.as_nanos(), now, aside)
    }

    fn insert_weighted_for(
        &mut self,
        Entry { key, value, note: weight }: Entry<K, V, u32>,
        ttl: u64,
        now: Instant,
        mut aside: impl FnMut(K, V),
    ) -> Inserted<K, V> {
        let weight = weight.max(1);
        let hash = self.hash(&key);
        let there = self.find(hash, &key);
        if self.capacity() == 0 || u64::from(weight) > self.max_weight() {
            if let Some(old) = there.and_then(|index| self.take(hash, index)) {
                self.counts.removed += 1;
                aside(old.key, old.value);
            }
            self.counts.refused += 1;
            return Inserted::Refused(key, value);
        }
        if let Some(index) = there {
            P::hit(&mut self.ring, &mut self.table, index);
            let old = self.entry(index).map_or(0, |entry| <Weighted<T> as Noted>::weight(entry.note));
            while !self.load.fits(weight, old) {
                let Some((key, value)) = self.evict(Some(index)) else { break };
                aside(key, value);
            }
            let note = (self.note(ttl, now).0, weight);
            let replaced = self.replace(index, value, note, now);
            drop(key); // before the return: what is being returned while a key panics is lost
            return replaced;
        }
        while self.len() >= self.capacity() || !self.load.fits(weight, 0) {
            let Some((key, value)) = self.evict(None) else { break };
            aside(key, value);
        }
        let index = self.ring.take_free();
        let note = (self.note(ttl, now).0, weight);
        self.put(hash, index, Entry { key, value, note });
        Inserted::Added
    }

    /// Lets all entries weigh at most `limit` together, and returns how many it evicted for that.
    pub fn limit_weight(&mut self, limit: u64) -> usize {
        let before = self.len();
        // Step by step, so that the bound holds even if a key or value panics when it is dropped.
        loop {
            self.load.set_limit(limit.max(self.weight()));
            if self.weight() <= limit || self.pop().is_none() {
                return before - self.len();
            }
        }
    }
}
