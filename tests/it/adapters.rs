//! Tests of adapters.

mod allocations;
mod attributes;
mod breaker;
mod fallback;
mod health;
mod keyed;
mod reliability;
mod result_cache;
