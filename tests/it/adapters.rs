//! Tests of adapters.

mod attributes;
mod fallback;
mod health;
mod reliability;
mod result_cache;
mod retry;
