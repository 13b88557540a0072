//! What one lock guards: a part of the entries, and the flights of its keys.
//!
//! The order, the times and the counts are a cache of `daur-core`, which keeps numbers of places instead of keys and
//! values; these lie in the places. So the core cache is of one small type whatever the keys and values are, a shard
//! takes memory for values as they come, and what the core cache drops is never the caller's: the caller's values are
//! handed out of the shard and dropped when the lock is free.

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use daur_core::performance::cache::{Cache, Config, ConfigError, Idle, Inserted, Lru, Policy, Snapshot};
use daur_core::time::{Duration, Instant};

use super::flight::Flight;
use super::sync::Arc;

/// Entries that a shard has room for, whatever its share of the whole is.
pub(super) const PLACES: usize = 256;

/// Places that a shard has at most: what comes in lies there before what it pushes out has left.
const MOST: usize = PLACES + 1;

/// Whether a shard can keep to the times of a config.
pub(super) const fn suits(config: &Config) -> Result<(), ConfigError> {
    Order::<Lru<u8>>::suits(config)
}

/// The entries that all shards together have and may have.
pub(super) struct Room {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Room {
    pub(super) const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Release);
    }

    pub(super) fn is_full(&self) -> bool {
        self.used() >= self.limit()
    }

    /// How many must leave before the limit is kept again.
    pub(super) fn excess(&self) -> usize {
        self.used().saturating_sub(self.limit())
    }

    /// Room for one more, if there is any.
    pub(super) fn take(&self) -> Option<Spare<'_>> {
        // Once it is full, which is the rule, nothing is written that other threads would have to fetch again.
        if self.is_full() {
            return None;
        }
        let more = |used| (used < self.limit()).then_some(used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok().then(|| self.left_by_one())
    }

    /// The room of an entry that has left and is still counted.
    pub(super) const fn left_by_one(&self) -> Spare<'_> {
        Spare(Some(self))
    }

    pub(super) fn give_back(&self, entries: usize) {
        self.used.fetch_sub(entries, Ordering::AcqRel);
    }
}

/// Room for one entry, counted as used: given back unless one moves in.
pub(super) struct Spare<'r>(Option<&'r Room>);

impl Spare<'_> {
    /// An entry has moved in.
    fn fill(mut self) {
        self.0 = None;
    }

    /// Whether the limit is kept with it.
    fn is_within(&self) -> bool {
        self.0.is_none_or(|room| room.excess() == 0)
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        if let Some(room) = self.0 {
            room.give_back(1);
        }
    }
}

/// What the core cache takes for a key: its hash, and where it lies, which changes when the places move together.
pub(super) struct Slot {
    hash: u32,
    /// Written by who has the shard alone.
    place: AtomicU32,
}

impl Slot {
    const fn new(hash: u32, place: u32) -> Self {
        Self { hash, place: AtomicU32::new(place) }
    }

    #[inline]
    fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }
}

impl PartialEq for Slot {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        (self.hash, self.place()) == (other.hash, other.place())
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.hash);
    }
}

/// What slots are looked up by: a key of the caller's beside the places.
trait Sought {
    fn hash(&self) -> u32;
    fn is_at(&self, slot: &Slot) -> bool;
    /// What a slot itself is.
    fn slot(&self) -> Option<&Slot>;
}

impl Sought for Slot {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    fn is_at(&self, slot: &Slot) -> bool {
        self == slot
    }

    #[inline]
    fn slot(&self) -> Option<&Slot> {
        Some(self)
    }
}

struct Probe<'a, K, V, Q: ?Sized> {
    hash: u32,
    key: &'a Q,
    places: &'a [Place<K, V>],
    /// Where it was found, even if the core cache says that the entry there is over.
    found: Cell<Option<u32>>,
}

impl<K: Borrow<Q>, V, Q: Eq + ?Sized> Sought for Probe<'_, K, V, Q> {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    fn is_at(&self, slot: &Slot) -> bool {
        let is_it = slot.hash == self.hash
            && matches!(self.places.get(slot.place() as usize), Some(Place::Taken(key, _)) if key.borrow() == self.key);
        if is_it {
            self.found.set(Some(slot.place()));
        }
        is_it
    }

    #[inline]
    fn slot(&self) -> Option<&Slot> {
        None
    }
}

impl<'a> Borrow<dyn Sought + 'a> for Slot {
    #[inline]
    fn borrow(&self) -> &(dyn Sought + 'a) {
        self
    }
}

impl Hash for dyn Sought + '_ {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.hash());
    }
}

impl PartialEq for dyn Sought + '_ {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self.slot(), other.slot()) {
            (Some(slot), _) => other.is_at(slot),
            (None, Some(slot)) => self.is_at(slot),
            (None, None) => false,
        }
    }
}

impl Eq for dyn Sought + '_ {}

/// Hands the hash on that the slot brings along.
#[derive(Clone, Copy)]
struct Brought(u32);

impl BuildHasher for Brought {
    type Hasher = Self;

    #[inline]
    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Brought {
    #[inline]
    fn write_u32(&mut self, hash: u32) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {}

    #[inline]
    fn finish(&self) -> u64 {
        u64::from(self.0)
    }
}

enum Place<K, V> {
    Taken(K, V),
    /// With the next free one.
    Free(Option<u32>),
}

/// A flight that others can find.
struct Listed<K, V> {
    key: K,
    flight: Arc<Flight<V>>,
}

/// An entry that has left, to be dropped when the lock is free.
pub(super) type Gone<K, V> = Option<(K, V)>;

/// What became of an insertion.
pub(super) enum Put<K, V> {
    /// Nothing was put aside but what had expired.
    Added(Gone<K, V>),
    /// The former value of the key, and the new key, which is the same.
    Replaced(K, V),
    Evicted(K, V),
    /// The whole is full and this shard has nothing to evict: room is to be made elsewhere.
    NoRoom(K, V),
    /// There was no entry.
    Nothing,
}

/// All that a shard held.
pub(super) struct Contents<K, V> {
    _places: Vec<Place<K, V>>,
    _flights: BTreeMap<(u32, u64), Listed<K, V>>,
}

/// Notes idle times too; one that has none is renewed for nothing, which costs less than to ask.
type Order<P> = Cache<Slot, (), PLACES, P, Brought, Idle>;

pub(super) struct Shard<K, V, P: Policy> {
    order: Order<P>,
    places: Vec<Place<K, V>>,
    free: Option<u32>,
    /// By the key's hash and a number of its own.
    flights: BTreeMap<(u32, u64), Listed<K, V>>,
    flight: u64,
    /// Insertions that no shard had room for.
    refused: u64,
}

impl<K, V, P: Policy> Shard<K, V, P> {
    /// Whether a use may change nothing but the count.
    pub(super) const MARKS: bool = Order::<P>::MARKS;

    pub(super) fn new(config: Config) -> Self {
        Self {
            order: Cache::with_hasher(config, Brought(0)),
            places: Vec::new(),
            free: None,
            flights: BTreeMap::new(),
            flight: 0,
            refused: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no place left, whatever the whole has room for.
    pub(super) const fn is_full(&self) -> bool {
        self.len() >= PLACES
    }

    pub(super) const fn poll_at(&self) -> Option<Instant> {
        self.order.poll_at()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let snapshot = self.order.snapshot();
        Snapshot { refused: snapshot.refused + self.refused, ..snapshot }
    }

    /// Whether one more use of the entry at this place of the order would change nothing.
    #[inline]
    pub(super) fn is_used_at(&self, place: u8) -> bool {
        self.order.is_used_at(place.into())
    }

    /// Counts a use of the entry at this place of the order.
    #[inline]
    pub(super) fn use_at(&mut self, place: u8, now: Instant) {
        self.order.use_at(place.into(), now);
    }

    pub(super) const fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Places that there is memory for.
    #[cfg(all(test, not(daur_loom)))]
    pub(super) const fn places(&self) -> usize {
        self.places.capacity()
    }

    pub(super) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Bytes of the entries themselves, without what they own.
    pub(super) const fn entry_bytes() -> u64 {
        size_of::<Place<K, V>>() as u64
    }

    fn occupy(&mut self, key: K, value: V) -> u32 {
        let taken = Place::Taken(key, value);
        if let Some(at) = self.free
            && let Some(place) = self.places.get_mut(at as usize)
        {
            if let Place::Free(next) = mem::replace(place, taken) {
                self.free = next;
            }
            return at;
        }
        if self.places.len() == self.places.capacity() {
            // In steps of an eighth, since most shards stop short of their last place.
            let more = (self.places.len() / 8).max(8).min(MOST.saturating_sub(self.places.len())).max(1);
            self.places.reserve_exact(more);
        }
        self.places.push(taken);
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    fn vacate(&mut self, at: u32) -> Gone<K, V> {
        let place = self.places.get_mut(at as usize)?;
        match mem::replace(place, Place::Free(self.free)) {
            Place::Taken(key, value) => {
                self.free = Some(at);
                Some((key, value))
            }
            free @ Place::Free(_) => {
                *place = free;
                None
            }
        }
    }

    /// Removes the entry that the policy would evict.
    pub(super) fn pop(&mut self) -> Gone<K, V> {
        let (slot, ()) = self.order.pop()?;
        self.vacate(slot.place())
    }

    /// Removes what has expired and puts it to `gone`; costs nothing before the core cache's `poll_at`.
    pub(super) fn sweep(&mut self, now: Instant, room: &Room, gone: &mut Vec<(K, V)>) -> usize {
        if self.poll_at().is_none_or(|at| now < at) {
            return 0;
        }
        let before = self.len();
        self.order.poll(now);
        let left = before - self.len();
        if left == 0 {
            return 0;
        }
        // Nothing that has expired is left, so all that is left can be listed.
        let mut kept = [false; MOST];
        for (slot, ()) in self.order.iter(now) {
            if let Some(kept) = kept.get_mut(slot.place() as usize) {
                *kept = true;
            }
        }
        let last = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        gone.extend((0..last).zip(kept).filter(|(_, kept)| !kept).filter_map(|(at, _)| self.vacate(at)));
        room.give_back(left);
        left
    }

    /// Calls `f` with each entry that has not expired, the last used first.
    pub(super) fn for_each(&self, now: Instant, mut f: impl FnMut(&K, &V)) {
        for (slot, ()) in self.order.iter(now) {
            if let Some(Place::Taken(key, value)) = self.places.get(slot.place() as usize) {
                f(key, value);
            }
        }
    }

    /// Removes the entries that `keep` does not want. If it panics, none of them.
    pub(super) fn retain(&mut self, now: Instant, room: &Room, mut keep: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        let unwanted = |&(slot, ()): &(&Slot, &())| match self.places.get(slot.place() as usize) {
            Some(Place::Taken(key, value)) => !keep(key, value),
            _ => false,
        };
        let unwanted: Vec<Slot> =
            self.order.iter(now).filter(unwanted).map(|(slot, ())| Slot::new(slot.hash, slot.place())).collect();
        let mut gone = Vec::with_capacity(unwanted.len());
        for slot in unwanted {
            if self.order.remove(&slot, now).is_some() {
                room.give_back(1);
            }
            gone.extend(self.vacate(slot.place()));
        }
        gone
    }

    /// Forgets all entries and all flights.
    pub(super) fn clear(&mut self, room: &Room) -> Contents<K, V> {
        let entries = self.len();
        self.order.clear();
        self.free = None;
        room.give_back(entries);
        Contents { _places: mem::take(&mut self.places), _flights: mem::take(&mut self.flights) }
    }

    /// Moves the entries together and gives the other places' memory back. What has expired must have been swept.
    pub(super) fn trim(&mut self, now: Instant) {
        if self.order.iter(now).count() != self.len() {
            return;
        }
        let mut places = Vec::with_capacity(self.len());
        for (slot, ()) in self.order.iter(now) {
            if let Some(place) = self.places.get_mut(slot.place() as usize) {
                slot.place.store(u32::try_from(places.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
                places.push(mem::replace(place, Place::Free(None)));
            }
        }
        (self.places, self.free) = (places, None);
    }
}

impl<K: Eq, V, P: Policy> Shard<K, V, P> {
    /// The value of the key; if it has just been found expired, the entry to drop.
    #[inline]
    pub(super) fn get<Q>(&mut self, hash: u32, key: &Q, now: Instant, room: &Room) -> Result<&V, Gone<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let probe = Probe { hash, key, places: &self.places, found: Cell::new(None) };
        let hit = self.order.get::<dyn Sought + '_>(&probe, now).is_some();
        let Some(at) = probe.found.get() else { return Err(None) };
        if hit {
            return match self.places.get(at as usize) {
                Some(Place::Taken(_, value)) => Ok(value),
                _ => Err(None),
            };
        }
        room.give_back(1);
        Err(self.vacate(at))
    }

    /// The value of the key, and its place in the order; else whether there is one that is over at a moment, if any can be.
    #[inline]
    pub(super) fn locate<Q>(&self, hash: u32, key: &Q, at: Option<Instant>) -> Result<(u8, &V), bool>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let places = &self.places[..];
        let value = move |slot: &Slot, (): &()| match places.get(slot.place() as usize) {
            Some(Place::Taken(own, value)) if slot.hash == hash && own.borrow() == key => Some(value),
            _ => None,
        };
        match self.order.locate(hash.into(), value) {
            None => Err(false),
            Some((place, _)) if at.is_some_and(|at| self.order.is_over_at(place, at)) => Err(true),
            #[expect(clippy::cast_possible_truncation, reason = "there are 256")]
            Some((place, value)) => Ok((place as u8, value)),
        }
    }

    /// Whether the key will be found at a moment, without a trace; and where it lies, expired or not.
    #[inline]
    fn peek<Q>(&self, hash: u32, key: &Q, at: Instant) -> (bool, Option<u32>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let probe = Probe { hash, key, places: &self.places, found: Cell::new(None) };
        let is_there = self.order.contains::<dyn Sought + '_>(&probe, at);
        (is_there, probe.found.get())
    }

    pub(super) fn contains<Q>(&self, hash: u32, key: &Q, at: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.peek(hash, key, at).0
    }

    /// Whether the entry was there and had not expired, and the entry.
    pub(super) fn remove<Q>(&mut self, hash: u32, key: &Q, now: Instant, room: &Room) -> (bool, Gone<K, V>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let probe = Probe { hash, key, places: &self.places, found: Cell::new(None) };
        let was_there = self.order.remove::<dyn Sought + '_>(&probe, now).is_some();
        let Some(at) = probe.found.get() else { return (false, None) };
        room.give_back(1);
        (was_there, self.vacate(at))
    }

    /// Keeps `value` under `key` for `ttl`, or for the config's, in the room that the caller has found, if there is any.
    pub(super) fn put(
        &mut self,
        hash: u32,
        entry: &mut Option<(K, V)>,
        ttl: Option<Duration>,
        now: Instant,
        room: &Room,
        spare: &mut Option<Spare<'_>>,
    ) -> Put<K, V> {
        let (was_there, at) = entry.as_ref().map_or((false, None), |(key, _)| self.peek(hash, key, now));
        let Some((key, value)) = entry.take() else { return Put::Nothing };
        if let Some(place) = at
            && let Some(Place::Taken(_, former)) = self.places.get_mut(place as usize)
        {
            let former = mem::replace(former, value);
            self.order_insert(Slot::new(hash, place), ttl, now);
            return if was_there { Put::Replaced(key, former) } else { Put::Added(Some((key, former))) };
        }
        // What was found before the limit was lowered is given back.
        let spare = spare.take().filter(Spare::is_within).or_else(|| room.take());
        if spare.is_none() && self.order.is_empty() {
            return Put::NoRoom(key, value);
        }
        // Without room the core cache is as full as it is, and evicts by its policy.
        self.order.resize_soft(if spare.is_some() { PLACES } else { self.order.len() });
        let place = self.occupy(key, value);
        match self.order_insert(Slot::new(hash, place), ttl, now) {
            Inserted::Evicted(slot, ()) => {
                self.vacate(slot.place()).map_or(Put::Added(None), |(key, value)| Put::Evicted(key, value))
            }
            _ => {
                spare.into_iter().for_each(Spare::fill);
                Put::Added(None)
            }
        }
    }

    #[inline]
    fn order_insert(&mut self, slot: Slot, ttl: Option<Duration>, now: Instant) -> Inserted<Slot, ()> {
        match ttl {
            Some(ttl) => self.order.insert_with_ttl(slot, (), ttl, now),
            None => self.order.insert(slot, (), now),
        }
    }

    /// The flight of the key.
    pub(super) fn flight<Q>(&self, hash: u32, key: &Q) -> Option<&Arc<Flight<V>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut listed = self.flights.range((hash, 0)..=(hash, u64::MAX));
        listed.find(|(_, listed)| listed.key.borrow() == key).map(|(_, listed)| &listed.flight)
    }

    pub(super) fn list(&mut self, hash: u32, key: K, flight: &Arc<Flight<V>>) {
        self.flight += 1;
        self.flights.insert((hash, self.flight), Listed { key, flight: Arc::clone(flight) });
    }

    pub(super) fn is_listed(&self, hash: u32, flight: &Arc<Flight<V>>) -> bool {
        self.number(hash, flight).is_some()
    }

    fn number(&self, hash: u32, flight: &Arc<Flight<V>>) -> Option<u64> {
        let mut listed = self.flights.range((hash, 0)..=(hash, u64::MAX));
        listed.find(|(_, listed)| Arc::ptr_eq(&listed.flight, flight)).map(|(&(_, number), _)| number)
    }

    /// Lists this flight no longer; gives its key back. The caller has another handle to it.
    pub(super) fn unlist(&mut self, hash: u32, flight: &Arc<Flight<V>>) -> Option<K> {
        let number = self.number(hash, flight)?;
        self.flights.remove(&(hash, number)).map(|listed| listed.key)
    }

    /// Lists the key's flight no longer: its answer will not be kept. What is returned is to be dropped.
    #[inline]
    pub(super) fn detach<Q>(&mut self, hash: u32, key: &Q) -> Option<(Arc<Flight<V>>, Option<K>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.flights.is_empty() {
            return None;
        }
        let flight = Arc::clone(self.flight(hash, key)?);
        let key = self.unlist(hash, &flight);
        Some((flight, key))
    }
}
