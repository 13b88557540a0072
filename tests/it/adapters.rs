//! Tests of adapters.

mod attributes;
mod breaker;
mod executor;
mod fallback;
mod health;
mod layers;
mod reliability;
mod result_cache;
mod retry;
