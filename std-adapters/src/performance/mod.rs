//! Doing less work, and sharing it out: the host halves of cache, pool, balancer, batches and memory.

pub mod balancer;
#[cfg(feature = "tokio")]
pub mod batch;
pub mod cache;
pub mod memoize;
pub mod memory;
pub mod parallel;
pub mod pool;
