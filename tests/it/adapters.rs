//! Tests of adapters.

mod attributes;
mod breaker;
mod executor;
mod fallback;
mod health;
mod reliability;
mod result_cache;
mod retry;
