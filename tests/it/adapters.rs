//! Tests of adapters.

mod attributes;
mod reliability;
mod result_cache;
mod retry;
