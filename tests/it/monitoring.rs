//! Histograms, collectors, errors and profiles, and what a host shows of them.

mod errors;
mod histogram;
mod log;
mod metrics;
mod profiler;
mod report;
mod system_machine;
mod trace;

#[cfg(feature = "host")]
mod prometheus;
#[cfg(feature = "host")]
mod system;
