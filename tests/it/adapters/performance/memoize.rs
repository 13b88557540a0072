//! `#[memoize]`, on both flavours.

use std::cell::Cell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use daur_core::performance::memory::{Share, Shrink};
use daur_core::shared::Shared;
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::memoize;
use daur_std::monitoring::profiler::PROFILER;
use daur_std::performance::memoize::{self as memo, Config, Key, Memo};

use super::super::allocations;

fn count(calls: &AtomicU32) -> u32 {
    calls.fetch_add(1, SeqCst) + 1
}

static SUMS: AtomicU32 = AtomicU32::new(0);

#[memoize(maxsize = 2)]
fn sum(a: u32, mut b: u32) -> u32 {
    count(&SUMS);
    b += a;
    b
}

#[test]
fn rule_1_an_answer_is_kept_under_its_arguments_and_the_one_used_longest_ago_leaves_first() {
    assert_eq!((sum(1, 2), sum(1, 2), sum(2, 1)), (3, 3, 3));
    assert_eq!(SUMS.load(SeqCst), 2, "the order of the arguments tells them apart");
    sum(1, 2);
    sum(5, 5); // in the place of (2, 1)
    assert_eq!((sum_memo().len(), sum_memo().snapshot().capacity), (2, 2));
    assert_eq!((sum_memo().peek(&(&1, &2)), sum_memo().peek(&(&2, &1))), (Some(3), None));
    let stats = sum_memo().snapshot();
    assert_eq!((stats.hits, stats.misses, stats.inserted, stats.evicted), (2, 3, 3, 1));
}

#[memoize]
fn forgotten(word: &str, number: u8) -> String {
    format!("{word}{number}")
}

#[test]
fn answers_can_be_forgotten_one_by_one_and_all_together() {
    forgotten("a", 1);
    forgotten("b", 2);
    assert_eq!(forgotten_memo().remove(&("a", &1)), Some("a1".to_owned()));
    assert_eq!(forgotten_memo().remove(&("a", &1)), None);
    assert_eq!((forgotten_memo().len(), forgotten_memo().function()), (1, concat!(module_path!(), "::forgotten")));
    forgotten_memo().clear();
    assert!(forgotten_memo().is_empty());
    forgotten("c", 3);
    assert_eq!(forgotten_memo().resize_soft(0), 1);
    assert_eq!(forgotten("c", 3), "c3", "nothing is kept, and all goes on");
    assert!(forgotten_memo().is_empty());
    forgotten_memo().resize_soft(usize::MAX);
    forgotten("c", 3);
    assert_eq!(forgotten_memo().len(), 1);
}

#[memoize]
fn kinds(word: &str, bytes: &[u8], path: &Path, own: String, list: Vec<u8>, _: char) -> (usize, PathBuf, Vec<u8>) {
    (word.len() + bytes.len() + own.len(), path.join(own), list)
}

#[test]
fn an_answer_that_is_kept_is_found_without_an_allocation() {
    #[memoize]
    fn length(word: &str, bytes: &[u8], times: usize) -> usize {
        (word.len() + bytes.len()) * times
    }

    let ask = || length("a word", b"and bytes", 2);
    assert_eq!(ask(), 30);
    assert_eq!(allocations::of(ask), (30, 0, 0));
    let ask = || kinds("a", b"b", Path::new("/"), "c".to_owned(), vec![1], 'x');
    assert_eq!((ask(), ask()), ((3, PathBuf::from("/c"), vec![1]), (3, PathBuf::from("/c"), vec![1])));
    assert_eq!(kinds_memo().snapshot().hits, 1);
    assert!(kinds_memo().peek(&("a", &b"b"[..], Path::new("/"), &"c".to_owned(), &vec![1], &'x')).is_some());
}

static CLOCK: ManualClock = ManualClock::new(Instant::from_secs(1));
static AGED: AtomicU32 = AtomicU32::new(0);

#[memoize(ttl = "60s", time = CLOCK)]
fn aged(_key: u8) -> u32 {
    count(&AGED)
}

#[test]
fn an_answer_is_good_until_and_no_longer_at_its_ttl() {
    assert_eq!(aged(1), 1);
    CLOCK.set(Instant::from_nanos(60_999_999_999));
    assert_eq!(aged(1), 1);
    CLOCK.set(Instant::from_secs(61));
    assert_eq!(aged(1), 2);
    assert_eq!(aged_memo().snapshot().expired, 1);
}

static DESK: ManualClock = ManualClock::new(Instant::from_secs(1));
static RENEWED: AtomicU32 = AtomicU32::new(0);

#[memoize(ttl = "60s", idle = "10s", time = DESK)]
fn asked_for(_key: u8) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    count(&CALLS)
}

#[memoize(ttl = "60s", refresh_ahead = "5s", time = DESK)]
fn renewed(key: &str) -> Result<u32, Failed> {
    let calls = count(&RENEWED);
    // Whoever asks while it is computed anew gets what there is.
    if calls == 2 { Err(Failed(renewed(key).unwrap())) } else { Ok(calls) }
}

#[test]
fn an_answer_that_nobody_asks_for_goes_before_its_ttl_and_one_can_be_renewed_before() {
    assert_eq!((asked_for(1), renewed("a")), (1, Ok(1)));
    DESK.set(Instant::from_secs(10));
    assert_eq!(asked_for(1), 1);
    DESK.set(Instant::from_secs(20));
    assert_eq!((asked_for(1), renewed("a")), (2, Ok(1)));
    DESK.set(Instant::from_secs(57));
    assert_eq!((renewed("a"), RENEWED.load(SeqCst)), (Ok(1), 2), "an error changes nothing");
    assert_eq!((renewed("a"), RENEWED.load(SeqCst)), (Ok(3), 3));
    DESK.set(Instant::from_secs(100));
    assert_eq!(renewed("a"), Ok(3));
    let stats = renewed_memo().snapshot();
    assert_eq!((stats.misses, stats.len), (1, 1));
}

static LATER: AtomicU32 = AtomicU32::new(0);

#[memoize(ttl = "60s")]
async fn aged_later(_key: u8) -> u32 {
    tokio::task::yield_now().await;
    count(&LATER)
}

#[tokio::test(start_paused = true)]
async fn an_async_function_lives_by_the_clock_of_tokio() {
    assert_eq!((aged_later(1).await, aged_later(1).await), (1, 1));
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(aged_later(1).await, 2);
}

/// Not `Clone`: only the value is kept.
#[derive(Debug, PartialEq)]
struct Failed(u32);

static TRIES: AtomicU32 = AtomicU32::new(0);

#[memoize]
fn fails_twice(_key: u8) -> Result<u32, Failed> {
    let tries = count(&TRIES);
    if tries < 3 { Err(Failed(tries)) } else { Ok(tries) }
}

#[test]
fn rule_3_an_error_is_not_kept() {
    assert_eq!([(); 4].map(|()| fails_twice(1)), [Err(Failed(1)), Err(Failed(2)), Ok(3), Ok(3)]);
}

#[memoize(cache_errors = true)]
fn fails(calls: u8) -> Result<u8, String> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    Err(format!("{calls} {}", count(&CALLS)))
}

#[test]
fn an_error_is_kept_where_the_attribute_says_so() {
    assert_eq!((fails(1), fails(1)), (Err("1 1".to_owned()), Err("1 1".to_owned())));
}

/// By its type, whatever it is called.
type Answer = Result<u32, u32>;

#[memoize]
fn by_another_name(even: bool) -> Answer {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = count(&CALLS);
    if even == calls.is_multiple_of(2) { Ok(calls) } else { Err(calls) }
}

#[memoize]
fn io(path: &str) -> std::io::Result<usize> {
    let length = path.parse().map_err(std::io::Error::other)?;
    Ok(length)
}

#[test]
fn a_result_is_known_by_its_type() {
    assert_eq!([(); 4].map(|()| by_another_name(true)), [Err(1), Ok(2), Ok(2), Ok(2)]);
    assert_eq!(io("7").unwrap(), 7);
    assert!(io("x").is_err());
    assert_eq!(io_memo().len(), 1);
}

static NONES: AtomicU32 = AtomicU32::new(0);

#[memoize]
fn none_is_an_answer(_key: u8) -> Option<u32> {
    count(&NONES);
    None
}

#[memoize(cache_none = false)]
fn none_is_none(_key: u8) -> Option<u32> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = count(&CALLS);
    (calls > 1).then_some(calls)
}

#[test]
fn none_is_an_answer_unless_the_attribute_says_that_it_is_none() {
    assert_eq!((none_is_an_answer(1), none_is_an_answer(1), NONES.load(SeqCst)), (None, None, 1));
    assert_eq!((none_is_none(1), none_is_none(1), none_is_none(1)), (None, Some(2), Some(2)));
}

static FIBS: AtomicU32 = AtomicU32::new(0);

#[memoize(maxsize = 200)]
fn fib(n: u64) -> u64 {
    count(&FIBS);
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[memoize(maxsize = 200)]
async fn fib_later(n: u64) -> u64 {
    if n < 2 { n } else { Box::pin(fib_later(n - 1)).await + Box::pin(fib_later(n - 2)).await }
}

#[tokio::test]
async fn rule_4_a_function_may_call_itself() {
    assert_eq!(fib(90), 2_880_067_194_370_816_120);
    assert_eq!(FIBS.load(SeqCst), 91);
    assert_eq!(fib_later(90).await, 2_880_067_194_370_816_120);
    assert_eq!(fib_later_memo().snapshot().misses, 91);
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

#[memoize]
fn itself(key: u8) -> u32 {
    let depth = DEPTH.replace(DEPTH.get() + 1);
    if depth < 3 { itself(key) } else { depth }
}

#[test]
fn rule_4_a_function_that_calls_itself_for_the_same_answer_computes_it() {
    assert_eq!(itself(1), 3);
    assert_eq!(itself(1), 3);
    assert_eq!(DEPTH.get(), 4);
}

#[memoize]
async fn itself_later(key: u8) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let depth = count(&CALLS);
    tokio::task::yield_now().await;
    if depth < 3 { Box::pin(itself_later(key)).await } else { depth }
}

#[tokio::test]
async fn rule_4_an_async_function_that_calls_itself_for_the_same_answer_computes_it() {
    assert_eq!((itself_later(1).await, itself_later(1).await), (3, 3));
}

static SLOW: AtomicU32 = AtomicU32::new(0);
static RELEASE: Barrier = Barrier::new(2);

#[memoize]
fn slow(key: u8) -> u32 {
    let calls = count(&SLOW);
    RELEASE.wait(); // The others are on their way.
    RELEASE.wait();
    calls + u32::from(key)
}

#[test]
fn rule_2_threads_share_one_computation() {
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(|| slow(10))).collect();
    RELEASE.wait();
    while slow_memo().snapshot().misses < 8 {
        thread::yield_now();
    }
    RELEASE.wait();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 11);
    }
    assert_eq!(SLOW.load(SeqCst), 1);
}

static TOGETHER: AtomicU32 = AtomicU32::new(0);

#[memoize]
async fn together(key: String, fails_first: bool) -> Result<u32, Failed> {
    let calls = count(&TOGETHER);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    if fails_first && calls == 1 { Err(Failed(calls)) } else { Ok(calls + u32::try_from(key.len()).unwrap()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rule_2_tasks_share_one_computation_and_rule_3_an_error_is_its_callers_alone() {
    // It can be spawned.
    let tasks: Vec<_> = (0..1_000).map(|_| tokio::spawn(together("key".to_owned(), true))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == Err(Failed(1))).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(5)).count(), 999);
    assert_eq!(TOGETHER.load(SeqCst), 2);
}

static TURNS: AtomicU32 = AtomicU32::new(0);

#[memoize]
async fn first_never_ends(_key: u8) -> u32 {
    let turn = count(&TURNS);
    if turn == 1 {
        pending::<()>().await;
    }
    turn
}

#[tokio::test]
async fn rule_3_a_dropped_computation_passes_on() {
    let first = tokio::spawn(first_never_ends(1));
    tokio::task::yield_now().await;
    let second = tokio::spawn(first_never_ends(1));
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    first.abort();
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!(first_never_ends(1).await, 2);
}

static PANICS: AtomicU32 = AtomicU32::new(0);

#[memoize]
fn panics_first(_key: u8) -> u32 {
    let calls = count(&PANICS);
    assert!(calls > 1, "the first time");
    calls
}

#[test]
fn rule_3_a_panic_is_its_callers_alone() {
    let payload = catch_unwind(AssertUnwindSafe(|| panics_first(1))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the first time"));
    assert_eq!((panics_first(1), panics_first(1)), (2, 2));
}

#[memoize]
fn cleared_by_itself(key: u8) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    cleared_by_itself_memo().remove(&(&key,));
    count(&CALLS)
}

#[test]
fn rule_5_an_answer_forgotten_while_it_is_computed_is_not_kept() {
    assert_eq!((cleared_by_itself(1), cleared_by_itself(1)), (1, 2));
    assert!(cleared_by_itself_memo().is_empty());
}

struct Sensor {
    id: u32,
    reads: AtomicU32,
}

static BY_TRAIT: Memo<u32, u32> = Memo::new("sensors", Config { max_size: 10, ..Config::DEFAULT });

trait Read {
    fn read(&self) -> u32;
}

impl Read for Sensor {
    #[memoize(cache = BY_TRAIT, key = |this| this.id)]
    fn read(&self) -> u32 {
        count(&self.reads)
    }
}

impl Sensor {
    const fn new(id: u32) -> Self {
        Self { id, reads: AtomicU32::new(0) }
    }

    #[memoize(key = |this, channel| -> (u32, u8) { (this.id, *channel) }, policy = "lru")]
    pub fn channel(&self, channel: u8) -> u32 {
        count(&self.reads) + u32::from(channel)
    }

    #[memoize(key = |this: &Self, _| -> u32 { this.id })]
    async fn by_turns(&mut self, step: u32) -> Result<u32, Failed> {
        tokio::task::yield_now().await;
        self.id += step;
        Ok(count(&self.reads))
    }

    #[memoize(memo = Self::halves, maxsize = 1)]
    fn half(of: u32) -> u32 {
        of / 2
    }
}

#[tokio::test]
async fn a_method_says_what_is_the_key() {
    let mut sensor = Sensor::new(7);
    assert_eq!((sensor.channel(1), sensor.channel(1), sensor.channel(2)), (2, 2, 4));
    assert_eq!(Sensor::new(7).channel(1), 2, "by the id alone");
    assert_eq!(Sensor::channel_memo().remove(&Key((7, 1))), Some(2));
    assert_eq!((sensor.read(), Sensor::new(7).read(), Sensor::new(8).read()), (3, 3, 1));
    assert_eq!((sensor.by_turns(1).await, sensor.id, sensor.by_turns(1).await, sensor.id), (Ok(4), 8, Ok(5), 9));
    sensor.id = 7;
    assert_eq!(sensor.by_turns(1).await, Ok(4));
    assert_eq!((Sensor::half(8), Sensor::half(8), Sensor::halves().snapshot().hits), (4, 4, 1));
}

static LENGTHS: Memo<String, usize> = Memo::new("lengths", Config::DEFAULT);

#[memoize(cache = LENGTHS, key = |value| value.to_string())]
fn length_of<T: ToString>(value: T) -> usize {
    value.to_string().len()
}

#[memoize(key = |_, text| -> String { text.to_owned() })]
fn first<'a>(bytes: &mut [u8], text: &'a str) -> Option<char>
where
    'a: 'a,
{
    bytes[0] += 1;
    text.chars().next()
}

#[test]
fn a_key_can_be_made_of_anything() {
    assert_eq!((length_of(5), length_of("5"), length_of(55_u64)), (1, 1, 2));
    assert_eq!((LENGTHS.snapshot().hits, LENGTHS.len()), (1, 2));
    let mut bytes = [0];
    assert_eq!((first(&mut bytes, "x"), first(&mut bytes, "x"), bytes), (Some('x'), Some('x'), [1]));
}

#[memoize]
fn nothing() -> Arc<u32> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    Arc::new(count(&CALLS))
}

#[memoize]
fn is_a_future(key: &str) -> impl Future<Output = Result<usize, Failed>> + Send {
    let length = key.len();
    async move {
        tokio::task::yield_now().await;
        if length == 0 { Err(Failed(0)) } else { Ok(length) }
    }
}

#[memoize]
fn boxed(number: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
    Box::pin(async move { number + 1 })
}

#[memoize]
fn early(number: u32) -> &'static str {
    if number == 0 {
        return "none";
    }
    "some"
}

#[tokio::test]
async fn functions_of_every_shape_are_memoized() {
    assert_eq!((*nothing(), *nothing(), nothing_memo().peek(&())), (1, 1, Some(Arc::new(1))));
    assert_eq!((is_a_future("abc").await, is_a_future("abc").await), (Ok(3), Ok(3)));
    assert_eq!(tokio::spawn(is_a_future("")).await.unwrap(), Err(Failed(0)));
    assert_eq!((is_a_future_memo().snapshot().hits, is_a_future_memo().len()), (1, 1));
    assert_eq!((boxed(1).await, boxed(1).await, boxed_memo().snapshot().hits), (2, 2, 1));
    assert_eq!((early(0), early(1)), ("none", "some"));
}

static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

#[daur_std::retry(max_attempts = 3, delay = "0ms", max_delay = "0ms")]
#[memoize]
#[daur_std::measure_time("memoize.whole")]
fn stacked(_key: u8) -> Result<u32, Failed> {
    let attempt = count(&ATTEMPTS);
    if attempt < 3 { Err(Failed(attempt)) } else { Ok(attempt) }
}

#[test]
fn the_first_attribute_is_the_nearest_to_the_body() {
    assert_eq!((stacked(1), stacked(1)), (Ok(3), Ok(3)));
    assert_eq!(ATTEMPTS.load(SeqCst), 3);
    let stats = PROFILER.with(|profiler, _| profiler.snapshot("memoize.whole")).unwrap();
    assert_eq!((stats.time.count, stats.errors), (2, 0), "every call is measured, and the retries are inside");
}

#[test]
fn all_that_was_asked_is_told() {
    #[memoize]
    fn told(key: u8) -> u8 {
        key
    }

    #[memoize]
    fn never_asked(key: u8) -> u8 {
        key
    }

    told(1);
    told(1);
    assert_eq!(never_asked_memo().snapshot().capacity, 128);
    assert_eq!((never_asked_memo().peek(&(&1,)), never_asked_memo().remove(&(&1,))), (None, None));
    let known = memo::memos();
    let of = |name: &str| known.iter().find(|told| told.function.ends_with(name));
    assert_eq!(of("::told").map(|told| (told.snapshot.hits, told.snapshot.misses)), Some((1, 1)));
    assert!(of("::never_asked").is_none());
    let shown = format!("{:?}", told_memo());
    assert!(shown.contains("::told") && !shown.contains("Key"), "{shown}");
}

#[memoize(maxsize = 40, policy = "sieve")]
fn shrunk(number: u32) -> u32 {
    number
}

#[test]
fn memory_that_is_short_shrinks_what_is_kept() {
    (0..100).for_each(|number| assert_eq!(shrunk(number), number));
    assert_eq!(shrunk_memo().len(), 40);
    // Of a key and an answer at least.
    assert!(shrunk_memo().shrink(Share::permille(250)) >= 30 * 8);
    assert_eq!((shrunk_memo().len(), shrunk_memo().snapshot().capacity), (10, 10));
    assert_eq!(shrunk_memo().shrink(Share::permille(250)), 0);
    shrunk_memo().restore(Share::ALL);
    (0..100).for_each(|number| assert_eq!(shrunk(number), number));
    assert_eq!(shrunk_memo().len(), 40);
}

const _: fn() = || {
    fn can_be_sent<T: Send>(_: T) {}
    can_be_sent(aged_later(1));
    can_be_sent(together(String::new(), false));
    let _ = Duration::ZERO;
};
