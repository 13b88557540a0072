//! Tests of adapters.

mod allocations;
mod attributes;
mod breaker;
mod keyed;
mod reliability;
mod result_cache;
