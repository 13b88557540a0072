//! Tests of adapters.

mod reliability;
mod result_cache;
