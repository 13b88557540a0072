//! Tests of adapters.

mod allocations;
mod attributes;
mod fallback;
mod health;
mod keyed;
mod reliability;
mod result_cache;
