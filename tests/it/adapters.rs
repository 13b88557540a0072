//! Tests of adapters.

mod allocations;
mod attributes;
mod keyed;
mod reliability;
mod result_cache;
