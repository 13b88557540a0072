//! Tests of adapters.

mod attributes;
mod layers;
mod reliability;
mod result_cache;
