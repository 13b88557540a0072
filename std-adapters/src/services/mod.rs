//! Services that keep something on disk.

#[cfg(feature = "sqlite")]
pub mod analytics;
#[cfg(feature = "sqlite")]
pub mod result_cache;
