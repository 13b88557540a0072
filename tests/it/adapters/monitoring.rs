//! The host halves of monitoring.

mod dashboard;
mod errors;
mod history;
mod log;
mod metrics;
mod profiler;
