//! Tests of performance.

mod balancer;
mod batch;
mod cache;
mod memory;
mod queue;
