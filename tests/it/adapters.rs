//! Tests of adapters.

mod attributes;
mod executor;
mod reliability;
mod result_cache;
mod retry;
