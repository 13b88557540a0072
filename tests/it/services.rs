//! Services, through the public API of core.

mod analytics;
mod notify;
mod result_cache;
mod scheduler;
