//! The profiler that `#[measure_time]` records into.

use daur_core::monitoring::profiler::{self, Outcome, Profiler, Slow, Snapshot, measured, time};
use daur_core::shared::Shared;
use daur_core::time::Duration;

use crate::shared::StdShared;

/// This process's profiler: 64 operations by name, all others together, and the 32 slowest calls.
///
/// [`performance_monitor`] records into it by methods.
///
/// # Example
/// ```
/// use daur_std::core::shared::Shared;
/// use daur_std::measure_time;
/// use daur_std::monitoring::profiler::PROFILER;
///
/// #[measure_time("parse")]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// parse("7").unwrap();
/// parse("seven").unwrap_err();
/// let stats = PROFILER.with(|profiler, _| profiler.snapshot("parse")).unwrap();
/// assert_eq!((stats.time.count, stats.errors), (2, 1));
/// ```
pub static PROFILER: StdShared<Profiler<64, 32>> = StdShared::new(Profiler::new());

/// Measures calls into a profiler shared by all (the seed's `PerformanceMonitor`).
///
/// For a whole function, `#[measure_time]` records into the same one; for a machine of your own size, use a
/// [`Profiler`].
///
/// # Rules
/// 1. A call is measured from its beginning to its end. One that panics or is dropped is counted as abandoned, and its
///    time is not measured.
/// 2. An `Err` is counted as an error, and measured.
/// 3. Operations beyond the 64th are measured together, as [`Profiler::OTHER`].
///
/// # Cost
/// Two locks and two clock readings a call.
///
/// # Sharing
/// Any thread, any task. The future of [`measure_async`](PerformanceMonitor::measure_async) may be dropped.
///
/// # Example
/// ```
/// use daur_std::monitoring::profiler::performance_monitor;
///
/// let monitor = performance_monitor();
/// let sum: u32 = monitor.measure("sum", || (1..=10).sum());
/// let parsed = monitor.try_measure("number", || "seven".parse::<u32>());
/// assert!(sum == 55 && parsed.is_err());
/// assert_eq!(monitor.get_stats("sum").unwrap().time.count, 1);
/// assert_eq!(monitor.get_stats("number").unwrap().errors, 1);
/// assert_eq!(monitor.get_stats("never"), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PerformanceMonitor {
    profiler: &'static StdShared<Profiler<64, 32>>,
}

/// The one monitor of this process (the seed's `get_performance_monitor`): it records into [`PROFILER`].
#[doc(alias = "get_performance_monitor")]
#[must_use]
pub fn performance_monitor() -> &'static PerformanceMonitor {
    static MONITOR: PerformanceMonitor = PerformanceMonitor { profiler: &PROFILER };
    &MONITOR
}

impl PerformanceMonitor {
    /// Runs `call` as one of `op`.
    pub fn measure<R>(&self, op: &'static str, call: impl FnOnce() -> R) -> R {
        let guard = time(self.profiler, op);
        let output = call();
        guard.finish(Outcome::Success);
        output
    }

    /// Runs `call` as one of `op`, whose `Err` counts as an error.
    ///
    /// # Errors
    /// That of `call`.
    pub fn try_measure<T, E>(&self, op: &'static str, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let guard = time(self.profiler, op);
        let output = call();
        guard.finish(Outcome::from(&output));
        output
    }

    /// Runs `future` as a call of `op`; `outcome` reads from what it returned how it ended.
    pub async fn measure_async<F: Future>(
        &self,
        op: &'static str,
        future: F,
        outcome: impl FnOnce(&F::Output) -> Outcome,
    ) -> F::Output {
        measured(self.profiler, op, future, outcome).await
    }

    /// Begins a call of `op`, which the guard ends.
    pub fn start(&self, op: &'static str) -> profiler::Guard<&'static StdShared<Profiler<64, 32>>> {
        time(self.profiler, op)
    }

    /// Records a call that somebody else has timed.
    pub fn record(&self, op: &'static str, took: Duration) {
        self.profiler.with(|profiler, now| profiler.measure(op, took, now));
    }

    /// The figures of one operation, if it was ever called.
    #[doc(alias = "get_performance_stats")]
    #[must_use]
    pub fn get_stats(&self, op: &str) -> Option<Snapshot> {
        self.profiler.with(|profiler, _| profiler.snapshot(op))
    }

    /// The figures of every operation; those measured together come last.
    #[must_use]
    pub fn all_stats(&self) -> Vec<Snapshot> {
        self.profiler.with(|profiler, _| profiler.snapshots().collect())
    }

    /// The slowest calls, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<Slow> {
        self.profiler.with(|profiler, _| profiler.slowest().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn rule_1_a_call_that_panics_or_is_dropped_is_abandoned() {
        let monitor = performance_monitor();
        assert!(catch_unwind(|| monitor.measure("panics", || panic!("the caller's"))).is_err());
        drop(monitor.measure_async("panics", std::future::pending::<()>(), |()| Outcome::Success));
        let mut pending =
            Box::pin(monitor.measure_async("panics", std::future::pending::<()>(), |()| Outcome::Success));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(pending.as_mut().poll(&mut context).is_pending());
        assert_eq!(monitor.get_stats("panics").unwrap().in_flight, 1);
        drop(pending);
        let stats = monitor.get_stats("panics").unwrap();
        assert_eq!((stats.abandoned, stats.in_flight, stats.time.count), (2, 0, 0), "one was never polled");
    }

    #[test]
    fn rule_2_an_err_is_an_error_and_measured() {
        let monitor = performance_monitor();
        assert_eq!(monitor.try_measure("fails", || Err::<(), _>(7)), Err(7));
        monitor.record("fails", Duration::from_millis(2));
        let stats = monitor.get_stats("fails").unwrap();
        assert_eq!((stats.errors, stats.time.count), (1, 2));
        assert!(monitor.all_stats().iter().any(|stats| stats.op == "fails"));
        assert!(monitor.slowest().iter().any(|slow| slow.op == "fails"));
    }

    #[test]
    fn rule_3_operations_beyond_the_64th_are_measured_together() {
        static SMALL: StdShared<Profiler<64, 32>> = StdShared::new(Profiler::new());
        let monitor = PerformanceMonitor { profiler: &SMALL };
        for n in 0..70 {
            monitor.measure(Box::leak(format!("op {n}").into_boxed_str()), || ());
        }
        assert_eq!(monitor.get_stats(Profiler::<64, 32>::OTHER).unwrap().time.count, 6);
        assert_eq!(monitor.all_stats().len(), 65);
    }
}
