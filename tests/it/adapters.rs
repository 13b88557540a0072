//! Tests of adapters.

mod attributes;
mod layers;
mod breaker;
mod reliability;
mod result_cache;
mod retry;
