//! What happened, how often and how long.

pub mod errors;
pub mod histogram;
pub mod log;
pub mod metrics;
pub mod profiler;
pub mod report;
pub mod system;
