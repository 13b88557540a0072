//! Retry, breaker, executor, limiter, fallback, health, and the runners that drive them.

mod breaker;
mod breaker_model;
mod bulkhead;
mod bulkhead_model;
mod executor;
mod executor_model;
mod fallback;
mod health;
mod limiter;
mod retry;
