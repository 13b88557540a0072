//! Tests of adapters.

pub(crate) mod allocations;
mod attributes;
mod breaker;
mod executor;
mod fallback;
mod health;
mod keyed;
mod layers;
mod passwords;
mod reliability;
mod result_cache;
mod retry;
