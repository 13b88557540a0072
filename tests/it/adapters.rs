//! Tests of adapters.

mod attributes;
mod breaker;
mod reliability;
mod result_cache;
mod retry;
