//! The machines of `daur-core`, wired to a host: locks, clocks, tasks, files and sockets.
//!
//! Policy lives in [`core`] alone. What stands here locks, waits and moves bytes: for the machine
//! `core::reliability::breaker` the host half is [`reliability::breaker`], and so for the others.
//!
//! # The tour
//!
//! * [`clock`] and [`shared`]: the present moment, and one machine used by many tasks.
//! * [`monitoring`]: metrics, the log, errors, profiles, the system monitor, history, exporters, the dashboard of all of it.
//! * [`reliability`]: runners for retry, breaker and executor, blocking and on tokio.
//! * [`performance`]: the cache for many threads, the pool, balancers, batches, the memory of the process.
//! * [`smart_cache`], [`thread_pool`], [`load_balancer`], [`memory_optimizer`], [`performance_monitor`], [`error_tracker`],
//!   [`notification_manager`]: those of the process;
//!   by feature also `logger`, `system_monitor`, `monitoring_dashboard`, `analytics_collector`, `result_cache` and `task_scheduler`.
//! * [`security`]: the gate of a service ([`security_manager`]), its policy, users, keys and audit.
//! * [`services`]: tasks at their times, notifications, analytics and the result cache in SQLite.
//! * `link` (feature `tokio`): devices over TCP and serial lines.
//!
//! # On your functions
//!
//! The attributes `#[retry]`, `#[circuit_breaker]` and `#[measure_time]` wrap sync and async functions:
//!
//! ```
//! use daur_std::core::reliability::breaker::Open;
//!
//! #[derive(Debug)]
//! enum Error {
//!     Down,
//!     NotAsked,
//! }
//!
//! impl From<Open> for Error {
//!     fn from(_: Open) -> Self {
//!         Self::NotAsked
//!     }
//! }
//!
//! // The first one is the nearest to the body: every attempt asks the breaker.
//! #[daur_std::circuit_breaker(failure_threshold = 5, recovery_timeout = "60s")]
//! #[daur_std::retry(max_attempts = 3, delay = "10ms", strategy = "exponential", jitter = "full", max_delay = "5s")]
//! async fn quote(symbol: &str) -> Result<u32, Error> {
//!     if symbol.is_empty() { Err(Error::Down) } else { Ok(42) }
//! }
//! # fn main() {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
//! # runtime.block_on(async {
//! assert_eq!(quote("X").await.unwrap(), 42);
//! # assert!(matches!(quote("").await, Err(Error::Down | Error::NotAsked)));
//! # });
//! # }
//! ```
//!
//! They take a named config, a budget that several functions share, and a fallback that sees the error
//! and, if it likes, the arguments:
//!
//! ```
//! use daur_std::core::reliability::budget::{self, Budget};
//! use daur_std::core::reliability::retry::{Attempts, Config};
//! use daur_std::core::time::Duration;
//! use daur_std::shared::StdShared;
//!
//! const RETRY: Config = Config {
//!     max_attempts: Attempts::Limited(2),
//!     initial_delay: Duration::from_millis(1),
//!     ..Config::DEFAULT
//! };
//! static BUDGET: StdShared<Budget> = StdShared::new(Budget::new(budget::Config::ratio(10)));
//!
//! #[daur_std::retry(config = RETRY, budget = BUDGET, fallback = |error, sensor| match sensor {
//!     0 => Ok(20),
//!     _ => Err(error),
//! })]
//! fn temperature(sensor: u8) -> Result<i32, &'static str> {
//!     Err("no answer")
//! }
//!
//! assert_eq!(temperature(0), Ok(20));
//! assert_eq!(temperature(1), Err("no answer"));
//! ```
//!
//! # Who may
//!
//! The [security manager](security::manager::SecurityManager) logs in, signs and checks tokens, and audits what it decides.
//! What it found out is a *context*, and a function that takes one says who may call it:
//!
//! ```
//! use daur_std::core::security::permission::Permissions;
//! use daur_std::core::security::token::Claims;
//! use daur_std::core::text::Text;
//! use daur_std::security::manager::Denied;
//!
//! #[daur_std::require_permission("read, write")]
//! async fn store(claims: &Claims, value: u32) -> Result<u32, Denied> {
//!     Ok(value)
//! }
//! # fn main() {
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let reader = Claims { sub: Text::cut("alice"), permissions: Permissions::READ, ..Claims::default() };
//! assert_eq!(store(&reader, 7).await, Err(Denied::Forbidden));
//! # });
//! # }
//! ```
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
// Denied and not forbidden: `performance::memory` calls one function of C, `malloc_trim`.
#![deny(unsafe_code)]

pub use daur_core as core;
pub use daur_macros::{
    circuit_breaker_std as circuit_breaker, measure_time_std as measure_time, memoize_std as memoize,
    parallelize_std as parallelize, require_auth_std as require_auth, require_permission_std as require_permission,
    retry_std as retry,
};

pub mod attributes;
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
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "json")]
pub use monitoring::dashboard::monitoring_dashboard;
pub use monitoring::errors::error_tracker;
#[cfg(feature = "tracing")]
pub use monitoring::log::logger;
pub use monitoring::profiler::performance_monitor;
#[cfg(all(feature = "sysinfo", feature = "tokio"))]
pub use monitoring::system::system_monitor;
pub use performance::balancer::load_balancer;
pub use performance::cache::smart_cache;
pub use performance::memory::memory_optimizer;
pub use performance::pool::thread_pool;
pub use security::security_manager;
#[cfg(feature = "sqlite")]
pub use services::analytics::analytics_collector;
pub use services::notify::notification_manager;
#[cfg(feature = "sqlite")]
pub use services::result_cache::result_cache;
#[cfg(feature = "tokio")]
pub use services::scheduler::task_scheduler;
