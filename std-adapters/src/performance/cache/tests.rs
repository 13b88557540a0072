use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::*;
use crate::clock::ManualClock;

fn small() -> SharedCache<String, u32> {
    SharedCache::try_new(Config { max_size: 4, ..Config::DEFAULT }).unwrap()
}

fn timed(ttl: u64, clock: &ManualClock) -> SharedCache<u32, u32, Lru<u8>, Seeded, &ManualClock> {
    let config = Config { max_size: 4, ttl: Some(Duration::from_secs(ttl)), ..Config::DEFAULT };
    SharedCache::with_clock(config, clock).unwrap()
}

/// Polls with a waker that counts.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, wakes: &std::sync::Arc<Wakes>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

/// Is done once the flag is set. It must be polled to see it.
async fn until(flag: &Cell<bool>) {
    poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[test]
fn a_config_is_checked_field_by_field() {
    let check = |config: Config| config.validate();
    assert_eq!(check(Config::DEFAULT), Ok(()));
    assert_eq!(check(Config { max_size: 0, ..Config::DEFAULT }), Err(ConfigError::NoCapacity));
    assert_eq!(check(Config { max_size: MAX_SIZE + 1, ..Config::DEFAULT }), Err(ConfigError::MaxSize));
    let ttl = Some(Duration::from_secs(1));
    let zero = Config { ttl: Some(Duration::ZERO), ..Config::DEFAULT };
    assert_eq!(check(zero), Err(ConfigError::Machine(machine::ConfigError::TtlIsZero)));
    assert_eq!(check(Config { refresh_ahead: ttl, ..Config::DEFAULT }), Err(ConfigError::RefreshAhead));
    assert_eq!(check(Config { ttl, refresh_ahead: ttl, ..Config::DEFAULT }), Err(ConfigError::RefreshAhead));
    let ahead = Some(Duration::from_nanos(999_999_999));
    assert_eq!(check(Config { ttl, refresh_ahead: ahead, ..Config::DEFAULT }), Ok(()));
    assert_eq!(check(Config { ttl, idle: ttl, refresh_ahead: ahead, ..Config::DEFAULT }), Ok(()));
    assert_eq!(
        check(Config { ttl, idle: ahead, refresh_ahead: ahead, ..Config::DEFAULT }),
        Err(ConfigError::RefreshAhead)
    );
}

#[test]
fn rule_1_there_are_never_more_than_max_size() {
    for max_size in [1, 3, 256, 257, 1_000, 10_000] {
        let cache: SharedCache<usize, usize> = SharedCache::try_new(Config { max_size, ..Config::DEFAULT }).unwrap();
        for n in 0..2 * max_size {
            cache.insert(n, n);
            assert_eq!(cache.room().used(), (n + 1).min(max_size));
        }
        assert_eq!(cache.len(), max_size);
        let mut there = 0;
        cache.for_each(|_, _| there += 1);
        assert_eq!((there, cache.snapshot().len as usize), (max_size, max_size));
    }
}

#[test]
fn rule_2_nothing_is_evicted_while_there_is_room_and_then_the_least_recently_used() {
    let cache = small();
    for (n, name) in (0..).zip(["a", "b", "c", "d"]) {
        assert_eq!(cache.insert(name.to_owned(), n), Inserted::Added);
    }
    assert_eq!(cache.get("a"), Some(0));
    assert_eq!(cache.peek("b"), Some(1), "no use");
    assert_eq!(cache.insert("e".to_owned(), 4), Inserted::Evicted("b".to_owned(), 1));
    assert_eq!(cache.insert("a".to_owned(), 5), Inserted::Replaced(0));
    assert_eq!(cache.remove("a"), Some(5));
    assert_eq!(cache.remove("a"), None);
    assert_eq!(cache.len(), 3);
}

/// Hashes a number as itself: its upper half chooses the shard.
struct Plain;

impl BuildHasher for Plain {
    type Hasher = Word;

    fn build_hasher(&self) -> Word {
        Word(0)
    }
}

struct Word(u64);

impl std::hash::Hasher for Word {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The first key of the last shard.
const LAST: u64 = (u32::MAX as u64) << 32;

#[test]
fn rule_2_a_full_cache_makes_room_for_a_shard_that_has_nothing() {
    let config = Config { max_size: 300, ..Config::DEFAULT };
    let cache: SharedCache<u64, u64, Lru<u8>, Plain, Instant> =
        SharedCache::with_hasher(config, Instant::ZERO, Plain).unwrap();
    // All in the first shard: it has 256 places, and evicts when they are taken.
    for n in 0..300 {
        cache.insert(n, n);
    }
    assert_eq!((cache.len(), cache.snapshot().evicted), (256, 44));
    for n in 0..44 {
        assert_eq!(cache.insert(LAST + n, n), Inserted::Added);
    }
    assert_eq!(cache.resize_soft(100), 200);
    // What is left is of both; the last of one of them goes too.
    cache.retain(|key, _| *key < LAST);
    let left = cache.len();
    cache.resize_soft(left);
    assert_eq!(cache.insert(LAST, 1), Inserted::Added, "room was made in the other shard");
    assert_eq!((cache.len(), cache.get(&LAST)), (left, Some(1)));
    assert_eq!(cache.get_or_insert_with(&(LAST + 1), || 2), 2);
    cache.remove(&LAST);
    cache.remove(&(LAST + 1));
    cache.resize_soft(cache.len());
    assert_eq!(cache.get_or_insert_with(&LAST, || 3), 3);
    assert_eq!(cache.get(&LAST), Some(3), "and for what was computed");
}

#[test]
fn rule_3_an_entry_expires_exactly_at_its_ttl_and_leaves_before_any_that_has_not() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let cache = timed(10, &clock);
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, Duration::from_secs(100));
    cache.insert_with_ttl(3, 3, Duration::from_secs(100));
    cache.insert_with_ttl(4, 4, Duration::from_secs(100));
    clock.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(cache.get(&1), Some(1), "the last used, and found until then");
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.insert(5, 5), Inserted::Added, "in the place of the one that has expired");
    assert!([2, 3, 4, 5].iter().all(|key| cache.contains(key)));
    cache.insert_with_ttl(5, 6, Duration::ZERO);
    assert_eq!(cache.get(&5), None);
    assert_eq!(cache.len(), 3);
    clock.advance(Duration::from_secs(100));
    assert_eq!(cache.len(), 0, "what has expired is not counted");
    let Snapshot { inserted, evicted, expired, removed, .. } = cache.snapshot();
    assert_eq!((inserted, evicted + expired + removed), (5, 5));
}

#[test]
fn rule_3_a_ttl_of_one_entry_makes_a_cache_without_one_look_at_the_clock() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let cache: SharedCache<u32, u32, _, _, _> = SharedCache::with_clock(Config::DEFAULT, &clock).unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
    assert_eq!(cache.sweep(1), 0);
    assert_eq!(cache.len(), 1);
}

#[test]
fn rule_3_an_entry_that_nobody_uses_expires_when_it_has_been_idle_for_too_long() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let (ttl, idle) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(4)));
    let config = Config { max_size: 4, ttl, idle, ..Config::DEFAULT };
    let cache: SharedCache<u32, u32, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    clock.advance(Duration::from_secs(3));
    assert_eq!((cache.get(&1), cache.peek(&2)), (Some(1), Some(2)));
    clock.advance(Duration::from_secs(1));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
    clock.advance(Duration::from_secs(3));
    assert_eq!((cache.get(&1), cache.len()), (Some(1), 1));
    clock.advance(Duration::from_secs(3));
    assert_eq!((cache.get(&1), cache.len()), (None, 0), "the ttl counts from the insertion");
}

#[test]
fn rule_3_what_expires_in_a_full_lock_is_dropped_wherever_it_lies() {
    let value = std::sync::Arc::new(());
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { max_size: PLACES, ttl: Some(Duration::from_secs(1)), ..Config::DEFAULT };
    let cache: SharedCache<usize, std::sync::Arc<()>, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
    for round in 1..10 {
        // One more than there are: it comes in before the one that leaves for it is gone.
        (0..=PLACES).for_each(|n| _ = cache.insert(round * 1_000 + n, value.clone()));
        assert_eq!((cache.len(), std::sync::Arc::strong_count(&value)), (PLACES, PLACES + 1));
        clock.advance(Duration::from_secs(1));
        assert_eq!((cache.len(), std::sync::Arc::strong_count(&value)), (0, 1), "round {round}");
        let places: usize = cache.with_shard(&cache.shards[0], |shard, _| shard.places());
        assert!(places <= PLACES + 1, "{places}");
    }
}

#[test]
fn rule_3_what_has_expired_leaves_first_where_room_is_made_for_another_lock() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { max_size: 300, ttl: Some(Duration::from_secs(10)), ..Config::DEFAULT };
    let cache: SharedCache<u64, u64, Lru<u8>, Plain, &ManualClock> =
        SharedCache::with_hasher(config, &clock, Plain).unwrap();
    cache.resize_soft(3);
    (0..3).for_each(|n| _ = cache.insert(n, n));
    cache.insert_with_ttl(2, 2, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.insert(LAST, 4), Inserted::Added);
    assert_eq!((cache.peek(&0), cache.peek(&1), cache.peek(&2), cache.len()), (Some(0), Some(1), None, 3));
    assert_eq!((cache.snapshot().evicted, cache.snapshot().expired), (0, 1));

    // A lock whose places are all taken while the whole is not full.
    cache.resize_soft(300);
    cache.clear();
    cache.insert(0, 0);
    cache.insert_with_ttl(1, 1, Duration::from_secs(1));
    (2..256).for_each(|n| _ = cache.insert(n, n));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.insert(256, 256), Inserted::Added);
    assert_eq!((cache.peek(&0), cache.len()), (Some(0), 256));
}

#[test]
fn a_sweep_goes_on_where_the_last_one_stopped() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { max_size: 1_000, ttl: Some(Duration::from_secs(1)), ..Config::DEFAULT };
    let cache: SharedCache<u32, u32, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
    (0..1_000).for_each(|n| _ = cache.insert(n, n));
    clock.advance(Duration::from_secs(1));
    let steps: Vec<usize> = (0..cache.shards.len()).map(|_| cache.sweep(1)).collect();
    assert!(steps.iter().all(|&swept| swept > 0), "{steps:?}");
    assert_eq!(steps.iter().sum::<usize>(), 1_000);
    assert_eq!(cache.room().used(), 0);
    assert_eq!(cache.snapshot().expired, 1_000);
}

#[test]
fn rule_4_a_hundred_threads_compute_once() {
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
    assert_eq!(cache.computing(), 0);
}

#[test]
fn rule_4_a_thread_waits_for_a_task() {
    let cache = small();
    let done = Cell::new(false);
    let wakes = std::sync::Arc::new(Wakes::default());
    let mut task = Box::pin(cache.get_or_insert_async("a", || async {
        until(&done).await;
        7
    }));
    assert!(poll(&mut task, &wakes).is_pending());
    thread::scope(|scope| {
        let thread = scope.spawn(|| cache.get_or_insert_with("a", || 8));
        done.set(true);
        assert_eq!(poll(&mut task, &wakes), Poll::Ready(7));
        assert_eq!(thread.join().unwrap(), 7);
    });
}

#[test]
fn rule_5_an_error_is_its_callers_alone() {
    let cache = small();
    assert_eq!(cache.try_get_or_insert_with("b", || Err("no")), Err("no"));
    assert_eq!(cache.computing(), 0);
    let fails = Cell::new(false);
    let wakes = [(); 2].map(|()| std::sync::Arc::new(Wakes::default()));
    let mut first = Box::pin(cache.try_get_or_insert_async("b", || async {
        until(&fails).await;
        Err("on purpose")
    }));
    let mut second = Box::pin(cache.get_or_insert_async("b", || async { 7 }));
    assert!(poll(&mut first, &wakes[0]).is_pending());
    assert!(poll(&mut second, &wakes[1]).is_pending());
    fails.set(true);
    assert_eq!(poll(&mut first, &wakes[0]), Poll::Ready(Err("on purpose")));
    assert_eq!(wakes[1].count(), 1);
    assert_eq!(poll(&mut second, &wakes[1]), Poll::Ready(7));
    assert_eq!(cache.get("b"), Some(7));
    assert_eq!(cache.computing(), 0);
}

#[test]
fn rule_5_after_a_panic_the_next_caller_computes() {
    let cache = small();
    let panics = || cache.get_or_insert_with("b", || resume_unwind(Box::new("on purpose")));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(cache.computing(), 0);
    let wakes = [(); 2].map(|()| std::sync::Arc::new(Wakes::default()));
    let go = Cell::new(false);
    let mut first = Box::pin(cache.get_or_insert_async("b", || async {
        until(&go).await;
        resume_unwind(Box::new("on purpose"))
    }));
    let mut second = Box::pin(cache.get_or_insert_async("b", || async { 3 }));
    assert!(poll(&mut first, &wakes[0]).is_pending());
    assert!(poll(&mut second, &wakes[1]).is_pending());
    go.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut first, &wakes[0]))).is_err());
    drop(first);
    assert_eq!(poll(&mut second, &wakes[1]), Poll::Ready(3));
    assert_eq!(cache.computing(), 0);
}

#[test]
fn rule_5_the_one_who_has_waited_longest_computes_next_and_one_who_leaves_passes_it_on() {
    let cache = small();
    let wakes = [(); 5].map(|()| std::sync::Arc::new(Wakes::default()));
    let ask = |n: u32| {
        let never = n < 3;
        Box::pin(cache.get_or_insert_async("a", move || async move {
            if never {
                std::future::pending::<()>().await;
            }
            n
        }))
    };
    let mut callers: Vec<_> = (0..5).map(ask).collect();
    for (caller, wakes) in callers.iter_mut().zip(&wakes) {
        assert!(poll(caller, wakes).is_pending());
    }
    let woken = || wakes.each_ref().map(|wakes| wakes.count());
    let mut rest = callers.split_off(1);
    drop(callers); // the leader
    assert_eq!(woken(), [0, 1, 0, 0, 0]);
    let mut others = rest.split_off(1);
    assert!(poll(&mut others[2], &wakes[4]).is_pending(), "it is not its turn");
    drop(rest); // the one whose turn it is, and who does not know it yet
    assert_eq!(woken(), [0, 1, 1, 0, 0]);
    assert!(poll(&mut others[0], &wakes[2]).is_pending(), "it computes");
    assert!(poll(&mut others[1], &wakes[3]).is_pending());
    drop(others.remove(0));
    assert_eq!(woken(), [0, 1, 1, 1, 0]);
    assert_eq!(poll(&mut others[0], &wakes[3]), Poll::Ready(3));
    assert_eq!(woken(), [0, 1, 1, 1, 1], "with the answer");
    assert_eq!(poll(&mut others[1], &wakes[4]), Poll::Ready(3));
    drop(others);
    assert_eq!(cache.computing(), 0);
}

#[test]
fn rule_5_flights_leave_nothing_behind() {
    let cache: SharedCache<u32, u32> = SharedCache::try_new(Config { max_size: 1, ..Config::DEFAULT }).unwrap();
    let wakes = std::sync::Arc::new(Wakes::default());
    let keys: Vec<u32> = (0..2_000).map(|n| n / 2).collect();
    let ask = |key| Box::pin(cache.get_or_insert_async(key, std::future::pending));
    let mut callers: Vec<_> = keys.iter().map(ask).collect();
    for caller in &mut callers {
        assert!(poll(caller, &wakes).is_pending());
    }
    assert_eq!(cache.computing(), 1_000);
    callers.truncate(1_000);
    assert_eq!(cache.computing(), 500);
    callers.reverse();
    callers.truncate(500);
    assert_eq!(cache.computing(), 250);
    drop(callers);
    assert_eq!(cache.computing(), 0);
}

#[test]
fn rule_6_what_was_removed_or_inserted_meanwhile_wins() {
    let changes: [fn(&SharedCache<String, u32>); 3] =
        [|cache| _ = cache.remove("a"), SharedCache::clear, |cache| _ = cache.insert("a".to_owned(), 9)];
    for (kept, change) in [Some(8), Some(8), Some(9)].into_iter().zip(changes) {
        let cache = small();
        let wakes = std::sync::Arc::new(Wakes::default());
        let done = Cell::new(false);
        let mut first = Box::pin(cache.get_or_insert_async("a", || async {
            until(&done).await;
            7
        }));
        let mut second = Box::pin(cache.get_or_insert_async("a", || async { 6 }));
        assert!(poll(&mut first, &wakes).is_pending());
        assert!(poll(&mut second, &wakes).is_pending());
        change(&cache);
        assert_eq!(Some(cache.get_or_insert_with("a", || 8)), kept, "who asks later does not join");
        done.set(true);
        assert_eq!(poll(&mut first, &wakes), Poll::Ready(7));
        assert_eq!(poll(&mut second, &wakes), Poll::Ready(7));
        assert_eq!(cache.get("a"), kept);
        assert_eq!(cache.computing(), 0);
    }
}

#[test]
fn rule_6_who_computes_after_the_removal_may_keep_it() {
    let cache = small();
    let wakes = std::sync::Arc::new(Wakes::default());
    let mut first = Box::pin(cache.get_or_insert_async("a", std::future::pending));
    let mut second = Box::pin(cache.get_or_insert_async("a", || async { 6 }));
    assert!(poll(&mut first, &wakes).is_pending());
    assert!(poll(&mut second, &wakes).is_pending());
    cache.remove("a");
    drop(first);
    assert_eq!(poll(&mut second, &wakes), Poll::Ready(6));
    assert_eq!(cache.get("a"), Some(6));
}

#[test]
fn rule_7_a_computation_may_ask_for_other_keys_and_for_its_own() {
    fn fibonacci(cache: &SharedCache<u64, u64>, n: u64) -> u64 {
        cache.get_or_insert_with(&n, || match n {
            0 | 1 => n,
            _ => fibonacci(cache, n - 1) + fibonacci(cache, n - 2),
        })
    }
    let cache = SharedCache::try_new(Config { max_size: 100, ..Config::DEFAULT }).unwrap();
    assert_eq!(fibonacci(&cache, 90), 2_880_067_194_370_816_120);
    assert_eq!(cache.snapshot().inserted, 91);

    let cache = small();
    let value = cache.get_or_insert_with("a", || cache.get_or_insert_with("a", || 1) + 1);
    assert_eq!((value, cache.get("a")), (2, Some(2)));
    let wakes = std::sync::Arc::new(Wakes::default());
    let mut task = Box::pin(cache.get_or_insert_async("b", || async {
        let inner = cache.get_or_insert_async("b", || async { 1 }).await;
        inner + cache.get_or_insert_with("b", || 10)
    }));
    assert_eq!(poll(&mut task, &wakes), Poll::Ready(11));
    assert_eq!((cache.get("b"), cache.computing()), (Some(11), 0));
}

/// Uses the cache when it is dropped, as a key or as a value.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Meddler(u32);

static MEDDLED: OnceLock<SharedCache<Meddler, Meddler, Lru<u8>, Seeded, &'static ManualClock>> = OnceLock::new();
static MEDDLED_CLOCK: ManualClock = ManualClock::new(Instant::from_secs(1));

impl Drop for Meddler {
    fn drop(&mut self) {
        if let (Some(cache), 1..) = (MEDDLED.get(), self.0) {
            assert!(cache.get(&Self(0)).is_none_or(|value| value.0 == 0));
            assert!(cache.len() <= 2);
        }
    }
}

#[test]
fn rule_8_what_leaves_may_use_the_cache_when_it_is_dropped() {
    let ttl = Some(Duration::from_secs(10));
    let cache = MEDDLED.get_or_init(|| {
        SharedCache::with_clock(Config { max_size: 2, ttl, ..Config::DEFAULT }, &MEDDLED_CLOCK).unwrap()
    });
    let fill = || (1..6).for_each(|n| _ = cache.insert(Meddler(n % 3), Meddler(n % 3)));
    fill(); // replaces and evicts
    cache.remove(&Meddler(2));
    fill();
    cache.retain(|key, _| key.0 == 1);
    fill();
    cache.resize_soft(1);
    cache.resize_soft(2);
    cache.clear();
    fill();
    MEDDLED_CLOCK.advance(Duration::from_secs(10));
    assert!(cache.get(&Meddler(1)).is_none());
    assert_eq!(cache.len(), 0);
    fill();
    MEDDLED_CLOCK.advance(Duration::from_secs(10));
    fill(); // over those that have expired
    assert_eq!(cache.get_or_insert_with(&Meddler(7), || Meddler(7)).0, 7);
    assert!(cache.try_get_or_insert_with(&Meddler(8), || Err(Meddler(8))).is_err());
    assert_eq!(cache.computing(), 0);
    cache.clear();
}

#[test]
fn rule_8_a_panic_under_the_lock_locks_nobody_out() {
    #[derive(Debug)]
    struct Touchy(u32);
    impl std::hash::Hash for Touchy {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            if self.0 == 13 || other.0 == 13 {
                resume_unwind(Box::new("compared"));
            }
            self.0 == other.0
        }
    }
    impl Eq for Touchy {}
    impl Clone for Touchy {
        fn clone(&self) -> Self {
            if self.0 == 14 {
                resume_unwind(Box::new("cloned"));
            }
            Self(self.0)
        }
    }
    // One hash for all, so that all are compared.
    struct Same;
    impl BuildHasher for Same {
        type Hasher = std::hash::DefaultHasher;
        fn build_hasher(&self) -> Self::Hasher {
            std::hash::DefaultHasher::new()
        }
        fn hash_one<T: Hash>(&self, _: T) -> u64 {
            5
        }
    }
    fn run<P: Policy>() {
        let config = Config { max_size: 4, ..Config::DEFAULT };
        let cache: SharedCache<Touchy, Touchy, P, Same, Instant> =
            SharedCache::with_hasher(config, Instant::ZERO, Same).unwrap();
        cache.insert(Touchy(1), Touchy(1));
        let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
        panics(&|| _ = cache.get(&Touchy(13)));
        panics(&|| _ = cache.insert(Touchy(13), Touchy(1)));
        panics(&|| _ = cache.remove(&Touchy(13)));
        panics(&|| _ = cache.get_or_insert_with(&Touchy(14), || Touchy(1)));
        panics(&|| _ = cache.get_or_insert_with(&Touchy(2), || Touchy(14)));
        panics(&|| cache.retain(|_, _| resume_unwind(Box::new("asked"))));
        panics(&|| cache.for_each(|_, _| resume_unwind(Box::new("shown"))));
        cache.insert(Touchy(3), Touchy(14));
        panics(&|| _ = cache.get(&Touchy(3)));
        assert_eq!((cache.len(), cache.computing()), (2, 0));
        for n in 20..30 {
            cache.insert(Touchy(n), Touchy(n));
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.get(&Touchy(29)), Some(Touchy(29)));
        let Snapshot { inserted, evicted, len, hits, .. } = cache.snapshot();
        assert_eq!(inserted, evicted + u64::from(len));
        assert_eq!(hits, 1, "what panicked found nothing");
    }
    run::<Lru<u8>>();
    run::<daur_core::performance::cache::Sieve<u8>>();
}

#[test]
fn rule_9_one_caller_renews_ahead_and_the_others_get_the_former_value() {
    let clock = ManualClock::new(Instant::from_secs(1));
    let (ttl, ahead) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(2)));
    let config = Config { max_size: 4, ttl, refresh_ahead: ahead, ..Config::DEFAULT };
    let cache: SharedCache<u32, u32, _, _, _> = SharedCache::with_clock(config, &clock).unwrap();
    assert_eq!(cache.get_or_insert_with(&1, || 1), 1);
    clock.advance(Duration::from_nanos(7_999_999_999));
    assert_eq!(cache.get_or_insert_with(&1, || 2), 1);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.get(&1), Some(1), "only the verbs that compute renew");
    let value = cache.get_or_insert_with(&1, || {
        assert_eq!(cache.get_or_insert_with(&1, || 3), 1, "another one");
        2
    });
    assert_eq!(value, 2);
    clock.advance(Duration::from_secs(8));
    assert_eq!(cache.try_get_or_insert_with(&1, || Err("no")), Ok(2), "it failed, and the former is good yet");
    clock.advance(Duration::from_secs(2));
    assert_eq!(cache.try_get_or_insert_with(&1, || Err("no")), Err("no"));
    assert_eq!(cache.computing(), 0);
}

#[test]
fn a_cache_shrinks_and_grows_back() {
    let cache: SharedCache<u32, Vec<u8>> = SharedCache::try_new(Config { max_size: 1_000, ..Config::DEFAULT }).unwrap();
    let cache = cache.weighing(|_, value| value.capacity());
    (0..1_000).for_each(|n| _ = cache.insert(n, vec![0; 100]));
    let (evicted, bytes) = cache.shrink_to(100);
    assert_eq!((evicted, cache.len(), cache.capacity()), (900, 100, 100));
    assert!((90_000..150_000).contains(&bytes), "{bytes}");
    let room: usize = cache.shards.iter().map(|shard| cache.with_shard(shard, |shard, _| shard.places())).sum();
    assert!(room < 1_000, "the places are given back, {room}");
    assert!(matches!(cache.insert(2_000, Vec::new()), Inserted::Evicted(0..1_000, _)));
    assert_eq!(cache.resize_soft(0), 100);
    assert_eq!(cache.insert(1, Vec::new()), Inserted::Refused(1, Vec::new()));
    assert_eq!(cache.get_or_insert_with(&1, || vec![1]), [1], "computed, and not kept");
    assert_eq!((cache.len(), cache.computing()), (0, 0));
    assert_eq!(cache.snapshot().refused, 2);
    assert_eq!(cache.resize_soft(usize::MAX), 0);
    assert_eq!(cache.capacity(), 1_000);
    (0..1_000).for_each(|n| _ = cache.insert(n, vec![0; 100]));
    assert_eq!(cache.len(), 1_000);
}

#[test]
fn room_that_was_found_before_the_cache_shrank_is_given_back() {
    struct Shrinks(bool);
    type Shrinking = SharedCache<u64, Shrinks, Lru<u8>, Plain, Instant>;
    static SHRINKING: OnceLock<Shrinking> = OnceLock::new();
    impl Drop for Shrinks {
        fn drop(&mut self) {
            if let (Some(cache), true) = (SHRINKING.get(), self.0) {
                cache.resize_soft(0);
            }
        }
    }
    let config = Config { max_size: 300, ..Config::DEFAULT };
    let cache = SHRINKING.get_or_init(|| SharedCache::with_hasher(config, Instant::ZERO, Plain).unwrap());
    cache.resize_soft(1);
    cache.insert(1, Shrinks(true));
    // The one that leaves for it shrinks the cache, between the room and the insertion.
    assert!(matches!(cache.insert(LAST, Shrinks(false)), Inserted::Refused(LAST, _)));
    assert_eq!((cache.len(), cache.snapshot().len, cache.capacity()), (0, 0, 0));
    cache.resize_soft(300);
    (0..200).chain(LAST..LAST + 100).for_each(|n| assert!(matches!(cache.insert(n, Shrinks(false)), Inserted::Added)));
    assert_eq!(cache.len(), 300);
}

#[test]
fn it_shrinks_to_a_share_and_is_restored() {
    use daur_core::performance::memory::{Share, Shrink};
    let cache = std::sync::Arc::new(small());
    (0..4).for_each(|n| _ = cache.insert(n.to_string(), n));
    let shrinks: &dyn Shrink = &cache.clone();
    let entry = Shard::<String, u32, Lru<u8>>::entry_bytes();
    assert_eq!((shrinks.shrink(Share::permille(500)), cache.len()), (2 * entry, 2));
    assert_eq!(shrinks.shrink(Share::permille(500)), 0);
    shrinks.restore(Share::permille(750));
    assert_eq!((cache.capacity(), cache.len()), (3, 2));
}

#[test]
fn a_cache_may_evict_by_another_policy() {
    use daur_core::performance::cache::Sieve;
    let config = Config { max_size: 4, ..Config::DEFAULT };
    let cache: SharedCache<u32, u32, Sieve<u8>, Seeded, Instant> =
        SharedCache::with_hasher(config, Instant::ZERO, Seeded::default()).unwrap();
    (0..4).for_each(|n| _ = cache.insert(n, n));
    assert_eq!(cache.get(&0), Some(0));
    assert_eq!(cache.insert(4, 4), Inserted::Evicted(1, 1), "the first that was not used");
    assert_eq!(cache.resize_soft(1), 3);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_lock_weighs_what_the_docs_say() {
    assert!(size_of::<Part<u64, u64, Lru<u8>>>() + size_of::<Shard<u64, u64, Lru<u8>>>() <= 8 << 10);
    assert_eq!(Shard::<u64, u64, Lru<u8>>::entry_bytes(), 24);
    let weight = |max_size: usize| shards(max_size) * 8_192 / max_size + 24 + 3;
    assert!(weight(65_536) <= 70, "{}", weight(65_536));
}

#[test]
fn large_values_take_no_stack() {
    let cache: SharedCache<u32, [u8; 65_536]> =
        SharedCache::try_new(Config { max_size: 200, ..Config::DEFAULT }).unwrap();
    let cache = thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            (0..3).for_each(|n| _ = cache.insert(n, [1; 65_536]));
            cache
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(cache.get(&2).map(|value| value[65_535]), Some(1));
}

#[test]
fn the_future_can_be_sent_and_the_cache_shown() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let cache = small();
    let wakes = std::sync::Arc::new(Wakes::default());
    let mut task = Box::pin(send(cache.try_get_or_insert_async("a", || async { Ok::<_, ()>(1) })));
    assert_eq!(poll(&mut task, &wakes), Poll::Ready(Ok(1)));
    drop(task);
    assert!(!format!("{cache:?}").contains("\"a\""), "keys may be secrets");
}

#[test]
fn the_smart_cache_tells_types_apart() {
    let cache = SmartCache::try_new(Config::DEFAULT).unwrap();
    cache.set("a", 1_u32);
    assert_eq!(cache.get::<u64>("a"), None);
    assert_eq!(cache.get::<u32>("a").as_deref(), Some(&1));
    cache.set("a", 2_u64);
    assert_eq!(cache.get::<u32>("a"), None);
    assert_eq!(cache.get::<u64>("a").as_deref(), Some(&2));
    assert!(cache.remove("a") && cache.is_empty());
    let refused = {
        smart_cache(10);
        init(cache)
    };
    assert!(refused.is_err(), "there is one already");
    assert_eq!(smart_cache(99).shared().capacity(), 10);
}

#[test]
fn uses_that_readers_have_noted_count_before_the_next_is_evicted() {
    fn run<P: Policy>(used: u32) {
        let config = Config { max_size: 200, ..Config::DEFAULT };
        let cache: SharedCache<u32, u32, P, Seeded, Instant> =
            SharedCache::with_hasher(config, Instant::ZERO, Seeded::default()).unwrap();
        (0..200).for_each(|n| _ = cache.insert(n, n));
        // Fewer than the list has places for, as many, more, and many times as many.
        for n in 0..used {
            assert_eq!(cache.get(&n), Some(n));
            assert_eq!((cache.peek(&n), cache.contains(&200)), (Some(n), false), "no use");
        }
        assert_eq!(cache.get(&200), None);
        assert_eq!((cache.snapshot().hits, cache.snapshot().misses), (used.into(), 1));
        for n in used..200 {
            assert_eq!(cache.insert(1_000 + n, 0), Inserted::Evicted(n, n), "{used} used");
        }
        assert!((0..used).all(|n| cache.contains(&n)));
    }
    for used in [0, 1, 27, 28, 29, 57, 150] {
        run::<Lru<u8>>(used);
    }
    run::<daur_core::performance::cache::Sieve<u8>>(0);
    run::<daur_core::performance::cache::Sieve<u8>>(8);
}

#[test]
fn the_order_of_uses_is_that_of_one_thread_whoever_reads_how() {
    // Beside a cache of core that is told the same, for keys of all kinds of ages and ways to ask.
    let clock = ManualClock::new(Instant::from_secs(1));
    let config = Config { max_size: 64, ttl: Some(Duration::from_secs(100)), ..Config::DEFAULT };
    let cache: SharedCache<u64, u64, Lru<u8>, Seeded, &ManualClock> =
        SharedCache::with_hasher(config, &clock, Seeded::default()).unwrap();
    let mut model: Box<machine::Cache<u64, u64, 64, Lru<u8>>> =
        Box::new(machine::Cache::new(machine::Config { ttl: config.ttl, idle: None }));
    let mut rng = daur_core::rng::Rng::new(7);
    for step in 0..50_000 {
        let (key, now) = (rng.at_most(99), clock.now());
        match rng.at_most(99) {
            0..70 => assert_eq!(cache.get(&key), model.get(&key, now).copied(), "step {step}"),
            70..80 => assert_eq!(cache.peek(&key), model.peek(&key, now).copied(), "step {step}"),
            80..85 => {
                let found = model.get(&key, now).copied();
                let value = found.unwrap_or(step);
                assert_eq!(cache.get_or_insert_with(&key, || step), value, "step {step}");
                if found.is_none() {
                    model.poll(now);
                    model.insert(key, step, now);
                }
            }
            85..97 => {
                // A full lock sweeps first.
                model.poll(now);
                cache.sweep(usize::MAX);
                assert_eq!(cache.insert(key, step), model.insert(key, step, now), "step {step}");
            }
            97 => assert_eq!(cache.remove(&key), model.remove(&key, now), "step {step}"),
            _ => clock.advance(Duration::from_millis(rng.at_most(9_000))),
        }
    }
    let (ours, its) = (cache.snapshot(), model.snapshot());
    assert_eq!((ours.hits, ours.misses, ours.evicted), (its.hits, its.misses, its.evicted));
    assert!(ours.hits > 10_000 && ours.evicted > 1_000 && ours.expired > 100, "{ours:?}");
}

#[test]
fn no_hit_of_many_threads_is_lost() {
    fn run<P: Policy + Send + Sync + 'static>() {
        let config = Config { max_size: 300, ..Config::DEFAULT };
        let cache: SharedCache<u64, u64, P, Seeded, Instant> =
            SharedCache::with_hasher(config, Instant::ZERO, Seeded::default()).unwrap();
        (0..100).for_each(|n| _ = cache.insert(n, n));
        thread::scope(|scope| {
            for thread in 0..4 {
                let cache = &cache;
                scope.spawn(move || {
                    for n in 0..10_000 {
                        let key = (n * 7 + thread) % 110;
                        assert_eq!(cache.get(&key), (key < 100).then_some(key));
                    }
                });
            }
        });
        let missed: u64 =
            (0..4).map(|thread| (0..10_000).filter(|n| (n * 7 + thread) % 110 >= 100).count() as u64).sum();
        let Snapshot { hits, misses, evicted, .. } = cache.snapshot();
        assert_eq!((hits, misses, evicted), (40_000 - missed, missed, 0));
    }
    run::<Lru<u8>>();
    run::<daur_core::performance::cache::Sieve<u8>>();
}
