//! A value that is made when it is not there.

use core::convert::Infallible;
use core::hash::{BuildHasher, Hash};

use super::{Cache, Entry, Load, Note, Policy};
use crate::time::Instant;

/// Says where a value came from that was asked for and made if need be.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, K, V> {
    /// It was there.
    Hit(&'a mut V),
    /// It was made, and keeping it put this entry aside.
    Made(&'a mut V, Option<(K, V)>),
    /// It was made and cannot be kept: the cache is shrunk to nothing.
    Refused(K, V),
}

impl<K, V> Found<'_, K, V> {
    /// The value, wherever it is.
    #[must_use]
    pub fn value(&mut self) -> &mut V {
        match self {
            Self::Hit(value) | Self::Made(value, _) => value,
            Self::Refused(_, value) => value,
        }
    }
}

impl<K: Hash + Eq, V, const N: usize, P: Policy, S: BuildHasher, T: Note> Cache<K, V, N, P, S, T> {
    /// The value of `key`; if there is none, what `make` makes, which is kept for the config's ttl.
    ///
    /// The key is hashed once. A `make` that panics leaves the cache as it was, but for the miss. For a value whose
    /// making takes time, on a host, the shared cache of `daur-std` makes it outside of the lock and once.
    pub fn get_or_insert_with(&mut self, key: K, now: Instant, make: impl FnOnce(&K) -> V) -> Found<'_, K, V> {
        let Ok(found) = self.try_get_or_insert_with(key, now, |key| Ok::<_, Infallible>(make(key)));
        found
    }

    /// The value of `key`; if there is none, what `make` makes, which is kept for the config's ttl.
    ///
    /// # Errors
    /// That of `make`: then nothing is kept.
    pub fn try_get_or_insert_with<E>(
        &mut self,
        key: K,
        now: Instant,
        make: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<Found<'_, K, V>, E> {
        let hash = self.hash(&key);
        if let Some(index) = self.look_up(hash, &key, now) {
            return match self.hit(index, now) {
                Some(value) => Ok(Found::Hit(value)),
                None => make(&key).map(|value| Found::Refused(key, value)),
            };
        }
        let value = make(&key)?;
        let Some(index) = self.admit() else {
            self.counts.refused += 1;
            return Ok(Found::Refused(key, value));
        };
        let note = self.note(self.ttl.nanos(), now);
        let Some(place) = self.entries.get_mut(index) else { return Ok(Found::Refused(key, value)) };
        self.table.place(hash, index);
        self.counts.inserted += 1;
        let aside = place.take();
        let weight = aside.as_ref().map_or(0, |old| T::weight(old.note));
        self.load.change(T::weight(note), weight);
        let entry = place.insert(Entry { key, value, note });
        Ok(Found::Made(&mut entry.value, aside.map(|old| (old.key, old.value))))
    }
}
