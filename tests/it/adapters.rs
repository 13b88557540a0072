//! Tests of adapters.

mod result_cache;
