//! One computation for all who ask for the same key at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The computations under way. `L` is the lock that followers wait on: it holds the leader's result.
pub(super) struct Flights<L> {
    keys: Mutex<HashMap<Vec<u8>, Arc<L>>>,
}

impl<L> Default for Flights<L> {
    fn default() -> Self {
        Self { keys: Mutex::default() }
    }
}

impl<L: Default> Flights<L> {
    /// Joins the computation of `key`, or begins one.
    pub(super) fn join(&self, key: &[u8]) -> Ticket<'_, L> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = match keys.get(key) {
            Some(flight) => Arc::clone(flight),
            None => Arc::clone(keys.entry(key.to_vec()).or_default()),
        };
        Ticket { flights: self, key: key.to_vec(), flight: Some(flight) }
    }
}

/// A seat in a computation. Dropping the last one forgets the computation.
pub(super) struct Ticket<'a, L> {
    flights: &'a Flights<L>,
    key: Vec<u8>,
    /// `Some` until dropped.
    flight: Option<Arc<L>>,
}

impl<L> Ticket<'_, L> {
    /// The lock that the leader holds and the followers wait on.
    pub(super) fn lock(&self) -> Option<&L> {
        self.flight.as_deref()
    }

    fn is_listed(&self, keys: &HashMap<Vec<u8>, Arc<L>>) -> bool {
        let flights = (keys.get(&self.key), &self.flight);
        matches!(flights, (Some(listed), Some(own)) if Arc::ptr_eq(listed, own))
    }

    /// Lets nobody join any more: who comes later asks the cache first.
    pub(super) fn close(&self) {
        let mut keys = self.flights.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_listed(&keys) {
            keys.remove(&self.key);
        }
    }
}

impl<L> Drop for Ticket<'_, L> {
    fn drop(&mut self) {
        let mut keys = self.flights.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = self.is_listed(&keys);
        // Left while the map is held, so that of two who leave at once the second counts right.
        self.flight = None;
        if listed && keys.get(&self.key).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            keys.remove(&self.key);
        }
    }
}
