//! Doing less work, and sharing it out: cache, queue, balancer, batches, memory.

pub mod balancer;
pub mod batch;
pub mod cache;
pub mod memory;
pub mod queue;
