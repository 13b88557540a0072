//! What happened on this host: the system monitor and the exporters.

pub mod profiler;
pub mod prometheus;
#[cfg(all(feature = "sysinfo", feature = "tokio"))]
pub mod system;
