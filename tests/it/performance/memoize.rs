//! `#[memoize]` from `daur_core` alone, as on a device.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;

use daur_core::memoize;
use daur_core::performance::cache::{Cache, Config, Lru};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Clock, Duration, Instant};

fn count(calls: &AtomicU32) -> u32 {
    calls.fetch_add(1, SeqCst) + 1
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[memoize(maxsize = 4)]
fn scaled(value: u16, by: &u16) -> u32 {
    count(&CALLS);
    u32::from(value) * u32::from(*by)
}

#[test]
fn an_answer_is_kept_under_its_arguments_and_the_one_used_longest_ago_leaves_first() {
    assert_eq!((scaled(2, &3), scaled(2, &3), scaled(3, &2)), (6, 6, 6));
    assert_eq!(CALLS.load(SeqCst), 2);
    (4..7).for_each(|value| assert_eq!(scaled(value, &1), u32::from(value)));
    scaled_memo().with(|cache, now| {
        let stats = cache.snapshot();
        assert_eq!((stats.hits, stats.misses, stats.evicted, stats.len), (1, 5, 1, 4));
        assert_eq!((cache.peek(&(2, 3), now), cache.peek(&(3, 2), now)), (None, Some(&6)));
        cache.clear();
    });
    assert_eq!((scaled(2, &3), CALLS.load(SeqCst)), (6, 6));
}

/// A counter that a test moves.
struct Timer(AtomicU64);

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::from_secs(self.0.load(SeqCst))
    }
}

static TIMER: Timer = Timer(AtomicU64::new(100));

#[memoize(ttl = "60s", time = TIMER)]
fn aged(_channel: u8) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    count(&CALLS)
}

#[test]
fn an_answer_is_good_until_and_no_longer_at_its_ttl() {
    assert_eq!((aged(1), aged(2), aged(1)), (1, 2, 1));
    TIMER.0.store(159, SeqCst);
    assert_eq!(aged(1), 1);
    TIMER.0.store(160, SeqCst);
    assert_eq!(aged(1), 3);
    TIMER.0.store(161, SeqCst);
    assert_eq!(aged(1), 3);
}

static DESK: Timer = Timer(AtomicU64::new(0));

#[memoize(maxsize = 4, ttl = "60s", idle = "10s", time = DESK, policy = "sieve")]
fn asked_for(_channel: u8) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    count(&CALLS)
}

#[test]
fn an_answer_that_nobody_asks_for_goes_before_its_ttl() {
    assert_eq!(asked_for(1), 1);
    for second in [9, 18, 27, 36, 45, 54] {
        DESK.0.store(second, SeqCst);
        assert_eq!(asked_for(1), 1);
    }
    DESK.0.store(60, SeqCst);
    assert_eq!(asked_for(1), 2, "the ttl");
    DESK.0.store(70, SeqCst);
    assert_eq!(asked_for(1), 3, "idle for 10 s");
}

/// Not `Clone`: only the value is kept.
#[derive(Debug, PartialEq)]
struct Failed(u32);

#[memoize(maxsize = 8)]
fn fails_once(_key: u8) -> Result<u32, Failed> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = count(&CALLS);
    if calls == 1 {
        return Err(Failed(calls));
    }
    Ok(calls)
}

#[memoize(maxsize = 8, cache_errors = true)]
fn fails_for_good(key: u8) -> Result<u32, u8> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    if count(&CALLS) == 1 { Err(key) } else { Ok(0) }
}

#[memoize(maxsize = 8, cache_none = false)]
fn sometimes(_key: u8) -> Option<u32> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = count(&CALLS);
    (calls > 1).then_some(calls)
}

#[test]
fn errors_are_not_kept_unless_the_attribute_says_so() {
    assert_eq!([(); 3].map(|()| fails_once(1)), [Err(Failed(1)), Ok(2), Ok(2)]);
    assert_eq!((fails_for_good(7), fails_for_good(7)), (Err(7), Err(7)));
    assert_eq!([(); 3].map(|()| sometimes(1)), [None, Some(2), Some(2)]);
}

#[memoize(maxsize = 100)]
fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[test]
fn a_function_may_call_itself_since_its_body_runs_outside_the_critical_section() {
    assert_eq!(fib(90), 2_880_067_194_370_816_120);
    assert_eq!(fib_memo().with(|cache, _| cache.snapshot().misses), 91);
    let answers: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fib(91))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers, [4_660_046_610_375_530_309; 8]);
}

static NAMED: CsShared<Cache<u8, i32, 4, Lru<u8>>, Instant> = CsShared::new(Cache::new(Config::DEFAULT), Instant::ZERO);

struct Bus {
    reads: i32,
    address: u8,
}

trait Read {
    fn read(&mut self) -> i32;
}

impl Read for Bus {
    #[memoize(cache = NAMED, key = |this| this.address)]
    fn read(&mut self) -> i32 {
        self.reads += 1;
        self.reads
    }
}

impl Bus {
    #[memoize(maxsize = 300, key = |this, register, _| -> (u8, u16) { (this.address, *register) })]
    fn register(&mut self, register: u16, buffer: &mut [u8]) -> Result<i32, &'static str> {
        let first = buffer.first_mut().ok_or("no room")?;
        *first += 1;
        self.reads += i32::from(register);
        Ok(self.reads)
    }

    #[memoize(maxsize = 4, memo = Self::names)]
    fn name(address: u8) -> &'static str {
        if address == 0 { "general call" } else { "device" }
    }
}

#[test]
fn a_method_says_what_is_the_key() {
    let mut bus = Bus { reads: 0, address: 7 };
    assert_eq!((bus.read(), bus.read()), (1, 1));
    assert_eq!(NAMED.with(|cache, now| cache.remove(&7, now)), Some(1));
    assert_eq!(bus.read(), 2);
    let mut buffer = [0];
    assert_eq!(bus.register(5, &mut []), Err("no room"));
    assert_eq!((bus.register(5, &mut buffer), bus.register(5, &mut buffer), buffer), (Ok(7), Ok(7), [1]));
    assert_eq!(Bus::register_memo().with(|cache, _| cache.capacity()), 300);
    assert_eq!((Bus::name(0), Bus::name(1), Bus::name(1)), ("general call", "device", "device"));
    assert_eq!(Bus::names().with(|cache, _| cache.snapshot().hits), 1);
}

/// Ready when it is polled for the second time.
fn later<T>(value: T) -> impl Future<Output = T> {
    let mut value = Some(value);
    let mut polled = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut polled, true) { Poll::Ready(value.take().unwrap()) } else { Poll::Pending }
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

#[memoize(maxsize = 4, ttl = "1s", time = TIMER)]
async fn measured(channel: u8, calls: u32) -> Result<u32, Failed> {
    let value = later(u32::from(channel)).await;
    if calls == 0 { Err(Failed(0)) } else { Ok(value + calls) }
}

#[memoize(maxsize = 4)]
fn as_a_future(number: u8) -> impl Future<Output = u8> + Send {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = u8::try_from(count(&CALLS)).unwrap();
    async move { number + calls }
}

#[test]
fn an_async_function_keeps_what_it_gives_in_the_end() {
    assert_eq!(
        (block_on(measured(1, 0)), block_on(measured(1, 1)), block_on(measured(1, 1))),
        (Err(Failed(0)), Ok(2), Ok(2))
    );
    assert_eq!(measured_memo().with(|cache, _| cache.len()), 1);
    assert_eq!((block_on(as_a_future(1)), block_on(as_a_future(1)), block_on(as_a_future(2))), (2, 2, 4));
    // A dropped one keeps nothing.
    let mut dropped = Box::pin(measured(2, 1));
    assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(dropped);
    assert_eq!(measured_memo().with(|cache, _| cache.len()), 1);
}

#[test]
fn what_is_put_aside_is_dropped_outside_the_critical_section() {
    thread_local! {
        static DROPPED: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(Clone)]
    struct Noisy;

    impl Drop for Noisy {
        fn drop(&mut self) {
            // Within, this would be a nested `with`.
            DROPPED.set(noisy_memo().with(|cache, _| cache.len()));
        }
    }

    #[memoize(maxsize = 4)]
    fn noisy(_key: u8) -> Noisy {
        Noisy
    }

    for key in 0..6 {
        drop(noisy(key));
    }
    assert_eq!(DROPPED.get(), 4);
}

#[cfg(test)]
#[memoize(maxsize = 4)]
#[cfg(not(test))]
fn never_there(key: u8) -> u8 {
    key
}

/// The docs stay where they are.
#[memoize]
#[must_use]
pub(crate) fn by_default(key: Duration) -> u64 {
    key.as_nanos()
}

#[test]
fn it_has_128_places_by_default() {
    assert_eq!(by_default(Duration::from_nanos(5)), 5);
    assert_eq!(by_default_memo().with(|cache, _| (cache.capacity(), cache.len())), (128, 1));
}
