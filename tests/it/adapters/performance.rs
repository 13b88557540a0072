//! The performance machines on a host.

mod balancer;
mod batch;
mod cache;
mod memoize;
mod memory;
mod parallel;
mod pool;
