use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;
use std::thread;

use super::*;
use crate::clock::ManualClock;

fn small() -> SharedCache<String, u32> {
    SharedCache::try_new(Config { max_size: 4, ..Config::DEFAULT }).unwrap()
}

#[test]
fn the_least_recently_used_of_a_small_cache_leaves() {
    let cache = small();
    for (n, name) in (0..).zip(["a", "b", "c", "d"]) {
        assert_eq!(cache.insert(name.to_owned(), n), Inserted::Added);
    }
    assert_eq!(cache.get("a"), Some(0));
    assert_eq!(cache.insert("e".to_owned(), 4), Inserted::Evicted("b".to_owned(), 1));
    assert_eq!(cache.insert("a".to_owned(), 5), Inserted::Replaced(0));
    assert_eq!(cache.remove("a"), Some(5));
    assert_eq!(cache.len(), 3);
    assert_eq!(cache.remove("a"), None);
}

#[test]
fn a_computation_is_kept() {
    let cache = small();
    assert_eq!(cache.get_or_insert_with("a", || 1), 1);
    assert_eq!(cache.get_or_insert_with("a", || 2), 1);
    assert_eq!(cache.try_get_or_insert_with("b", || Err("no")), Err("no"));
    assert_eq!(cache.computing(), 0);
    let panicked = catch_unwind(AssertUnwindSafe(|| cache.get_or_insert_with("b", || panic!("on purpose"))));
    assert!(panicked.is_err());
    assert_eq!(cache.computing(), 0);
    assert_eq!(cache.get_or_insert_with("b", || 3), 3);
}

#[test]
fn a_hundred_threads_compute_once() {
    let cache = small();
    let computed = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let value = cache.get_or_insert_with("a", || {
                    thread::yield_now();
                    computed.fetch_add(1, Ordering::SeqCst) + 7
                });
                assert_eq!(value, 7);
            });
        }
    });
    assert_eq!(computed.load(Ordering::SeqCst), 1);
}

#[test]
fn entries_expire_by_the_clock() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { max_size: 4, ttl: Some(Duration::from_secs(10)), ..Config::DEFAULT };
    let cache: SharedCache<u32, String, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
    cache.insert(1, "one".to_owned());
    clock.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(cache.get(&1).as_deref(), Some("one"));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.len(), 0);
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.snapshot().expired, 1);
}
