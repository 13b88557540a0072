//! The attributes: what they do, on both flavours; and what the compiler says.

use std::cell::Cell;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use daur_core::attributes::{AsyncSleep, Sleep};
use daur_core::monitoring::profiler::Profiler;
use daur_core::reliability::breaker::{self, Breaker, Open, State};
use daur_core::reliability::retry::Class;
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::{ManualClock, TokioClock};
use daur_std::monitoring::profiler::PROFILER;
use daur_std::reliability::breaker::SharedBreaker;

mod breakers;
mod fallbacks;
mod functions;
mod requires;
mod retries;

#[test]
fn the_compiler_says_what_is_wrong_where_it_stands() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}

// What must compile is compiled here, which saves building everything a second time.
#[path = "../../ui/pass/on_functions.rs"]
mod on_functions;
#[path = "../../ui/pass/renamed.rs"]
mod renamed;
#[path = "../../ui/pass/shadowed_names.rs"]
mod shadowed_names;

#[test]
fn the_attributes_stand_where_they_may() {
    on_functions::main();
    renamed::main();
    shadowed_names::main();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Down,
    Wrong,
    Refused { retry_at: Instant },
}

impl From<Open> for Error {
    fn from(open: Open) -> Self {
        Self::Refused { retry_at: open.retry_at }
    }
}

fn classify(error: &Error) -> Class {
    if *error == Error::Wrong { Class::Permanent } else { Class::Transient }
}

#[daur_std::retry(max_attempts = 4, delay = "0ms", max_delay = "0ms", classify = classify)]
fn succeeds_at(calls: &Cell<u32>, at: u32, error: Error) -> Result<u32, Error> {
    calls.set(calls.get() + 1);
    if calls.get() < at {
        return Err(error);
    }
    Ok(calls.get())
}

#[test]
fn a_function_runs_again_until_it_succeeds_or_its_attempts_are_used_up() {
    let calls = Cell::new(0);
    assert_eq!(succeeds_at(&calls, 4, Error::Down), Ok(4));
    calls.set(0);
    assert_eq!(succeeds_at(&calls, 5, Error::Down), Err(Error::Down));
    assert_eq!(calls.get(), 4);
}

#[test]
fn an_error_that_no_retry_helps_comes_back_at_once() {
    let calls = Cell::new(0);
    assert_eq!(succeeds_at(&calls, 4, Error::Wrong), Err(Error::Wrong));
    assert_eq!(calls.get(), 1);
}

struct Line {
    sent: Vec<u8>,
}

impl Line {
    #[daur_std::retry(max_attempts = 3, delay = "100ms", jitter = "none")]
    async fn send(&mut self, byte: u8) -> Result<usize, Error> {
        self.sent.push(byte);
        tokio::task::yield_now().await;
        if self.sent.len() < 3 {
            Err(Error::Down)?;
        }
        Ok(self.sent.len())
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_method_waits_on_tokio_between_its_attempts() {
    let start = TokioClock.now();
    let mut line = Line { sent: Vec::new() };
    assert_eq!(line.send(7).await, Ok(3));
    let took = (TokioClock.now() - start).as_millis();
    assert!((300..=303).contains(&took), "{took}");
}

static UPSTREAM_CLOCK: ManualClock = ManualClock::new(Instant::from_secs(10));

#[daur_std::circuit_breaker(failure_threshold = 2, recovery_timeout = "5s", time = UPSTREAM_CLOCK)]
async fn upstream(answer: Result<u8, Error>) -> Result<u8, Error> {
    if answer == Err(Error::Wrong) {
        pending::<()>().await;
    }
    answer
}

#[tokio::test]
async fn a_breaker_refuses_probes_and_survives_a_dropped_probe() {
    assert_eq!(upstream(Err(Error::Down)).await, Err(Error::Down));
    assert_eq!(upstream(Err(Error::Down)).await, Err(Error::Down));
    assert_eq!(upstream(Ok(1)).await, Err(Error::Refused { retry_at: Instant::from_secs(15) }));
    UPSTREAM_CLOCK.set(Instant::from_secs(15));
    tokio::select! {
        biased;
        _ = upstream(Err(Error::Wrong)) => unreachable!("it never ends"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(upstream(Ok(1)).await, Ok(1));
}

static NAMED: SharedBreaker = SharedBreaker::new(breaker::Config { failures: 1, ..breaker::Config::DEFAULT });

#[daur_std::circuit_breaker(breaker = NAMED, open = |_| "not asked", classify = |error| match *error {
    "yours" => Class::Ignored,
    _ => Class::Transient,
})]
fn named(answer: Result<u8, &'static str>) -> Result<u8, &'static str> {
    answer
}

#[test]
fn a_named_breaker_can_be_seen_and_reset_from_outside() {
    assert_eq!(named(Err("yours")), Err("yours"));
    assert_eq!(NAMED.state(), State::Closed);
    assert_eq!(named(Err("mine")), Err("mine"));
    assert_eq!(named(Ok(1)), Err("not asked"));
    assert_eq!(NAMED.state(), State::Open);
    NAMED.reset();
    assert_eq!(named(Ok(1)), Ok(1));
}

/// The first attribute written is the nearest to the body: here every attempt asks the breaker.
#[daur_std::circuit_breaker(failure_threshold = 2)]
#[daur_std::retry(max_attempts = 4, delay = "0ms", max_delay = "0ms")]
fn stacked(calls: &AtomicU32) -> Result<(), Error> {
    calls.fetch_add(1, SeqCst);
    Err(Error::Down)
}

#[test]
fn the_first_attribute_is_the_nearest_to_the_body() {
    let calls = AtomicU32::new(0);
    assert!(matches!(stacked(&calls), Err(Error::Refused { .. })));
    assert_eq!(calls.load(SeqCst), 2);
}

#[daur_std::measure_time("attributes.divide")]
fn divide(a: u32, b: u32) -> Result<u32, Error> {
    let quotient = a.checked_div(b).ok_or(Error::Wrong)?;
    Ok(quotient)
}

#[daur_std::measure_time]
async fn by_its_path(forever: bool) -> u32 {
    if forever {
        pending::<()>().await;
    }
    5
}

#[tokio::test]
async fn a_measured_function_is_in_the_profiler() {
    assert_eq!((divide(6, 2), divide(6, 0)), (Ok(3), Err(Error::Wrong)));
    let stats = PROFILER.with(|profiler, _| profiler.snapshot("attributes.divide")).unwrap();
    assert_eq!((stats.time.count, stats.errors, stats.in_flight), (2, 1, 0));

    assert_eq!(by_its_path(false).await, 5);
    tokio::select! {
        biased;
        _ = by_its_path(true) => unreachable!("it never ends"),
        () = tokio::task::yield_now() => {}
    }
    let name = concat!(module_path!(), "::by_its_path");
    let stats = PROFILER.with(|profiler, _| profiler.snapshot(name)).unwrap();
    assert_eq!((stats.time.count, stats.abandoned, stats.in_flight), (1, 1, 0));
}

/// A device's timer: sleeping moves its clock.
struct Timer(ManualClock);

static TIMER: Timer = Timer(ManualClock::new(Instant::ZERO));

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

static DEVICE: CsShared<Profiler<4, 4>, &'static (dyn Clock + Sync)> = CsShared::new(Profiler::new(), &TIMER);

/// Everything from `daur_core` alone, as on a device.
#[daur_core::retry(max_attempts = 3, delay = "100ms", seed = 7, jitter = "equal", time = TIMER)]
#[daur_core::circuit_breaker(failure_threshold = 1, recovery_timeout = "5s", time = TIMER)]
#[daur_core::measure_time("read", profiler = DEVICE)]
fn read(calls: &Cell<u32>) -> Result<u32, Error> {
    calls.set(calls.get() + 1);
    if calls.get() < 7 { Err(Error::Down) } else { Ok(calls.get()) }
}

#[daur_core::retry(delay = "100ms", jitter = "none", time = TIMER)]
#[daur_core::circuit_breaker(time = TIMER)]
#[daur_core::measure_time("poll", profiler = DEVICE)]
async fn poll(calls: &AtomicU32) -> Result<u32, Error> {
    if calls.fetch_add(1, SeqCst) < 2 { Err(Error::Down) } else { Ok(7) }
}

#[tokio::test]
async fn without_a_host_time_comes_from_the_static_that_is_named() {
    let calls = Cell::new(0);
    assert_eq!(read(&calls), Err(Error::Down));
    assert_eq!(calls.get(), 3, "three attempts, which the breaker counts as one failure");
    let now = TIMER.now();
    assert!(now >= Instant::from_millis(150) && now <= Instant::from_millis(300), "{now:?}");
    assert_eq!(read(&calls), Err(Error::Refused { retry_at: now + Duration::from_secs(5) }));
    TIMER.0.advance(Duration::from_secs(5));
    assert_eq!(read(&calls), Err(Error::Down));
    TIMER.0.advance(Duration::from_secs(5));
    assert_eq!(read(&calls), Ok(7));
    let stats = DEVICE.with(|profiler, _| profiler.snapshot("read")).unwrap();
    assert_eq!((stats.time.count, stats.errors), (4, 3));

    assert_eq!(poll(&AtomicU32::new(0)).await, Ok(7));
    assert_eq!(DEVICE.with(|profiler, _| profiler.snapshot("poll")).unwrap().time.count, 1);
}

#[test]
fn any_shared_breaker_will_do_without_a_host() {
    static BUS: CsShared<Breaker, Instant> =
        CsShared::new(Breaker::new(breaker::Config { failures: 1, ..breaker::Config::DEFAULT }), Instant::ZERO);

    #[daur_core::circuit_breaker(breaker = BUS)]
    fn bus() -> Result<(), Error> {
        Err(Error::Down)
    }

    assert_eq!(bus(), Err(Error::Down));
    assert!(matches!(bus(), Err(Error::Refused { .. })));
    BUS.with(Breaker::reset);
    assert_eq!(bus(), Err(Error::Down));
}
