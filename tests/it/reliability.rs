//! Retry, breaker, executor, limiter, fallback, health, and the runners that drive them.

mod breaker;
mod breaker_model;
mod breaker_waits;
mod breaker_windows;
mod executor;
mod fallback;
mod health;
mod limiter;
mod retry;
