//! A naive cache beside the real one: every verb, both policies, every kind of note, colliding keys, time that steps
//! both ways.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use daur_core::performance::cache::{
    Cache, Coarse, Config, Exact, Fast, Found, Idle, Inserted, Keyed, Lru, Note, Policy, Sieve, Snapshot, Weighted,
};
use daur_core::rng::Rng;
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

use super::{Colliding, adds_up};

const KEYS: u16 = 40;
/// As long as all times are far below it, nothing is cut.
const FOREVER: u64 = u64::MAX;

/// A value that tells whether the cache still has it.
type Value = Rc<u32>;

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Lru,
    Sieve,
}

struct Entry {
    key: u16,
    value: Value,
    weight: u32,
    due: u64,
    end: u64,
    visited: bool,
}

/// What a cache is, written down without a thought for speed: the oldest first.
struct Model {
    order: Order,
    /// Moments are rounded up to it, and the clock down.
    tick: u64,
    ttl: u64,
    idle: u64,
    entries: Vec<Entry>,
    /// Where the paper's hand is; none for the tail.
    hand: Option<usize>,
    capacity: usize,
    max_weight: u64,
    weighs: bool,
    counts: Snapshot,
}

impl Model {
    fn place(&self, key: u16) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn is_over(&self, entry: &Entry, now: u64) -> bool {
        entry.due != FOREVER && entry.due.div_ceil(self.tick) <= now / self.tick
    }

    fn weight(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.weight)).sum()
    }

    fn times(&self, ttl: u64, now: u64) -> (u64, u64) {
        let end = now.saturating_add(ttl);
        (end.min(now.saturating_add(self.idle)), end)
    }

    /// The paper's eviction, but that its loop ends after so many steps; then the newest goes if it is unused.
    fn victim(&mut self) -> usize {
        if self.order == Order::Lru {
            return 0;
        }
        let mut at = self.hand.unwrap_or(0);
        for _ in 0..Sieve::<u8>::STEPS {
            self.hand = Some(at);
            if !self.entries[at].visited {
                return at;
            }
            self.entries[at].visited = false;
            at = (at + 1) % self.entries.len();
        }
        self.hand = Some(at);
        let newest = self.entries.len() - 1;
        if self.entries[at].visited && !self.entries[newest].visited {
            return newest;
        }
        self.entries[at].visited = false;
        at
    }

    fn out(&mut self, at: usize) -> Entry {
        let entry = self.entries.remove(at);
        self.hand = match self.hand {
            Some(hand) if at < hand => Some(hand - 1),
            Some(hand) if hand == at && at == self.entries.len() => None,
            hand => hand,
        };
        entry
    }

    fn evict(&mut self, but: Option<u16>) -> (u16, Value) {
        let mut at = self.victim();
        while Some(self.entries[at].key) == but {
            if self.hand == Some(at) {
                self.hand = if at + 1 == self.entries.len() { None } else { Some(at + 1) };
            } else {
                self.entries[at].visited = true;
            }
            at = self.victim();
        }
        let entry = self.out(at);
        self.counts.evicted += 1;
        (entry.key, entry.value)
    }

    fn used(&mut self, at: usize) -> usize {
        match self.order {
            Order::Sieve => {
                self.entries[at].visited = true;
                at
            }
            Order::Lru => {
                let entry = self.entries.remove(at);
                self.entries.push(entry);
                self.entries.len() - 1
            }
        }
    }

    fn insert(
        &mut self,
        key: u16,
        value: &Value,
        weight: u32,
        ttl: u64,
        now: u64,
    ) -> (Inserted<u16, Value>, Vec<(u16, Value)>) {
        let mut aside = Vec::new();
        let there = self.place(key);
        if self.capacity == 0 || u64::from(weight) > self.max_weight {
            if let Some(at) = there {
                let old = self.out(at);
                self.counts.removed += 1;
                aside.push((old.key, old.value));
            }
            self.counts.refused += 1;
            return (Inserted::Refused(key, value.clone()), aside);
        }
        let (due, end) = self.times(ttl, now);
        if let Some(at) = there {
            let at = self.used(at);
            let old = u64::from(self.entries[at].weight);
            while self.weight() - old + u64::from(weight) > self.max_weight {
                aside.push(self.evict(Some(key)));
            }
            let at = self.place(key).unwrap();
            let was_over = self.is_over(&self.entries[at], now);
            let Entry { visited, .. } = self.entries[at];
            let new = Entry { key, value: value.clone(), weight, due, end, visited };
            let old = std::mem::replace(&mut self.entries[at], new);
            if was_over {
                self.counts.expired += 1;
                self.counts.inserted += 1;
                return (Inserted::Added, aside);
            }
            self.counts.updated += 1;
            return (Inserted::Replaced(old.value), aside);
        }
        while self.entries.len() >= self.capacity || self.weight() + u64::from(weight) > self.max_weight {
            aside.push(self.evict(None));
        }
        self.entries.push(Entry { key, value: value.clone(), weight, due, end, visited: false });
        self.counts.inserted += 1;
        (Inserted::Added, aside)
    }

    fn get(&mut self, key: u16, now: u64) -> Option<Value> {
        let Some(at) = self.place(key) else {
            self.counts.misses += 1;
            return None;
        };
        if self.is_over(&self.entries[at], now) {
            self.out(at);
            self.counts.expired += 1;
            self.counts.misses += 1;
            return None;
        }
        let at = self.used(at);
        let idle_end = now.saturating_add(self.idle);
        let entry = &mut self.entries[at];
        entry.due = entry.due.max(entry.end.min(idle_end));
        self.counts.hits += 1;
        Some(self.entries[at].value.clone())
    }

    fn remove(&mut self, key: u16, now: u64) -> Option<Value> {
        let at = self.place(key)?;
        let entry = self.out(at);
        if self.is_over(&entry, now) {
            self.counts.expired += 1;
            return None;
        }
        self.counts.removed += 1;
        Some(entry.value)
    }

    fn shrink(&mut self) -> usize {
        let before = self.entries.len();
        while self.entries.len() > self.capacity || self.weight() > self.max_weight {
            self.evict(None);
        }
        before - self.entries.len()
    }

    /// Lets go those that the cache has let go: it may do so with any that have expired.
    fn follow(&mut self, now: u64) -> bool {
        let mut only_expired = true;
        while let Some(at) = self.entries.iter().position(|entry| Rc::strong_count(&entry.value) == 1) {
            let entry = self.out(at);
            only_expired &= self.is_over(&entry, now);
            self.counts.expired += 1;
        }
        only_expired
    }

    fn snapshot(&self) -> Snapshot {
        let (len, capacity) = (self.entries.len() as u32, self.capacity as u32);
        let (weight, max_weight) =
            if self.weighs { (self.weight(), self.max_weight) } else { (len.into(), capacity.into()) };
        Snapshot { len, capacity, weight, max_weight, ..self.counts }
    }
}

#[derive(Clone, Debug)]
enum Verb {
    Insert(u16),
    InsertFor(u16, u64),
    InsertWeighted(u16, u32),
    Get(u16),
    GetMut(u16),
    GetOrInsert(u16),
    TryGetOrInsert(u16),
    Remove(u16),
    Pop,
    Poll,
    Sweep(usize),
    Resize(usize),
    Limit(u64),
    Retain(u16),
    Clear,
    Pass(i64),
}

fn verb() -> impl Strategy<Value = Verb> {
    let key = 0..KEYS;
    prop_oneof![
        8 => key.clone().prop_map(Verb::Insert),
        4 => (key.clone(), 0..60_u64).prop_map(|(key, ttl)| Verb::InsertFor(key, ttl)),
        6 => (key.clone(), 0..20_u32).prop_map(|(key, weight)| Verb::InsertWeighted(key, weight)),
        8 => key.clone().prop_map(Verb::Get),
        2 => key.clone().prop_map(Verb::GetMut),
        3 => key.clone().prop_map(Verb::GetOrInsert),
        1 => key.clone().prop_map(Verb::TryGetOrInsert),
        3 => key.clone().prop_map(Verb::Remove),
        1 => Just(Verb::Pop),
        1 => Just(Verb::Poll),
        2 => (0..40_usize).prop_map(Verb::Sweep),
        1 => (0..40_usize).prop_map(Verb::Resize),
        1 => (0..80_u64).prop_map(Verb::Limit),
        1 => (2..5_u16).prop_map(Verb::Retain),
        1 => (0..30_u8).prop_map(|n| if n == 0 { Verb::Clear } else { Verb::Pop }),
        6 => (-6..12_i64).prop_map(Verb::Pass),
    ]
}

/// What the policies are to the model.
trait Kind: Policy {
    const ORDER: Order;
}

impl Kind for Lru<u8> {
    const ORDER: Order = Order::Lru;
}

impl Kind for Sieve<u8> {
    const ORDER: Order = Order::Sieve;
}

impl Kind for Sieve<u16> {
    const ORDER: Order = Order::Sieve;
}

/// What the notes are to the model, and the verbs that only some caches have.
trait Sort: Note + Sized {
    const TICK: u64;
    const IDLE: bool;
    const WEIGHS: bool;

    fn insert<const N: usize, P: Policy, S: BuildHasher>(
        cache: &mut Cache<u16, Value, N, P, S, Self>,
        entry: (u16, Value, u32),
        now: Instant,
        aside: impl FnMut(u16, Value),
    ) -> Inserted<u16, Value>;

    fn limit<const N: usize, P: Policy, S: BuildHasher>(
        cache: &mut Cache<u16, Value, N, P, S, Self>,
        limit: u64,
    ) -> usize;
}

macro_rules! sort {
    ($note:ty, $tick:expr, $idle:expr) => {
        impl Sort for $note {
            const TICK: u64 = $tick;
            const IDLE: bool = $idle;
            const WEIGHS: bool = false;

            fn insert<const N: usize, P: Policy, S: BuildHasher>(
                cache: &mut Cache<u16, Value, N, P, S, Self>,
                (key, value, _): (u16, Value, u32),
                now: Instant,
                mut aside: impl FnMut(u16, Value),
            ) -> Inserted<u16, Value> {
                match cache.insert(key, value, now) {
                    Inserted::Evicted(key, value) => {
                        aside(key, value);
                        Inserted::Added
                    }
                    other => other,
                }
            }

            fn limit<const N: usize, P: Policy, S: BuildHasher>(
                _: &mut Cache<u16, Value, N, P, S, Self>,
                _: u64,
            ) -> usize {
                0
            }
        }

        impl Sort for Weighted<$note> {
            const TICK: u64 = $tick;
            const IDLE: bool = $idle;
            const WEIGHS: bool = true;

            fn insert<const N: usize, P: Policy, S: BuildHasher>(
                cache: &mut Cache<u16, Value, N, P, S, Self>,
                (key, value, weight): (u16, Value, u32),
                now: Instant,
                aside: impl FnMut(u16, Value),
            ) -> Inserted<u16, Value> {
                cache.insert_weighted(key, value, weight, now, aside)
            }

            fn limit<const N: usize, P: Policy, S: BuildHasher>(
                cache: &mut Cache<u16, Value, N, P, S, Self>,
                limit: u64,
            ) -> usize {
                cache.limit_weight(limit)
            }
        }
    };
}

sort!(Exact, 1, false);
sort!(Idle, 1, true);
sort!(Coarse<2>, 4, false);
sort!(Idle<Coarse<2>>, 4, true);
sort!(Coarse<1>, 2, false);
sort!(Idle<Coarse<1>>, 2, true);

/// Plain insertions hand out at most one entry.
fn plain(inserted: Inserted<u16, Value>, mut aside: Vec<(u16, Value)>) -> Inserted<u16, Value> {
    assert!(aside.len() <= 1);
    match aside.pop() {
        Some((key, value)) if inserted == Inserted::Added => Inserted::Evicted(key, value),
        _ => inserted,
    }
}

struct Both<const N: usize, P: Policy, S, T: Note> {
    cache: Cache<u16, Value, N, P, S, T>,
    model: Model,
    clock: u64,
    next: u32,
}

impl<const N: usize, P: Kind, S: BuildHasher, T: Sort> Both<N, P, S, T> {
    fn new(hasher: S, ttl: u64, idle: u64) -> Self {
        let idle = if T::IDLE { idle } else { FOREVER };
        let time = |nanos| (nanos != FOREVER).then_some(Duration::from_nanos(nanos));
        let config = Config { ttl: time(ttl), idle: time(idle) };
        let cache = Cache::with_hasher(config, hasher);
        let model = Model {
            order: P::ORDER,
            tick: T::TICK,
            ttl,
            idle,
            entries: Vec::new(),
            hand: None,
            capacity: N,
            max_weight: FOREVER,
            weighs: T::WEIGHS,
            counts: Snapshot::default(),
        };
        Self { cache, model, clock: 0, next: 0 }
    }

    fn value(&mut self) -> Value {
        self.next += 1;
        Rc::new(self.next)
    }

    fn step(&mut self, verb: &Verb) -> Result<(), TestCaseError> {
        let value = self.value();
        let (clock, now) = (self.clock, Instant::from_nanos(self.clock));
        let Self { cache, model, .. } = self;
        let ttl = model.ttl;
        match *verb {
            Verb::Insert(key) => {
                let (inserted, aside) = model.insert(key, &value, 1, ttl, clock);
                prop_assert_eq!(cache.insert(key, value, now), plain(inserted, aside));
            }
            Verb::InsertFor(key, ttl) => {
                let (inserted, aside) = model.insert(key, &value, 1, ttl, clock);
                let ttl = Duration::from_nanos(ttl);
                prop_assert_eq!(cache.insert_with_ttl(key, value, ttl, now), plain(inserted, aside));
            }
            Verb::InsertWeighted(key, weight) => {
                let weighs = if T::WEIGHS { weight.max(1) } else { 1 };
                let expected = model.insert(key, &value, weighs, ttl, clock);
                let mut aside = Vec::new();
                let inserted = T::insert(cache, (key, value, weight), now, |key, value| aside.push((key, value)));
                prop_assert_eq!((inserted, aside), expected);
            }
            Verb::Get(key) => prop_assert_eq!(cache.get(&key, now).cloned(), model.get(key, clock)),
            Verb::GetMut(key) => prop_assert_eq!(cache.get_mut(&key, now).cloned(), model.get(key, clock)),
            Verb::GetOrInsert(key) => {
                let there = model.get(key, clock);
                let found = cache.get_or_insert_with(key, now, |_| value.clone());
                if let Some(mut there) = there {
                    prop_assert_eq!(found, Found::Hit(&mut there));
                } else {
                    match (plain(model.insert(key, &value, 1, ttl, clock).0, Vec::new()), found) {
                        (Inserted::Refused(..), Found::Refused(k, v)) => prop_assert_eq!((k, v), (key, value)),
                        (Inserted::Added, Found::Made(v, aside)) => {
                            prop_assert!(Rc::ptr_eq(v, &value));
                            prop_assert!(aside.is_none_or(|(key, _)| model.place(key).is_none()));
                        }
                        (expected, _) => prop_assert!(false, "{:?}", expected),
                    }
                }
            }
            Verb::TryGetOrInsert(key) => {
                let there = model.get(key, clock);
                let found = cache.try_get_or_insert_with(key, now, |&key| Err(key));
                prop_assert_eq!(found.map(|mut found| found.value().clone()), there.ok_or(key));
            }
            Verb::Remove(key) => prop_assert_eq!(cache.remove(&key, now), model.remove(key, clock)),
            Verb::Pop => {
                let expected = (!model.entries.is_empty()).then(|| model.evict(None));
                prop_assert_eq!(cache.pop(), expected);
            }
            Verb::Poll => {
                cache.poll(now);
                prop_assert!(model.follow(clock));
                prop_assert!(!model.entries.iter().any(|entry| model.is_over(entry, clock)), "all that expired left");
                prop_assert!(cache.poll_at().is_none_or(|soonest| now < soonest));
            }
            Verb::Sweep(budget) => {
                let before = model.entries.len();
                let swept = cache.sweep(now, budget);
                prop_assert!(model.follow(clock), "only those that have expired left");
                prop_assert!(swept <= budget);
                prop_assert_eq!(swept, before - model.entries.len());
            }
            Verb::Resize(capacity) => {
                model.capacity = capacity.min(N);
                prop_assert_eq!(cache.resize_soft(capacity), model.shrink());
            }
            Verb::Limit(limit) => {
                if T::WEIGHS {
                    model.max_weight = limit;
                }
                prop_assert_eq!(T::limit(cache, limit), model.shrink());
            }
            Verb::Retain(divisor) => {
                cache.retain(now, |key, _| key % divisor != 0);
                let order: Vec<u16> = model.entries.iter().map(|entry| entry.key).collect();
                for key in order {
                    let at = model.place(key).unwrap();
                    if model.is_over(&model.entries[at], clock) || key % divisor == 0 {
                        model.remove(key, clock);
                    }
                }
            }
            Verb::Clear => {
                cache.clear();
                model.counts.removed += model.entries.drain(..).count() as u64;
                model.hand = None;
            }
            Verb::Pass(nanos) => self.clock = clock.saturating_add_signed(nanos),
        }
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let Self { cache, model, clock, .. } = self;
        prop_assert_eq!(cache.snapshot(), model.snapshot());
        prop_assert!(adds_up(cache.snapshot()));
        prop_assert!(cache.len() <= cache.capacity());
        let soonest = model.entries.iter().map(|entry| entry.due).filter(|due| *due != FOREVER).min();
        let soonest = soonest.map(|due| Instant::from_nanos(due.next_multiple_of(model.tick)));
        prop_assert!(soonest.is_none_or(|soonest| cache.poll_at().is_some_and(|poll_at| poll_at <= soonest)));
        let now = Instant::from_nanos(*clock);
        let live = model.entries.iter().rev().filter(|entry| !model.is_over(entry, *clock));
        let live = live.map(|entry| (entry.key, &entry.value));
        prop_assert!(cache.iter(now).map(|(key, value)| (*key, value)).eq(live), "the same entries in the same order");
        let key = self.next as u16 % KEYS;
        let there = model.place(key).map(|at| &model.entries[at]).filter(|entry| !model.is_over(entry, *clock));
        prop_assert_eq!(cache.peek(&key, now), there.map(|entry| &entry.value));
        prop_assert_eq!(cache.contains(&key, now), there.is_some());
        let expires_at = there.map(|entry| match entry.due {
            FOREVER => Instant::MAX,
            due => Instant::from_nanos(due.next_multiple_of(model.tick)),
        });
        prop_assert_eq!(cache.expires_at(&key, now), expires_at);
        Ok(())
    }
}

fn agree<const N: usize, P: Kind, S: BuildHasher, T: Sort>(hasher: S, verbs: &[Verb]) -> Result<(), TestCaseError> {
    let mut both = Both::<N, P, S, T>::new(hasher, 20, 9);
    verbs.iter().try_for_each(|verb| both.step(verb))
}

proptest! {
    #[test]
    fn lru_does_what_its_model_does(verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<16, Lru<u8>, _, Exact>(Fast::new(), &verbs)?;
        agree::<5, Lru<u8>, _, Idle>(RandomState::new(), &verbs)?;
        agree::<16, Lru<u8>, _, Coarse<2>>(Keyed::new([3; 16]), &verbs)?;
        agree::<7, Lru<u8>, _, Weighted<Idle<Coarse<2>>>>(Fast::seeded(5), &verbs)?;
    }

    #[test]
    fn sieve_does_what_the_paper_does(verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<16, Sieve<u8>, _, Exact>(Fast::new(), &verbs)?;
        agree::<5, Sieve<u8>, _, Idle>(RandomState::new(), &verbs)?;
        agree::<35, Sieve<u16>, _, Exact>(Fast::new(), &verbs)?; // all its entries may be marked: the bound counts
        agree::<16, Sieve<u8>, _, Weighted>(Keyed::new([3; 16]), &verbs)?;
        agree::<7, Sieve<u8>, _, Idle<Coarse<2>>>(Fast::seeded(5), &verbs)?;
    }

    #[test]
    fn both_do_so_with_keys_that_all_collide(verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<16, Lru<u8>, _, Weighted>(Colliding, &verbs)?;
        agree::<31, Lru<u8>, _, Exact>(Colliding, &verbs)?;
        agree::<31, Sieve<u8>, _, Weighted<Idle>>(Colliding, &verbs)?;
        agree::<6, Sieve<u8>, _, Exact>(Colliding, &verbs)?;
    }

    #[test]
    fn a_coarse_cache_does_so_over_years_of_silence(
        verbs in prop::collection::vec((verb(), 0..4_u8, 0..u64::MAX >> 24), 1..300),
    ) {
        // Ticks of 2 ns: the origin has to move on every 4.3 s, and a leap here is up to 1,100 s.
        coarse_over_leaps::<Coarse<1>>(&verbs)?;
        coarse_over_leaps::<Idle<Coarse<1>>>(&verbs)?;
        coarse_over_leaps::<Weighted<Idle<Coarse<1>>>>(&verbs)?;
    }
}

fn coarse_over_leaps<T: Sort>(verbs: &[(Verb, u8, u64)]) -> Result<(), TestCaseError> {
    const LONGEST: u64 = (1 << 31) * 2;
    let mut both = Both::<16, Sieve<u8>, _, T>::new(Fast::new(), LONGEST - 1, LONGEST / 3);
    for (verb, kind, leap) in verbs {
        match (verb, kind) {
            (Verb::Pass(_), 0) => both.clock += leap,
            (Verb::Pass(_), 1) => both.clock += leap % LONGEST,
            (Verb::Pass(_), 2) => both.clock += leap % (LONGEST / 8),
            (Verb::Pass(nanos), _) => both.clock += nanos.unsigned_abs(),
            (Verb::InsertFor(key, _), _) => both.step(&Verb::InsertFor(*key, leap % LONGEST))?,
            (verb, _) => both.step(verb)?,
        }
    }
    Ok(())
}

#[test]
fn a_long_seeded_run_agrees_too() {
    fn run<P: Kind, T: Sort>(seed: u64) {
        let mut rng = Rng::new(seed);
        let mut both = Both::<24, P, _, T>::new(Fast::seeded(seed), 400, 150);
        for _ in 0..60_000 {
            let key = (rng.at_most(u64::from(KEYS) - 1) * rng.at_most(3) / 3) as u16;
            let verb = match rng.at_most(99) {
                0..30 => Verb::Insert(key),
                30..70 => Verb::Get(key),
                70..75 => Verb::InsertFor(key, rng.at_most(800)),
                75..80 => Verb::InsertWeighted(key, rng.at_most(9) as u32),
                80..84 => Verb::Remove(key),
                84..88 => Verb::GetOrInsert(key),
                88..91 => Verb::Sweep(rng.at_most(30) as usize),
                91 => Verb::Resize(16 + rng.at_most(12) as usize),
                92 => Verb::Limit(40 + rng.at_most(100)),
                _ => Verb::Pass(rng.at_most(70) as i64 - 20),
            };
            both.step(&verb).unwrap();
        }
        let s = both.cache.snapshot();
        assert!(s.hits > 5_000 && s.evicted > 1_000 && s.expired > 200, "the run has met all of it: {s:?}");
    }
    run::<Lru<u8>, Exact>(1);
    run::<Sieve<u8>, Idle>(2);
    run::<Lru<u8>, Weighted<Idle>>(3);
    run::<Sieve<u8>, Weighted>(4);
}
