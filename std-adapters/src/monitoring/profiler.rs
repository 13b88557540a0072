//! The profiler that `#[measure_time]` records into.

use daur_core::monitoring::profiler::Profiler;

use crate::shared::StdShared;

/// This process's profiler: 64 operations by name, all others together, and the 32 slowest calls.
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
#[doc(alias("get_performance_monitor", "PerformanceMonitor"))]
pub static PROFILER: StdShared<Profiler<64, 32>> = StdShared::new(Profiler::new());
