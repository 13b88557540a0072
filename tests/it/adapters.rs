//! Tests of adapters.

mod attributes;
mod breaker;
mod layers;
mod reliability;
mod result_cache;
mod retry;
