//! What to do when calls fail.

pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod executor;
pub mod fallback;
pub mod health;
pub mod limiter;
pub mod retry;
pub mod timeout;
