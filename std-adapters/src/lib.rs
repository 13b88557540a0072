//! The machines of `daur-core`, wired to a host: locks, clocks, tasks, files and sockets.
//!
//! Policy lives in [`core`] alone. What stands here locks, waits and moves bytes: for the machine
//! `core::reliability::breaker` the host half is [`reliability::breaker`], and so for the others.
//!
//! # The tour
//!
//! * [`clock`] and [`shared`]: the present moment, and one machine used by many tasks.
//! * [`monitoring`]: the system monitor, Prometheus text.
//! * [`reliability`]: runners for retry, breaker and executor, blocking and on tokio.
//! * [`performance`], [`security`]: the host halves of caches and of secrets.
//! * [`services`]: the result cache in SQLite.
//! * `link` (feature `tokio`): devices over TCP and serial lines.
//!
//! # A first machine
//!
//! ```
//! use daur_std::core::reliability::breaker::{self, Breaker};
//! use daur_std::core::shared::Shared;
//! use daur_std::shared::StdShared;
//!
//! static UPSTREAM: StdShared<Breaker> = StdShared::new(Breaker::new(breaker::Config::DEFAULT));
//! assert!(UPSTREAM.with(|breaker, now| breaker.try_acquire(now)).is_ok());
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub use daur_core as core;

pub mod clock;
pub mod error;
#[cfg(feature = "tokio")]
pub mod link;
pub mod monitoring;
pub mod performance;
pub mod reliability;
pub mod rng;
pub mod security;
pub mod services;
pub mod shared;
