//! Tests of performance.

mod balancer;
mod batch;
mod cache;
mod memoize;
mod memory;
mod queue;
