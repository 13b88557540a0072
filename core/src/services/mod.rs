//! What a program does beside its work: tasks at their times, notifications, results kept, events counted for its makers.

pub mod analytics;
pub mod notify;
pub mod result_cache;
pub mod scheduler;
