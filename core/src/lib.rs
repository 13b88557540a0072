//! One set of resilience, observability and security machines for microcontrollers and servers.
//!
//! Everything here is a plain state machine: it allocates nothing, reads no clock, does no I/O and
//! never panics. Time comes in as the last argument, `now`; what time alone can change is told by
//! `poll_at()`. The same machine runs on a Cortex-M0 behind a critical section and in a tokio
//! service behind a mutex.
//!
//! # The tour, top-down
//!
//! * [`monitoring`]: what happened, how often and how long: metrics, errors, profiles.
//! * [`reliability`]: what to do when calls fail: retry, breaker, executor, limits, health.
//! * [`performance`]: doing less work, and sharing it out: cache, queue, balancer, batches, memory.
//! * [`security`]: who may do what: tokens, passwords, commands, lockout, audit.
//! * [`services`]: tasks at their times, notifications, the keys and lives of kept results, events counted for a program's makers.
//! * `wire` (feature `serde`): records between a device and its host.
//! * `attributes` (feature `macros`): `#[retry]`, `#[circuit_breaker]`, `#[measure_time]`, `#[memoize]`, `#[require_auth]`
//!   and `#[require_permission]` on your functions.
//! * [`hal`]: the seam to hardware: clocks made of tick counters, runners over delays.
//! * [`shared`]: one machine used from several tasks; [`time`], [`rng`], [`text`], [`id`]: the
//!   small types all of them speak.
//!
//! # A first machine
//!
//! ```
//! use daur_core::reliability::breaker::{self, Breaker};
//! use daur_core::time::Instant;
//!
//! let mut breaker = Breaker::new(breaker::Config { failures: 2, ..breaker::Config::DEFAULT });
//! let now = Instant::from_secs(1);
//! for _ in 0..2 {
//!     let permit = breaker.try_acquire(now).expect("closed");
//!     breaker.on_failure(permit, now);
//! }
//! let refused = breaker.try_acquire(now).unwrap_err();
//! assert_eq!(refused.retry_at, Instant::from_secs(61));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

// First: its macros are used by the modules below it.
#[macro_use]
mod fmt;

#[cfg(feature = "macros")]
pub mod attributes;
pub mod crc;
pub mod hal;
pub mod id;
pub mod monitoring;
pub mod performance;
pub mod reliability;
pub mod rng;
pub mod security;
pub mod services;
pub mod shared;
pub mod text;
pub mod time;
#[cfg(feature = "serde")]
pub mod wire;

#[cfg(feature = "macros")]
pub use daur_macros::{circuit_breaker, measure_time, memoize, require_auth, require_permission, retry};
