//! Tests of adapters.

mod attributes;
mod breaker;
mod executor;
mod reliability;
mod result_cache;
mod retry;
