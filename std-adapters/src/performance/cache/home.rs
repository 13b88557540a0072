//! One key of a cache, as its flights see it.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use daur_core::performance::cache::Policy;
use daur_core::time::{Clock, Duration};

use super::flight::{Flight, Home, Step};
use super::sync::Arc;
use super::{Look, SharedCache};

pub(super) struct Desk<'a, K, V, P: Policy, S, C, Q: ?Sized> {
    pub(super) cache: &'a SharedCache<K, V, P, S, C>,
    pub(super) hash: u64,
    pub(super) key: &'a Q,
}

impl<K, V, P, S, C, Q> Desk<'_, K, V, P, S, C, Q>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    P: Policy,
    S: BuildHasher,
    C: Clock,
    Q: Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Boards with the lock alone.
    fn board_alone(&self) -> Step<V> {
        // Out here, so that it is dropped without the lock even if the key's `Clone` or `Eq` panics; so it is below.
        let mut gone = None;
        self.cache.with(self.hash, |shard, hash, now| {
            gone = match shard.get(hash, self.key, now, self.cache.room()) {
                Ok(value) => {
                    let value = value.clone();
                    let Some(ahead) = self.cache.config.refresh_ahead else { return Step::Hit(value) };
                    let lasts = shard.contains(hash, self.key, now + ahead);
                    if lasts || shard.flight(hash, self.key).is_some() {
                        return Step::Hit(value);
                    }
                    let flight = Flight::led();
                    shard.list(hash, self.key.to_owned(), &flight);
                    return Step::Renew(value, flight);
                }
                Err(expired) => expired,
            };
            if let Some(flight) = shard.flight(hash, self.key) {
                return Step::Join(Arc::clone(flight));
            }
            let flight = Flight::led();
            shard.list(hash, self.key.to_owned(), &flight);
            Step::Lead(flight)
        })
    }
}

impl<K, V, P, S, C, Q> Home for Desk<'_, K, V, P, S, C, Q>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    P: Policy,
    S: BuildHasher,
    C: Clock,
    Q: Eq + ToOwned<Owned = K> + ?Sized,
{
    type Value = V;

    #[inline]
    fn board(&self) -> Step<V> {
        let ahead = self.cache.config.refresh_ahead.unwrap_or(Duration::ZERO);
        match self.cache.look(self.hash, self.key, ahead) {
            Look::Hit(value) => Step::Hit(value),
            Look::Nothing | Look::Unclear => self.board_alone(),
        }
    }

    fn resume(&self, flight: &Arc<Flight<V>>) -> Option<V> {
        let (mut gone, mut key) = (None, None);
        self.cache.with(self.hash, |shard, hash, now| match shard.get(hash, self.key, now, self.cache.room()) {
            Ok(value) => {
                let value = value.clone();
                key = shard.unlist(hash, flight);
                Some(value)
            }
            Err(expired) => {
                gone = expired;
                if shard.flight(hash, self.key).is_none() {
                    shard.list(hash, self.key.to_owned(), flight);
                }
                None
            }
        })
    }

    fn land(&self, flight: &Arc<Flight<V>>, value: V) {
        self.cache.land(self.hash, flight, value);
    }

    fn leave(&self, flight: Arc<Flight<V>>) {
        let mut flight = Some(flight);
        let _key = self.cache.with(self.hash, |shard, hash, _| {
            let own = flight.as_ref()?;
            if !shard.is_listed(hash, own) {
                return None; // it may be over, with an answer whose drop is the caller's: not under the lock
            }
            if Arc::strong_count(own) == 2 {
                return shard.unlist(hash, own);
            }
            // Let go under the lock, so that of two who leave at once the second counts right.
            flight = None;
            None
        });
    }
}
