//! Tests of adapters.

pub(crate) mod allocations;
mod attributes;
mod audit;
mod breaker;
mod executor;
mod fallback;
pub(crate) mod folder;
mod health;
mod input;
mod keyed;
mod layers;
mod monitoring;
mod passwords;
mod performance;
mod reliability;
mod result_cache;
mod retry;
mod security;
mod services;
