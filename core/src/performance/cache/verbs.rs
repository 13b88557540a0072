//! What a cache is asked to do.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::policy::Index;
use super::{Cache, Entry, Inserted, Load, Lru, Note, Noted, Policy, Scale, Soonest};
use crate::time::{Duration, Instant};

impl<K: Hash + Eq, V, const N: usize, P: Policy, S: BuildHasher, T: Note> Cache<K, V, N, P, S, T> {
    /// Keeps `value` under `key` for the config's ttl.
    #[inline]
    pub fn insert(&mut self, key: K, value: V, now: Instant) -> Inserted<K, V> {
        self.insert_for(key, value, self.ttl.nanos(), now)
    }

    /// Keeps `value` under `key` for `ttl`; a zero one has expired already.
    #[inline]
    pub fn insert_with_ttl(&mut self, key: K, value: V, ttl: Duration, now: Instant) -> Inserted<K, V> {
        self.insert_for(key, value, ttl.as_nanos(), now)
    }

    #[inline]
    fn insert_for(&mut self, key: K, value: V, ttl: u64, now: Instant) -> Inserted<K, V> {
        let hash = self.hash(&key);
        if let Some(index) = self.find(hash, &key) {
            let note = self.note(ttl, now);
            let replaced = self.replace(index, value, note, now);
            drop(key); // before the return: what is being returned while a key panics is lost
            return replaced;
        }
        let Some(index) = self.admit() else {
            self.counts.refused += 1;
            return Inserted::Refused(key, value);
        };
        let note = self.note(ttl, now);
        match self.put(hash, index, Entry { key, value, note }) {
            Some((key, value)) => Inserted::Evicted(key, value),
            None => Inserted::Added,
        }
    }

    /// Gives the entry at `index` a new value and note, a use of it; if its old one was over, a new entry has come.
    #[inline(never)]
    pub(super) fn replace(
        &mut self,
        index: usize,
        value: V,
        note: <T as Noted>::Stamp,
        now: Instant,
    ) -> Inserted<K, V> {
        P::hit(&mut self.ring, &mut self.table, index);
        let Some(old_note) = self.entry(index).map(|entry| entry.note) else { return Inserted::Added };
        let was_over = self.is_over(old_note, now);
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else { return Inserted::Added };
        entry.note = note;
        let old = core::mem::replace(&mut entry.value, value);
        self.load.change(T::weight(note), T::weight(old_note));
        if was_over {
            self.counts.expired += 1;
            self.counts.inserted += 1;
            return Inserted::Added;
        }
        self.counts.updated += 1;
        Inserted::Replaced(old)
    }

    /// The value of `key`: a use of it.
    #[inline]
    pub fn get<Q>(&mut self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_mut(key, now).map(|value| &*value)
    }

    /// The value of `key`, to change in place: a use of it. It keeps its ttl and its weight.
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q, now: Instant) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let index = self.look_up(self.hash(key), key, now)?;
        self.hit(index, now)
    }

    /// The value of `key`, without a trace in order or counts.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.entry(self.find(self.hash(key), key)?)?;
        (!self.is_over(entry.note, now)).then_some(&entry.value)
    }

    /// Whether `key` would be found, without a trace in order or counts.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek(key, now).is_some()
    }

    /// When the entry of `key` expires if it is not used before: [`Instant::MAX`] for never. Not a use of it.
    ///
    /// For a program that refreshes an answer ahead of its end.
    #[must_use]
    pub fn expires_at<Q>(&self, key: &Q, now: Instant) -> Option<Instant>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let note = self.entry(self.find(self.hash(key), key)?)?.note;
        (!self.is_over(note, now)).then_some(Instant::from_nanos(self.moment(note)))
    }

    /// Removes the entry of `key` and returns its value if it had not expired.
    pub fn remove<Q>(&mut self, key: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let index = self.find(hash, key)?;
        let Entry { key, value, note } = self.take(hash, index)?;
        let is_over = self.is_over(note, now);
        let count = if is_over { &mut self.counts.expired } else { &mut self.counts.removed };
        *count += 1;
        drop(key); // before the return: what is being returned while a key panics is lost
        (!is_over).then_some(value)
    }

    /// Removes the entry that the policy would evict now, expired or not; it counts as evicted.
    #[doc(alias = "pop_lru")]
    pub fn pop(&mut self) -> Option<(K, V)> {
        self.evict(None)
    }

    /// Keeps the entries for which `keep` says so, the last used (or come in) first; the others count as
    /// removed. Those that have expired leave unasked.
    pub fn retain(&mut self, now: Instant, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut index = self.ring.newest();
        for _ in 0..self.len() {
            let here = index;
            index = self.ring.older(here);
            let Some(note) = self.entry(here).map(|entry| entry.note) else { return };
            let is_over = self.is_over(note, now);
            let Some(entry) = self.entries.get_mut(here).and_then(Option::as_mut) else { return };
            if is_over || !keep(&entry.key, &mut entry.value) {
                let hash = self.entry(here).map_or(0, |entry| self.hash(&entry.key));
                let Some(entry) = self.take(hash, here) else { return };
                let count = if is_over { &mut self.counts.expired } else { &mut self.counts.removed };
                *count += 1;
                drop(entry);
            }
        }
    }

    /// Lets at most `capacity` entries be at once, up to `N`, and returns how many it evicted for that.
    ///
    /// The memory stays; what the entries own is freed. For memory pressure: shrink, and grow back
    /// when it is over. A cache shrunk to nothing refuses every insertion.
    pub fn resize_soft(&mut self, capacity: usize) -> usize {
        let capacity = capacity.min(N);
        let before = self.len();
        // Step by step, so that the bound holds even if a key or value panics when it is dropped.
        loop {
            self.withheld = u32::try_from(N - capacity.max(self.len())).unwrap_or(u32::MAX);
            if self.len() <= capacity || self.pop().is_none() {
                return before - self.len();
            }
        }
    }

    /// Removes expired entries among the next `budget` places, and returns how many there were.
    ///
    /// Before [`poll_at`](Self::poll_at) it costs nothing. Each call goes on where the last one stopped,
    /// and every round over all `N` places, in however many calls, finds a new `poll_at`.
    pub fn sweep(&mut self, now: Instant, budget: usize) -> usize {
        if self.poll_at().is_none_or(|soonest| now < soonest) {
            return 0;
        }
        let before = self.len();
        if budget >= N {
            self.hand = 0;
        }
        for _ in 0..budget.min(N) {
            if self.hand == 0 {
                self.soonest_of_round = Soonest::NEVER;
            }
            let index = self.hand as usize;
            if let Some(entry) = self.entry(index) {
                if self.is_over(entry.note, now) {
                    self.expire(self.hash(&entry.key), index);
                } else {
                    let moment = self.moment(entry.note);
                    self.soonest_of_round.lower(moment);
                }
            }
            self.hand += 1;
            if self.hand as usize >= N {
                self.hand = 0;
                self.soonest = self.soonest_of_round;
            }
        }
        before - self.len()
    }

    /// Removes every expired entry: a [`sweep`](Self::sweep) over all places.
    pub fn poll(&mut self, now: Instant) {
        self.sweep(now, N);
        if let Some(origin) = <T::Scale as Scale>::origin_ahead(self.origin, now.as_nanos()) {
            self.move_origin(origin);
        }
    }
}

impl<K: Hash + Eq, V, const N: usize, I: Index, S: BuildHasher, T: Note> Cache<K, V, N, Lru<I>, S, T> {
    /// [`pop`](Self::pop) by its usual name: removes the entry that was used longest ago, expired or not.
    pub fn pop_lru(&mut self) -> Option<(K, V)> {
        self.pop()
    }
}
