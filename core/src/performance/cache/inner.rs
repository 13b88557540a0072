//! What the verbs are made of.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::note::sealed::Times;
use super::{Cache, Entry, Load, Note, Noted, Policy, Scale};
use crate::time::Instant;

impl<K, V, const N: usize, P: Policy, S, T: Note> Cache<K, V, N, P, S, T> {
    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<&Entry<K, V, <T as Noted>::Stamp>> {
        self.entries.get(index)?.as_ref()
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn is_over(&self, note: <T as Noted>::Stamp, now: Instant) -> bool {
        <T::Scale as Scale>::is_over(T::due(note), self.origin, now.as_nanos())
    }

    /// When an entry of this note is over, in nanoseconds.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn moment(&self, note: <T as Noted>::Stamp) -> u64 {
        <T::Scale as Scale>::moment(T::due(note), self.origin)
    }

    /// The note of an entry that comes in now; `ttl` in nanoseconds.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn note(&mut self, ttl: u64, now: Instant) -> <T as Noted>::Stamp {
        let times = Times { end: now.as_nanos().saturating_add(ttl), idle: self.idle.nanos(), now: now.as_nanos() };
        self.reach(times.end, now);
        self.reach_idle(now);
        let note = T::note(times, self.origin);
        // The round's is never the sooner of the two, and with one ttl for all no later entry is sooner yet.
        let due = if T::KEEPS_IDLE { times.due() } else { times.end };
        let moment = <T::Scale as Scale>::moment_of(due, T::due(note), self.origin);
        if self.soonest_of_round.lower(moment) {
            self.soonest.lower(moment);
        }
        note
    }

    /// Sees to it that the end of an idle time that begins now can be noted.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn reach_idle(&mut self, now: Instant) {
        if T::KEEPS_IDLE && !self.idle.is_forever() {
            self.reach(now.as_nanos().saturating_add(self.idle.nanos()), now);
        }
    }

    /// Sees to it that `moment` can be noted.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn reach(&mut self, moment: u64, now: Instant) {
        if let Some(origin) = <T::Scale as Scale>::better_origin(moment, self.origin, now.as_nanos()) {
            self.move_origin(origin);
        }
    }

    #[cold]
    pub(super) fn move_origin(&mut self, origin: <T::Scale as Scale>::Origin) {
        for entry in self.entries.iter_mut().flatten() {
            T::recount(&mut entry.note, self.origin, origin);
        }
        self.origin = origin;
    }

    /// Takes the newest out of the ring, and leaves the table as it is.
    pub(super) fn take_newest_from_ring(&mut self) -> Option<Entry<K, V, <T as Noted>::Stamp>> {
        let index = self.ring.newest();
        if self.is_empty() {
            return None;
        }
        let entry = self.entries.get_mut(index)?.take();
        P::release(&mut self.ring, &mut self.table, index);
        let entry = entry?;
        self.load.change(0, T::weight(entry.note));
        self.counts.removed += 1;
        Some(entry)
    }

    /// Counts a use of the entry at `index`.
    #[inline]
    pub(super) fn hit(&mut self, index: usize, now: Instant) -> Option<&mut V> {
        // Before the links are written: afterwards the compiler would have to check the entry once more.
        let entry = self.entries.get_mut(index)?.as_mut()?;
        if T::KEEPS_IDLE && !self.idle.is_forever() {
            T::renew(&mut entry.note, self.origin, self.idle.nanos(), now.as_nanos());
        }
        P::hit(&mut self.ring, &mut self.table, index);
        self.counts.hits += 1;
        Some(&mut entry.value)
    }

    /// What must hold between verbs. Counting the places takes a walk, so large caches do without.
    pub(super) fn invariants(&self) {
        #[cfg(debug_assertions)]
        {
            let counts = self.counts;
            debug_assert!(self.len() <= N);
            debug_assert!(counts.evicted + counts.expired + counts.removed <= counts.inserted);
            if N <= 64 {
                let (places, _) = self.table.census();
                debug_assert_eq!(places, self.len(), "an entry has one place");
                debug_assert_eq!(self.entries.iter().flatten().count(), self.len());
                if let Some((weight, _)) = self.load.told() {
                    let weights = self.entries.iter().flatten().map(|entry| u64::from(T::weight(entry.note)));
                    debug_assert_eq!(weight, weights.sum::<u64>(), "the total is that of the entries");
                }
            }
        }
    }
}

impl<K: Hash + Eq, V, const N: usize, P: Policy, S: BuildHasher, T: Note> Cache<K, V, N, P, S, T> {
    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        folded(self.hasher.hash_one(key))
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn find<Q>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = move |index| (self.entry(index)?.key.borrow() == key).then_some(());
        self.table.find(hash, is_it).map(|(index, ())| index)
    }

    /// The place of `key`, unless it has expired: then it is removed. Counts a miss; a hit is the caller's.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn look_up<Q>(&mut self, hash: u32, key: &Q, now: Instant) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some(index) = self.find(hash, key) else {
            self.counts.misses += 1;
            return None;
        };
        if self.is_over(self.entry(index)?.note, now) {
            self.counts.misses += 1;
            self.expire(hash, index);
            return None;
        }
        self.reach_idle(now);
        Some(index)
    }

    #[cold]
    pub(super) fn expire(&mut self, hash: u32, index: usize) {
        if let Some(entry) = self.take(hash, index) {
            self.counts.expired += 1;
            drop(entry);
        }
    }

    /// A number for a new entry that weighs one: a free one, or that of an entry that no hash leads to any
    /// longer and that `put` hands out. None if the cache is shrunk to nothing.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn admit(&mut self) -> Option<usize> {
        if self.len() < self.capacity() && self.load.fits(1, 0) {
            return Some(self.ring.take_free());
        }
        if self.is_empty() {
            return None;
        }
        let victim = P::victim(&mut self.ring, &mut self.table);
        let hash = self.hash(&self.entry(victim)?.key);
        self.table.take(hash, victim);
        P::recycle(&mut self.ring, victim);
        self.counts.evicted += 1;
        Some(victim)
    }

    /// Removes the entry that the policy chooses, but that at `but`.
    pub(super) fn evict(&mut self, but: Option<usize>) -> Option<(K, V)> {
        let mut victim = P::victim(&mut self.ring, &mut self.table);
        // Each choice takes bits of others away, so after few it is another's.
        for _ in 0..4 {
            if Some(victim) == but {
                P::spare(&mut self.ring, &mut self.table, victim);
                victim = P::victim(&mut self.ring, &mut self.table);
            }
        }
        let hash = self.hash(&self.entry(victim)?.key);
        let entry = self.take(hash, victim)?;
        self.counts.evicted += 1;
        Some((entry.key, entry.value))
    }

    /// Puts an entry to a place that no hash leads to, and returns what was evicted from there.
    #[inline]
    pub(super) fn put(&mut self, hash: u32, index: usize, entry: Entry<K, V, <T as Noted>::Stamp>) -> Option<(K, V)> {
        self.table.place(hash, index);
        self.counts.inserted += 1;
        let weight = T::weight(entry.note);
        let old = self.entries.get_mut(index)?.replace(entry);
        self.load.change(weight, old.as_ref().map_or(0, |old| T::weight(old.note)));
        self.invariants();
        old.map(|old| (old.key, old.value))
    }

    pub(super) fn take(&mut self, hash: u32, index: usize) -> Option<Entry<K, V, <T as Noted>::Stamp>> {
        let entry = self.entries.get_mut(index)?.take()?;
        self.table.take(hash, index);
        P::release(&mut self.ring, &mut self.table, index);
        self.load.change(0, T::weight(entry.note));
        self.invariants();
        Some(entry)
    }
}

/// What the table takes of a hash.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is folded in")]
pub(super) const fn folded(hash: u64) -> u32 {
    hash as u32 ^ (hash >> 32) as u32
}
