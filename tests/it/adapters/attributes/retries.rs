//! `#[retry]` with a named config, a budget, a hint from the error; on both flavours.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use daur_core::attributes::{AsyncSleep, Sleep};
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::retry::{Attempts, Class, Config, Jitter, Strategy};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::{ManualClock, TokioClock};
use daur_std::shared::StdShared;

/// How long the calls waited in all.
struct Timer(ManualClock);

impl Timer {
    const fn new() -> Self {
        Self(ManualClock::new(Instant::ZERO))
    }
}

impl Clock for Timer {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl Sleep for Timer {
    fn sleep(&self, length: Duration) {
        self.0.advance(length);
    }
}

impl AsyncSleep for Timer {
    async fn sleep(&self, length: Duration) {
        self.0.advance(length);
    }
}

const STEADY: Config = Config {
    max_attempts: Attempts::Limited(5),
    initial_delay: Duration::from_millis(100),
    strategy: Strategy::Linear,
    jitter: Jitter::None,
    ..Config::DEFAULT
};

static NAMED: Timer = Timer::new();

#[daur_std::retry(config = STEADY, time = NAMED)]
fn named(calls: &AtomicU32) -> Result<(), u32> {
    Err(calls.fetch_add(1, SeqCst))
}

#[test]
fn a_named_config_decides_instead_of_arguments() {
    let calls = AtomicU32::new(0);
    assert_eq!(named(&calls), Err(4));
    assert_eq!(NAMED.now(), Instant::from_millis(100 + 200 + 300 + 400));
}

static BUS: Timer = Timer::new();

/// Without a host: no seed is needed, as the compiler can see that this config draws nothing.
#[daur_core::retry(config = STEADY, time = BUS, classify = |left: &u32| match left {
    9 => Class::TransientAfter(Duration::from_secs(2)),
    0 => Class::Ignored,
    _ => Class::Transient,
})]
async fn hinted(errors: &[AtomicU32]) -> Result<(), u32> {
    let next = errors.iter().map(|error| error.swap(100, SeqCst)).find(|error| *error != 100);
    next.map_or(Ok(()), Err)
}

#[tokio::test]
async fn an_error_may_say_when_to_come_back_or_that_nobody_should() {
    assert_eq!(hinted(&[9].map(AtomicU32::new)).await, Ok(()));
    assert_eq!(BUS.now(), Instant::from_secs(2));
    assert_eq!(hinted(&[9, 0, 5].map(AtomicU32::new)).await, Err(0));
}

static SHARE: StdShared<Budget> = StdShared::new(Budget::new(budget::Config::ratio(60)));

#[daur_std::retry(max_attempts = 2, delay = "0ms", max_delay = "0ms", budget = SHARE)]
fn funded(calls: &AtomicU32) -> Result<(), u32> {
    Err(calls.fetch_add(1, SeqCst))
}

#[test]
fn a_budget_that_all_calls_share_limits_the_retries_of_all() {
    let calls = AtomicU32::new(0);
    for _ in 0..10 {
        funded(&calls).unwrap_err();
    }
    assert_eq!(calls.load(SeqCst), 16, "10 first tries at 60 percent fund 6 retries");
}

static BUCKET: CsShared<Budget, Instant> = CsShared::new(
    Budget::new(budget::Config::TokenBucket { capacity: 10, retry_cost: 5, first_try_gain: 1 }),
    Instant::ZERO,
);

#[daur_core::retry(max_attempts = 3, delay = "1s", jitter = "none", time = TokioClock, budget = BUCKET)]
async fn bucket(calls: &AtomicU32, until: u32) -> Result<u32, u32> {
    let call = calls.fetch_add(1, SeqCst);
    if call < until { Err(call) } else { Ok(call) }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_gives_the_budget_back_what_it_was_paid_with() {
    let tokens = || BUCKET.with(|budget, _| budget.snapshot());
    let (before, calls) = (tokens(), AtomicU32::new(0));
    tokio::select! {
        biased;
        _ = bucket(&calls, 9) => unreachable!("it waits"),
        () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
    }
    assert_eq!(tokens(), before);
    // A success after a retry brings back what the retry has taken, failures do not.
    assert_eq!(bucket(&AtomicU32::new(0), 1).await, Ok(1));
    assert_eq!(tokens().tokens, before.tokens);
    assert_eq!(bucket(&AtomicU32::new(0), 9).await, Err(2));
    assert_eq!(tokens().tokens, 0);
    assert_eq!(bucket(&AtomicU32::new(0), 9).await, Err(0), "nothing pays for a retry any more");
}

static FOREVER: Timer = Timer::new();

#[daur_core::retry(max_attempts = "forever", delay = "1s", max_delay = "1m", jitter = "10%", seed = 7, time = FOREVER)]
fn reconnects(calls: &AtomicU32) -> Result<u32, ()> {
    let call = calls.fetch_add(1, SeqCst);
    if call < 1_000 { Err(()) } else { Ok(call) }
}

#[test]
fn a_device_that_must_reconnect_goes_on_forever_and_never_waits_longer_than_allowed() {
    assert_eq!(reconnects(&AtomicU32::new(0)), Ok(1_000));
    let waited = FOREVER.now() - Instant::ZERO;
    assert!(waited > Duration::from_secs(1_000 * 50) && waited <= Duration::from_secs(1_000 * 60), "{waited:?}");
}

static ELAPSED: Timer = Timer::new();

#[daur_std::retry(max_attempts = "forever", delay = "1s", strategy = "constant", jitter = "none", max_elapsed = "3500ms", time = ELAPSED)]
fn limited(calls: &AtomicU32) -> Result<(), u32> {
    Err(calls.fetch_add(1, SeqCst))
}

#[test]
fn the_last_wait_is_cut_to_what_is_left_of_the_time() {
    assert_eq!(limited(&AtomicU32::new(0)), Err(4));
    assert_eq!(ELAPSED.now(), Instant::from_millis(3_500));
}
