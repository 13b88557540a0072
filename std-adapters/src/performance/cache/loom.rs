//! Models of single-flight: every interleaving of two or three callers, by `loom`.
//!
//! The cache and its flights are the real ones; only locks, counted pointers and parking are `loom`'s. Run with
//! `RUSTFLAGS="--cfg daur_loom" cargo test -p daur-std --no-default-features --lib loom`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use daur_core::performance::cache::{Inserted, Lru};
use daur_core::time::Instant;
use loom::model::Builder;
use loom::thread;

use super::flight::block_on;
use super::{Config, Seeded, SharedCache};

type Cache = Arc<SharedCache<u8, u32, Lru<u8>, Seeded, Instant>>;

/// Explores all interleavings, or those with up to `preemptions` switches where a thread could have gone on.
fn model(preemptions: Option<usize>, f: impl Fn(&Cache) + Send + Sync + 'static) {
    let runs = Arc::new(AtomicU32::new(0));
    let run = Arc::clone(&runs);
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        run.fetch_add(1, Ordering::Relaxed);
        let config = Config { max_size: 4, ..Config::DEFAULT };
        let cache: Cache = Arc::new(SharedCache::with_hasher(config, Instant::ZERO, Seeded::default()).unwrap());
        f(&cache);
        assert_eq!(cache.computing(), 0, "no flight is left behind");
    });
    assert!(runs.load(Ordering::Relaxed) > 10, "there is more than one way to go");
}

fn spawn<T: 'static>(cache: &Cache, f: impl FnOnce(&Cache) -> T + 'static) -> thread::JoinHandle<T> {
    let cache = Arc::clone(cache);
    thread::spawn(move || f(&cache))
}

#[test]
fn two_threads_compute_once() {
    model(None, |cache| {
        let computed = Arc::new(AtomicU32::new(0));
        let ask = |computed: Arc<AtomicU32>| {
            move |cache: &Cache| cache.get_or_insert_with(&1, || computed.fetch_add(1, Ordering::SeqCst) + 7)
        };
        let other = spawn(cache, ask(Arc::clone(&computed)));
        assert_eq!(ask(Arc::clone(&computed))(cache), 7);
        assert_eq!(other.join().unwrap(), 7);
        assert_eq!(computed.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_failure_is_its_callers_and_the_other_thread_computes() {
    model(None, |cache| {
        let other = spawn(cache, |cache| cache.try_get_or_insert_with(&1, || Err("on purpose")));
        assert_eq!(cache.get_or_insert_with(&1, || 7), 7);
        assert!(matches!(other.join().unwrap(), Ok(7) | Err("on purpose")));
        assert_eq!(cache.get(&1), Some(7));
    });
}

#[test]
fn a_panic_is_its_callers_and_the_other_thread_computes() {
    model(None, |cache| {
        let other = spawn(cache, |cache| {
            let panics = || cache.get_or_insert_with(&1, || resume_unwind(Box::new(())));
            catch_unwind(AssertUnwindSafe(panics)).ok()
        });
        assert_eq!(cache.get_or_insert_with(&1, || 7), 7);
        assert!(matches!(other.join().unwrap(), Some(7) | None));
        assert_eq!(cache.get(&1), Some(7));
    });
}

/// Polls a request once and drops it, whatever it has come to.
fn ask_and_leave(cache: &Cache) {
    let request = pin!(cache.get_or_insert_async(&1, std::future::pending));
    let mut request: std::pin::Pin<&mut dyn Future<Output = u32>> = request;
    if let Poll::Ready(value) = request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        assert_eq!(value, 7);
    }
}

#[test]
fn one_that_is_dropped_leaves_its_turn_to_the_other() {
    model(None, |cache| {
        let other = spawn(cache, ask_and_leave);
        assert_eq!(cache.get_or_insert_with(&1, || 7), 7);
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_leaves_the_queue_does_not_take_the_wake_along() {
    model(Some(3), |cache| {
        let failing = spawn(cache, |cache| cache.try_get_or_insert_with(&1, || Err(())));
        let leaving = spawn(cache, ask_and_leave);
        // Waits behind either, or before them.
        assert_eq!(block_on(cache.get_or_insert_async(&1, || async { 7 })), 7);
        assert!(matches!(failing.join().unwrap(), Ok(7) | Err(())));
        leaving.join().unwrap();
        assert_eq!(cache.get(&1), Some(7));
    });
}

#[test]
fn a_removal_is_not_undone_by_what_was_computed_before_it() {
    model(None, |cache| {
        let version = Arc::new(AtomicU32::new(1));
        let read = Arc::clone(&version);
        let other = spawn(cache, move |cache| cache.get_or_insert_with(&1, || read.load(Ordering::SeqCst)));
        version.store(2, Ordering::SeqCst);
        cache.remove(&1);
        assert!(matches!(cache.get(&1), None | Some(2)), "what is kept was read after the removal");
        other.join().unwrap();
        assert!(matches!(cache.get(&1), None | Some(2)), "what is kept was read after the removal");
    });
}

#[test]
fn hits_that_share_the_lock_are_told_in_order_and_none_is_lost_while_another_evicts() {
    for hits in [1, 3] {
        model(Some(3), move |cache| {
            (0..4).for_each(|key| _ = cache.insert(key, u32::from(key)));
            let hit = |key| move |cache: &Cache| (0..hits).filter(|_| cache.get(&key) == Some(u32::from(key))).count();
            let hitting = [0, 1].map(|key| spawn(cache, hit(key)));
            // The oldest that has not been hit by then.
            let gone = match cache.insert(4, 4) {
                Inserted::Evicted(key, value) => (key, value),
                other => panic!("{other:?}"),
            };
            assert!(gone.0 <= 2 && gone.1 == u32::from(gone.0), "{gone:?}");
            let found = hitting.map(|thread| thread.join().unwrap());
            // A thread misses only the one that has left.
            for (key, found) in [0, 1].into_iter().zip(found) {
                assert!(found == hits || gone.0 == key);
            }
            let figures = cache.snapshot();
            assert_eq!(figures.hits, found.iter().sum::<usize>() as u64);
            assert_eq!(figures.hits + figures.misses, 2 * hits as u64);
            assert_eq!((figures.evicted, figures.len), (1, 4));
        });
    }
}
