//! What happened on this host: metrics, logs, errors, profiles, the system monitor and the exporters.

#[cfg(feature = "json")]
pub mod dashboard;
pub mod errors;
#[cfg(feature = "sqlite")]
pub mod history;
#[cfg(feature = "tracing")]
pub mod log;
pub mod metrics;
pub mod profiler;
pub mod prometheus;
#[cfg(all(feature = "sysinfo", feature = "tokio"))]
pub mod system;
pub mod trace;
