//! Services: tasks at their times, notifications, results and events kept on disk.

#[cfg(feature = "sqlite")]
pub mod analytics;
pub mod notify;
#[cfg(feature = "sqlite")]
pub mod result_cache;
#[cfg(feature = "tokio")]
pub mod scheduler;
