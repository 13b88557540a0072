//! Tests of adapters.

mod allocations;
mod attributes;
mod breaker;
mod executor;
mod fallback;
mod health;
mod layers;
mod keyed;
mod reliability;
mod result_cache;
mod retry;
