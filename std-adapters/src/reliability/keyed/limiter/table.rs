//! One shard: a table of fixed size with linear probing.

use daur_core::reliability::limiter::{Gcra, Limited};
use daur_core::time::Instant;

use super::{Refused, Snapshot};
use crate::reliability::keyed::OnFull;

/// Places of a table; a power of two.
const SLOTS: usize = 128;
/// Keys that it takes. The other places stay empty: at them a search for a key that is not there ends.
pub(super) const SHARD_KEYS: usize = 96;

/// A place that no key has.
const EMPTY: u64 = 0;

pub(super) struct Table {
    /// Hashes of keys, each at its home or, if that was taken, at the next free place.
    hashes: [u64; SLOTS],
    states: [Gcra; SLOTS],
    keys: usize,
    /// Keys that may be here.
    room: usize,
    /// No key is idle before this moment, so that a full table need not be searched before it.
    none_idle_before: Instant,
    limited: u64,
    full: u64,
    untracked: u64,
    forgotten: u64,
}

/// The place where a search for `hash` begins.
#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
const fn home(hash: u64) -> usize {
    hash as usize % SLOTS
}

const fn next(at: usize) -> usize {
    (at + 1) % SLOTS
}

/// How many steps forward it is from one place to the other.
const fn steps(from: usize, to: usize) -> usize {
    to.wrapping_sub(from) % SLOTS
}

impl Table {
    pub(super) const fn new(room: usize) -> Self {
        Self {
            hashes: [EMPTY; SLOTS],
            states: [Gcra::NEW; SLOTS],
            keys: 0,
            room,
            none_idle_before: Instant::MAX,
            limited: 0,
            full: 0,
            untracked: 0,
            forgotten: 0,
        }
    }

    /// Runs `verb` on the state of `hash`, and finds that a place if it passes and has none.
    #[inline]
    pub(super) fn pass(
        &mut self,
        hash: u64,
        now: Instant,
        on_full: OnFull,
        verb: impl FnOnce(&mut Gcra, Instant) -> Result<(), Limited>,
    ) -> Result<(), Refused> {
        let hash = hash.max(EMPTY + 1);
        let (at, found) = self.find(hash);
        if found {
            let passed = verb(&mut self.states[at], now);
            self.limited += u64::from(passed.is_err());
            return Ok(passed?);
        }
        let mut state = Gcra::NEW;
        if let Err(limited) = verb(&mut state, now) {
            self.limited += 1;
            return Err(limited.into());
        }
        self.admit(hash, at, state, now, on_full)
    }

    /// Gives a new key a place: the empty one `at`, where the search for it has ended, or one that is made free.
    #[inline(never)]
    fn admit(&mut self, hash: u64, mut at: usize, state: Gcra, now: Instant, on_full: OnFull) -> Result<(), Refused> {
        if self.keys >= self.room {
            if let Some(idle) = self.idle_before(at, hash, now) {
                // It lies where a search for the new key passes: taken over, it leaves no gap.
                at = idle;
            } else if let Some(idle) = self.idle_from(next(at), now) {
                self.vacate(idle);
                (at, _) = self.find(hash);
            } else {
                return match on_full {
                    OnFull::Refuse => {
                        self.full += 1;
                        Err(Refused::Full { retry_at: self.none_idle_before })
                    }
                    OnFull::Admit => {
                        self.untracked += 1;
                        Ok(())
                    }
                };
            }
            self.forgotten += 1;
        } else {
            self.keys += 1;
        }
        self.hashes[at] = hash;
        self.states[at] = state;
        self.none_idle_before = self.none_idle_before.min(state.idle_at());
        self.invariants();
        Ok(())
    }

    pub(super) fn get(&self, hash: u64) -> Option<Gcra> {
        let (at, found) = self.find(hash.max(EMPTY + 1));
        found.then(|| self.states[at])
    }

    pub(super) fn remove(&mut self, hash: u64) {
        if let (at, true) = self.find(hash.max(EMPTY + 1)) {
            self.vacate(at);
            self.keys -= 1;
        }
        self.invariants();
    }

    pub(super) fn count(&self, now: Instant, sum: &mut Snapshot) {
        sum.keys += self.keys;
        sum.busy += self.occupied().filter(|(_, state)| !state.is_idle(now)).count();
        sum.limited += self.limited;
        sum.full += self.full;
        sum.untracked += self.untracked;
        sum.forgotten += self.forgotten;
    }

    /// Where `hash` is, or where it belongs if it is not there. Ends, since some place is always empty.
    #[inline]
    fn find(&self, hash: u64) -> (usize, bool) {
        let mut at = home(hash);
        loop {
            if self.hashes[at] == hash {
                return (at, true);
            }
            if self.hashes[at] == EMPTY {
                return (at, false);
            }
            at = next(at);
        }
    }

    /// A key as good as new among those that a search for `hash` passes before it ends at `end`.
    fn idle_before(&self, end: usize, hash: u64, now: Instant) -> Option<usize> {
        let mut at = home(hash);
        while at != end {
            if self.states[at].is_idle(now) {
                return Some(at);
            }
            at = next(at);
        }
        None
    }

    /// A key as good as new, looked for from `start` on: where the last one was found there may be fewer.
    fn idle_from(&mut self, start: usize, now: Instant) -> Option<usize> {
        if now < self.none_idle_before {
            return None;
        }
        let mut all = (0..SLOTS).map(|step| (start + step) % SLOTS);
        let idle = all.find(|at| self.hashes[*at] != EMPTY && self.states[*at].is_idle(now));
        if idle.is_none() {
            self.none_idle_before = self.occupied().map(|(_, state)| state.idle_at()).min().unwrap_or(Instant::MAX);
        }
        idle
    }

    fn occupied(&self) -> impl Iterator<Item = (usize, &Gcra)> {
        self.states.iter().enumerate().filter(|(at, _)| self.hashes[*at] != EMPTY)
    }

    /// Empties the place `gap`, and moves up what has been put behind it for want of it, so that no search
    /// for those ends here.
    fn vacate(&mut self, mut gap: usize) {
        let mut at = next(gap);
        while self.hashes[at] != EMPTY {
            if steps(home(self.hashes[at]), at) >= steps(gap, at) {
                self.hashes[gap] = self.hashes[at];
                self.states[gap] = self.states[at];
                gap = at;
            }
            at = next(at);
        }
        self.hashes[gap] = EMPTY;
    }

    fn invariants(&self) {
        debug_assert!(self.keys <= self.room && self.room < SLOTS);
        #[cfg(test)]
        {
            assert_eq!(self.occupied().count(), self.keys);
            for (at, state) in self.occupied() {
                assert_eq!(self.find(self.hashes[at]), (at, true), "every key is found");
                assert!(state.idle_at() >= self.none_idle_before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daur_core::reliability::limiter::{Config, Quota};
    use daur_core::rng::Rng;
    use daur_core::time::Duration;
    use std::collections::HashMap;

    const QUOTA: Quota = Quota::new(Config { rate: 1, period: Duration::from_secs(1), burst: 3 });

    fn check(table: &mut Table, hash: u64, now: Instant) -> Result<(), Refused> {
        table.pass(hash, now, OnFull::Refuse, |state, now| state.check(&QUOTA, now))
    }

    /// Few homes, so that runs are long and wrap around, and many removals: the table against a map that
    /// forgets what the table forgets, if it may.
    #[test]
    fn the_table_answers_as_a_map_does() {
        let mut full = 0;
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut table = Table::new(20);
            let mut map: HashMap<u64, Gcra> = HashMap::new();
            let mut now = Instant::from_secs(10);
            for _ in 0..5_000 {
                now = match rng.at_most(10) {
                    0 => now - Duration::from_millis(rng.at_most(3_000)),
                    _ => now + Duration::from_millis(rng.at_most(100)),
                };
                let hash = (rng.at_most(15) << 8) + 120 + rng.at_most(12);
                if rng.at_most(30) == 0 {
                    table.remove(hash);
                    map.remove(&hash);
                    continue;
                }
                let answer = check(&mut table, hash, now);
                if let Err(Refused::Full { retry_at }) = answer {
                    assert!(!map.contains_key(&hash) && retry_at > now);
                    assert_eq!(map.values().filter(|state| !state.is_idle(now)).count(), 20);
                    full += 1;
                    continue;
                }
                assert_eq!(answer, map.entry(hash).or_default().check(&QUOTA, now).map_err(Refused::from));
                // What the table has forgotten must have been idle.
                map.retain(|hash, state| match table.get(*hash) {
                    Some(kept) => kept == *state,
                    None => {
                        assert!(state.is_idle(now));
                        false
                    }
                });
                assert_eq!(map.len(), table.keys);
            }
        }
        assert!(full > 100, "{full}: the test must see full tables");
    }

    #[test]
    fn the_hash_zero_is_a_key_like_others() {
        let mut table = Table::new(4);
        let now = Instant::from_secs(1);
        for _ in 0..3 {
            assert_eq!(check(&mut table, 0, now), Ok(()));
        }
        assert!(check(&mut table, 0, now).is_err());
        table.remove(0);
        assert_eq!(table.keys, 0);
    }
}
