//! `#[circuit_breaker]` with a named config, windows, slow calls; on both flavours.

use std::sync::LazyLock;

use daur_core::reliability::breaker::{Backoff, Breaker, Config, Consecutive, Growth, Open};
use daur_core::reliability::retry::Class;
use daur_core::shared::CsShared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::reliability::breaker::SharedBreaker;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Down,
    Wrong,
    Open,
}

impl From<Open> for Error {
    fn from(_: Open) -> Self {
        Self::Open
    }
}

const ONE: Config = Config { failures: 1, recovery_timeout: Duration::from_secs(5), ..Config::DEFAULT };

static NAMED: ManualClock = ManualClock::new(Instant::ZERO);

#[daur_std::circuit_breaker(config = ONE, time = NAMED)]
fn named(answer: Result<u8, Error>) -> Result<u8, Error> {
    answer
}

#[test]
fn a_named_config_opens_the_breaker_and_closes_it_again() {
    assert_eq!(named(Err(Error::Down)), Err(Error::Down));
    assert_eq!(named(Ok(1)), Err(Error::Open));
    NAMED.advance(Duration::from_secs(5));
    assert_eq!((named(Ok(1)), named(Ok(2))), (Ok(1), Ok(2)));
}

#[daur_std::circuit_breaker(window = 100, failure_pct = 50, min_calls = 10)]
fn counted(answer: Result<u8, Error>) -> Result<u8, Error> {
    answer
}

#[test]
fn a_count_window_opens_by_its_rate_and_forgets_what_falls_out() {
    for _ in 0..1_000 {
        assert_eq!(counted(Ok(1)), Ok(1));
    }
    for _ in 0..50 {
        assert_eq!(counted(Err(Error::Down)), Err(Error::Down));
    }
    assert_eq!(counted(Ok(1)), Err(Error::Open));
}

static TIMED: ManualClock = ManualClock::new(Instant::ZERO);

#[daur_core::circuit_breaker(config = ONE, window = "1m", buckets = 6, failure_pct = 100, min_calls = 2, time = TIMED)]
async fn timed(answer: Result<u8, Error>) -> Result<u8, Error> {
    answer
}

#[tokio::test]
async fn a_time_window_counts_the_latest_time_only() {
    assert_eq!(timed(Err(Error::Down)).await, Err(Error::Down));
    TIMED.advance(Duration::from_secs(61));
    assert_eq!(timed(Err(Error::Down)).await, Err(Error::Down), "the first failure has left");
    assert_eq!(timed(Err(Error::Down)).await, Err(Error::Down));
    assert_eq!(timed(Ok(1)).await, Err(Error::Open));
}

static SLOW: ManualClock = ManualClock::new(Instant::ZERO);

#[daur_std::circuit_breaker(window = 10, min_calls = 2, slow_call = "2s", slow_pct = 100, time = SLOW)]
fn slow(takes: Duration) -> Result<u8, Error> {
    SLOW.advance(takes);
    Ok(1)
}

#[daur_std::circuit_breaker(window = "1m", min_calls = 2, slow_call = "2s", time = SLOW)]
async fn slow_later(takes: Duration) -> Result<u8, Error> {
    SLOW.advance(takes);
    Ok(1)
}

#[tokio::test]
async fn slow_calls_open_it_and_a_call_of_exactly_the_limit_is_not_slow() {
    let (limit, longer) = (Duration::from_secs(2), Duration::from_millis(2_001));
    for takes in [limit, longer] {
        assert_eq!((slow(takes), slow_later(takes).await), (Ok(1), Ok(1)));
    }
    for _ in 0..9 {
        assert_eq!(slow(longer), Ok(1), "not all of the last ten are slow");
    }
    assert_eq!(slow(longer), Err(Error::Open));
    assert_eq!(slow_later(longer).await, Ok(1), "one of three was not slow");
}

/// Made at its first use, as one must be whose config is read at run time.
static LATE: LazyLock<SharedBreaker> = LazyLock::new(|| SharedBreaker::try_new(ONE).unwrap());

#[daur_std::circuit_breaker(breaker = LATE, classify = |error| if *error == Error::Wrong { Class::Ignored } else { Class::Permanent })]
fn late(answer: Result<u8, Error>) -> Result<u8, Error> {
    answer
}

#[daur_std::circuit_breaker(breaker = LATE)]
async fn late_too() -> Result<u8, Error> {
    Ok(1)
}

#[tokio::test]
async fn several_functions_may_name_one_breaker_made_at_run_time() {
    assert_eq!((late(Err(Error::Wrong)), late_too().await), (Err(Error::Wrong), Ok(1)));
    assert_eq!((late(Err(Error::Down)), late_too().await), (Err(Error::Down), Err(Error::Open)));
}

const GROWTH: Growth = Growth::DEFAULT;

/// A breaker of another mode than the attribute makes itself.
static GROWING: CsShared<Breaker<Backoff<Consecutive>>, &'static (dyn Clock + Sync)> =
    CsShared::new(Breaker::with_mode(ONE, Backoff::new(Consecutive::new(1), GROWTH, 7)), &GROWING_CLOCK);
static GROWING_CLOCK: ManualClock = ManualClock::new(Instant::ZERO);

#[daur_core::circuit_breaker(breaker = GROWING)]
fn growing(answer: Result<u8, Error>) -> Result<u8, Error> {
    answer
}

#[test]
fn a_breaker_of_any_mode_may_be_named() {
    assert_eq!((growing(Err(Error::Down)), growing(Ok(1))), (Err(Error::Down), Err(Error::Open)));
    GROWING_CLOCK.advance(Duration::from_secs(10));
    assert_eq!(growing(Ok(1)), Ok(1));
}

/// A call that panics gives its probe back.
#[daur_std::circuit_breaker(config = ONE, time = PANICS)]
fn panics(answer: Option<Result<u8, Error>>) -> Result<u8, Error> {
    answer.expect("an answer")
}

static PANICS: ManualClock = ManualClock::new(Instant::ZERO);

#[test]
fn known_bug_a_probe_that_panics_does_not_wedge_the_breaker() {
    panics(Some(Err(Error::Down))).unwrap_err();
    PANICS.advance(Duration::from_secs(5));
    std::panic::catch_unwind(|| panics(None)).unwrap_err();
    assert_eq!(panics(Some(Ok(1))), Ok(1));
}
