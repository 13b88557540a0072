//! What happened, how often and how long.

pub mod errors;
pub mod histogram;
pub mod metrics;
pub mod profiler;
