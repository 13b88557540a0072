//! The shared cache.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use daur_core::performance::cache::{Inserted, Snapshot};
use daur_core::rng::Rng;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::performance::cache::{Config, SharedCache};
use proptest::prelude::*;

/// Counts how many of its kind there are.
#[derive(Debug)]
struct Counted<'a> {
    value: u64,
    live: &'a AtomicI64,
}

impl<'a> Counted<'a> {
    fn new(value: u64, live: &'a AtomicI64) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self { value, live }
    }
}

impl Clone for Counted<'_> {
    fn clone(&self) -> Self {
        Self::new(self.value, self.live)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// 8 threads of a million operations each; all of them with `DAUR_CACHE_OPERATIONS=10000000`.
#[test]
fn rule_1_mixed_operations_of_eight_threads_keep_the_bound_at_every_sample() {
    const THREADS: u64 = 8;
    const MAX_SIZE: usize = 1_000;
    let operations: u64 = std::env::var("DAUR_CACHE_OPERATIONS").map_or(1_000_000, |n| n.parse().unwrap());
    let live = AtomicI64::new(0);
    let most_live = AtomicI64::new(0);
    let most = AtomicUsize::new(0);
    let cache: SharedCache<u64, Counted<'_>> =
        SharedCache::try_new(Config { max_size: MAX_SIZE, ..Config::DEFAULT }).unwrap();
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (cache, live, most, most_live) = (&cache, &live, &most, &most_live);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for n in 0..operations {
                    let key = rng.at_most(3_999);
                    match rng.at_most(99) {
                        0..50 => assert!(cache.get(&key).is_none_or(|counted| counted.value == key)),
                        50..80 => _ = cache.insert(key, Counted::new(key, live)),
                        80..90 => {
                            let counted = cache.get_or_insert_with(&key, || Counted::new(key, live));
                            assert_eq!(counted.value, key);
                        }
                        90..97 => assert!(cache.remove(&key).is_none_or(|counted| counted.value == key)),
                        97 => _ = cache.contains(&key),
                        98 if n % 500 == 0 => cache.retain(|key, _| key % 7 != 0),
                        _ => {
                            most.fetch_max(cache.len(), Ordering::SeqCst);
                            most_live.fetch_max(live.load(Ordering::SeqCst), Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(most.into_inner(), MAX_SIZE, "it was full, and never fuller");
    // Each thread holds what it inserts, what that puts aside, and what it computes and its two clones.
    let in_flight = i64::try_from(THREADS * 4).unwrap();
    let most_live = most_live.into_inner();
    assert!(most_live <= 1_000 + in_flight, "{most_live} values at once");
    assert_eq!(live.load(Ordering::SeqCst), i64::try_from(cache.len()).unwrap(), "nothing is kept beside the entries");
    let Snapshot { inserted, evicted, removed, len, .. } = cache.snapshot();
    assert_eq!(inserted, evicted + removed + u64::from(len));
    assert_eq!(cache.computing(), 0);
    drop(cache);
    assert_eq!(live.into_inner(), 0);
}

#[test]
fn rule_1_resizing_under_load_keeps_the_lower_bound_afterwards() {
    let cache: SharedCache<u64, u64> = SharedCache::try_new(Config { max_size: 2_000, ..Config::DEFAULT }).unwrap();
    thread::scope(|scope| {
        for seed in 0..3 {
            let cache = &cache;
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..50_000 {
                    let key = rng.at_most(9_999);
                    cache.insert(key, key);
                }
            });
        }
        for size in [1_500, 10, 700, 0, 2_000, 300] {
            for _ in 0..20 {
                cache.resize_soft(size);
                assert!(cache.len() <= size);
                thread::yield_now();
            }
        }
    });
    assert!(cache.len() <= 300);
    assert_eq!(cache.capacity(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_4_a_thousand_tasks_and_a_hundred_threads_share_one_computation() {
    const TASKS: u32 = 1_000;
    const THREADS: u32 = 100;
    let cache: Arc<SharedCache<String, u32>> = Arc::new(SharedCache::try_new(Config::DEFAULT).unwrap());
    let computed = Arc::new(AtomicU32::new(0));
    let come = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (cache, computed, come) = (cache.clone(), computed.clone(), come.clone());
            tokio::spawn(async move {
                come.fetch_add(1, Ordering::SeqCst);
                let compute = || async {
                    while come.load(Ordering::SeqCst) < TASKS {
                        tokio::task::yield_now().await;
                    }
                    computed.fetch_add(1, Ordering::SeqCst) + 41
                };
                cache.get_or_insert_async("the answer", compute).await
            })
        })
        .collect();
    // Whichever comes first: no thread computes before all tasks have come, for the tasks need no thread's answer.
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (cache, computed, come) = (cache.clone(), computed.clone(), come.clone());
            thread::spawn(move || {
                let compute = || {
                    while come.load(Ordering::SeqCst) < TASKS {
                        thread::yield_now();
                    }
                    computed.fetch_add(1, Ordering::SeqCst) + 41
                };
                cache.get_or_insert_with("the answer", compute)
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 41);
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 41);
    }
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    assert_eq!(cache.computing(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_among_a_thousand_tasks_one_panics_and_one_is_cancelled_and_one_computes() {
    let cache: Arc<SharedCache<u32, u32>> = Arc::new(SharedCache::try_new(Config::DEFAULT).unwrap());
    let turn = Arc::new(AtomicU32::new(0));
    let (cancel, mut cancelled) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = (0..1_000_usize)
        .map(|task| {
            let (cache, turn, cancel) = (cache.clone(), turn.clone(), cancel.clone());
            tokio::spawn(async move {
                let compute = || async {
                    match turn.fetch_add(1, Ordering::SeqCst) {
                        0 => std::panic::resume_unwind(Box::new("on purpose")),
                        1 => {
                            cancel.send(task).unwrap();
                            std::future::pending().await
                        }
                        turn => turn,
                    }
                };
                cache.get_or_insert_async(&1, compute).await
            })
        })
        .collect();
    tasks[cancelled.recv().await.unwrap()].abort();
    let mut failed = Vec::new();
    for task in tasks {
        match task.await {
            Ok(value) => assert_eq!(value, 2),
            Err(error) => failed.push((error.is_panic(), error.is_cancelled())),
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, [(false, true), (true, false)]);
    assert_eq!(turn.load(Ordering::SeqCst), 3, "three have had their turn");
    assert_eq!((cache.get(&1), cache.computing()), (Some(2), 0));
}

#[test]
fn rule_5_of_eight_threads_each_failure_is_one_callers() {
    for _ in 0..200 {
        let cache: SharedCache<u8, u32> = SharedCache::try_new(Config::DEFAULT).unwrap();
        let (attempts, start) = (AtomicU32::new(0), Barrier::new(8));
        let failed: usize = thread::scope(|scope| {
            let ask = || {
                start.wait();
                let compute = || match attempts.fetch_add(1, Ordering::SeqCst) {
                    n @ 0..3 => Err(n),
                    n => Ok(n),
                };
                let answer = cache.try_get_or_insert_with(&1, compute);
                assert!(matches!(answer, Ok(3) | Err(0..3)));
                answer
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).count()
        });
        assert_eq!((failed, attempts.into_inner()), (3, 4), "three failures and an answer");
    }
}

/// What the cache must do, by the simplest means: what has expired is gone at once.
struct Naive {
    max_size: usize,
    ttl: Duration,
    /// The one used longest ago first.
    entries: Vec<(u8, u32, Instant)>,
}

impl Naive {
    fn find(&mut self, key: u8, now: Instant) -> Option<usize> {
        self.entries.retain(|&(_, _, end)| now < end);
        self.entries.iter().position(|&(there, ..)| there == key)
    }

    fn get(&mut self, key: u8, now: Instant) -> Option<u32> {
        let at = self.find(key, now)?;
        let entry = self.entries.remove(at);
        self.entries.push(entry);
        Some(entry.1)
    }

    fn insert(&mut self, key: u8, value: u32, ttl: Duration, now: Instant) -> Inserted<u8, u32> {
        if let Some(at) = self.find(key, now) {
            let (_, former, _) = self.entries.remove(at);
            self.entries.push((key, value, now + ttl));
            return Inserted::Replaced(former);
        }
        let put_aside = if self.entries.len() < self.max_size {
            Inserted::Added
        } else if self.max_size == 0 {
            return Inserted::Refused(key, value);
        } else {
            let (key, value, _) = self.entries.remove(0);
            Inserted::Evicted(key, value)
        };
        self.entries.push((key, value, now + ttl));
        put_aside
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u32),
    InsertWithTtl(u8, u32, u8),
    Get(u8),
    Peek(u8),
    Remove(u8),
    Compute(u8, Option<u32>),
    Pass(u8),
    Sweep(u16),
    Retain(u8),
    Resize(u8),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..12_u8;
    prop_oneof![
        6 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (key(), any::<u32>(), 0..6_u8).prop_map(|(key, value, ttl)| Step::InsertWithTtl(key, value, ttl)),
        6 => key().prop_map(Step::Get),
        1 => key().prop_map(Step::Peek),
        2 => key().prop_map(Step::Remove),
        3 => (key(), any::<Option<u32>>()).prop_map(|(key, value)| Step::Compute(key, value)),
        4 => (0..4_u8).prop_map(Step::Pass),
        1 => any::<u16>().prop_map(Step::Sweep),
        1 => (1..5_u8).prop_map(Step::Retain),
        1 => (0..10_u8).prop_map(Step::Resize),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_naive_model_does(steps in prop::collection::vec(step(), 1..200)) {
        const MAX_SIZE: usize = 6;
        let clock = ManualClock::new(Instant::from_secs(1));
        let ttl = Duration::from_secs(5);
        let config = Config { max_size: MAX_SIZE, ttl: Some(ttl), ..Config::DEFAULT };
        let cache: SharedCache<u8, u32, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
        let mut naive = Naive { max_size: MAX_SIZE, ttl, entries: Vec::new() };
        for step in steps {
            let now = clock.now();
            match step {
                Step::Insert(key, value) => {
                    prop_assert_eq!(cache.insert(key, value), naive.insert(key, value, ttl, now));
                }
                Step::InsertWithTtl(key, value, secs) => {
                    let ttl = Duration::from_secs(secs.into());
                    prop_assert_eq!(cache.insert_with_ttl(key, value, ttl), naive.insert(key, value, ttl, now));
                }
                Step::Get(key) => prop_assert_eq!(cache.get(&key), naive.get(key, now)),
                Step::Peek(key) => {
                    let there = naive.find(key, now).map(|at| naive.entries[at].1);
                    prop_assert_eq!(cache.peek(&key), there);
                    prop_assert_eq!(cache.contains(&key), there.is_some());
                }
                Step::Remove(key) => {
                    let removed = naive.find(key, now).map(|at| naive.entries.remove(at).1);
                    prop_assert_eq!(cache.remove(&key), removed);
                }
                Step::Compute(key, value) => {
                    let answer = match naive.get(key, now) {
                        Some(there) => Ok(there),
                        None => value.ok_or("failed"),
                    };
                    if let (Ok(value), None) = (answer, naive.find(key, now)) {
                        naive.insert(key, value, naive.ttl, now);
                    }
                    prop_assert_eq!(cache.try_get_or_insert_with(&key, || value.ok_or("failed")), answer);
                }
                Step::Pass(secs) => clock.advance(Duration::from_secs(secs.into())),
                Step::Sweep(budget) => _ = cache.sweep(budget.into()),
                Step::Retain(of) => {
                    cache.retain(|key, _| key % of != 0);
                    naive.entries.retain(|&(key, ..)| key % of != 0);
                }
                Step::Resize(size) => {
                    naive.find(0, now);
                    naive.max_size = MAX_SIZE.min(size.into());
                    let excess = naive.entries.len().saturating_sub(naive.max_size);
                    naive.entries.drain(..excess);
                    prop_assert_eq!(cache.resize_soft(size.into()), excess);
                }
                Step::Clear => {
                    cache.clear();
                    naive.entries.clear();
                }
            }
            naive.find(0, clock.now());
            prop_assert_eq!(cache.len(), naive.entries.len());
            let mut listed = Vec::new();
            cache.for_each(|&key, &value| listed.push((key, value)));
            let expected: Vec<_> = naive.entries.iter().rev().map(|&(key, value, _)| (key, value)).collect();
            prop_assert_eq!(listed, expected);
            let Snapshot { inserted, evicted, expired, removed, len, .. } = cache.snapshot();
            prop_assert_eq!(inserted, evicted + expired + removed + u64::from(len));
        }
    }
}
