//! The profiler of a host: threads, tasks, and what `#[measure_time]` makes of them.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};

use daur_core::monitoring::profiler::{Outcome, Profiler};
use daur_core::shared::Shared;
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::monitoring::profiler::{PROFILER, performance_monitor};
use daur_std::shared::StdShared;

/// One whose time a test makes.
static TIMED: StdShared<Profiler<8, 8>, ManualClock> =
    StdShared::with_clock(Profiler::new(), ManualClock::new(Instant::ZERO));

fn pass(millis: u64) {
    TIMED.clock().advance(Duration::from_millis(millis));
}

#[daur_std::measure_time("timed.wait", profiler = TIMED)]
async fn wait(busy: u64) -> Result<(), ()> {
    pass(busy);
    tokio::task::yield_now().await;
    pass(busy);
    Err(())
}

#[tokio::test]
async fn a_task_is_measured_by_the_wall_and_by_its_polls() {
    let mut waiting = Box::pin(wait(3));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    pass(100);
    assert!(waiting.await.is_err());
    let stats = TIMED.with(|profiler, _| profiler.snapshot("timed.wait")).unwrap();
    assert_eq!((stats.time.max, stats.polled), (Some(106_000_000), Duration::from_millis(6)));
    assert_eq!((stats.errors, stats.in_flight), (1, 0));
}

#[daur_std::measure_time("monitoring.fib")]
fn fib(n: u32) -> u32 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[test]
fn recursion_on_many_threads_is_counted_call_by_call() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(fib(10), 55));
        }
    });
    let stats = performance_monitor().get_stats("monitoring.fib").unwrap();
    assert_eq!((stats.time.count, stats.in_flight, stats.abandoned), (4 * 177, 0, 0));
}

#[test]
fn a_guard_may_be_ended_by_another_thread() {
    let guard = performance_monitor().start("monitoring.moved");
    std::thread::spawn(move || guard.finish(Outcome::Error)).join().unwrap();
    let stats = performance_monitor().get_stats("monitoring.moved").unwrap();
    assert_eq!((stats.time.count, stats.errors, stats.in_flight), (1, 1, 0));
}

#[daur_std::measure_time("monitoring.outer")]
async fn outer(deeper: bool) -> u32 {
    if deeper { Box::pin(outer(false)).await + 1 } else { inner() }
}

#[daur_std::measure_time("monitoring.inner")]
fn inner() -> u32 {
    7
}

#[tokio::test]
async fn operations_within_operations_count_for_themselves() {
    assert_eq!(outer(true).await, 8);
    let count = |op| performance_monitor().get_stats(op).unwrap().time.count;
    assert_eq!((count("monitoring.outer"), count("monitoring.inner")), (2, 1));
}

#[daur_std::measure_time("monitoring.endless")]
async fn endless() {
    pending::<()>().await;
}

#[daur_std::measure_time("monitoring.panics")]
fn panics(when: bool) -> Result<u8, std::num::ParseIntError> {
    assert!(!when, "it was asked to");
    "seven".parse()
}

#[tokio::test]
async fn a_cancelled_task_and_a_panic_are_abandoned() {
    let task = tokio::spawn(endless());
    while performance_monitor().get_stats("monitoring.endless").is_none_or(|stats| stats.in_flight == 0) {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let stats = performance_monitor().get_stats("monitoring.endless").unwrap();
    assert_eq!((stats.abandoned, stats.in_flight, stats.time.count), (1, 0, 0));

    assert!(catch_unwind(AssertUnwindSafe(|| panics(true))).is_err());
    assert!(panics(false).is_err());
    let stats = performance_monitor().get_stats("monitoring.panics").unwrap();
    assert_eq!((stats.abandoned, stats.errors, stats.time.count, stats.in_flight), (1, 1, 1, 0));
}

struct Store<T> {
    items: Vec<T>,
}

impl<T: Clone + Send + Sync> Store<T> {
    #[daur_std::measure_time("monitoring.get")]
    fn get(&self, place: usize) -> Option<&T> {
        self.items.get(place)
    }

    #[daur_std::measure_time("monitoring.push")]
    async fn push(&mut self, item: T) -> Result<usize, String> {
        if self.items.len() > 1 {
            return Err("full".to_string());
        }
        tokio::task::yield_now().await;
        self.items.push(item);
        Ok(self.items.len())
    }
}

#[tokio::test]
async fn methods_of_generic_types_are_measured_for_all_of_them_together() {
    let mut numbers = Store { items: vec![1_u8] };
    let mut names = Store { items: vec!["a".to_string()] };
    assert_eq!((numbers.push(2).await, numbers.push(3).await), (Ok(2), Err("full".to_string())));
    // A spawned one is `Send`.
    let pushed = tokio::spawn(async move { names.push("b".to_string()).await.map(|_| names.get(1).cloned()) });
    assert_eq!(pushed.await.unwrap(), Ok(Some("b".to_string())));
    assert_eq!(numbers.get(5), None);
    let of = |op: &str| PROFILER.with(|profiler, _| profiler.snapshot(op)).unwrap();
    assert_eq!((of("monitoring.push").time.count, of("monitoring.push").errors), (3, 1));
    assert_eq!((of("monitoring.get").time.count, of("monitoring.get").errors), (2, 0), "a None is no error");
}
