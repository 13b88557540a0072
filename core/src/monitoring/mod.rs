//! What happened, how often and how long.

pub mod errors;
pub mod histogram;
pub mod log;
pub mod metrics;
pub mod profiler;
pub mod report;
pub mod system;
pub mod trace;

#[cfg_attr(not(target_pointer_width = "64"), path = "long/halves.rs")]
mod long;
#[cfg(all(test, target_pointer_width = "64"))]
#[path = "long/halves.rs"]
mod long_halves;
#[cfg(feature = "defmt")]
#[path = "long/shown.rs"]
mod long_shown;
