//! Histograms, collectors, errors and profiles, and what a host shows of them.

mod errors;
mod histogram;
mod metrics;

#[cfg(feature = "host")]
mod prometheus;
#[cfg(feature = "host")]
mod system;
