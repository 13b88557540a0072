//! Retry, budget, timeout, breaker, executor, limiter, fallback, health, and the runners that drive them.

mod breaker;
mod breaker_model;
mod breaker_waits;
mod breaker_windows;
mod budget;
mod bulkhead;
mod bulkhead_model;
mod clock;
mod executor;
mod executor_model;
mod fallback;
mod health;
mod health_model;
mod limiter;
mod retry;
mod retry_model;
mod retry_run;
mod timeout;
