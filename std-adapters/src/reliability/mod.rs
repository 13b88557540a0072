//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`budget`]: how many retries all callers may make together.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`executor`]: both, with time limits.
//! * `health` (feature `tokio`): checks that run by themselves, and what probes are answered from them.
//! * `fallback` (feature `tokio`): values for calls that gave none, by name.

pub mod breaker;
pub mod budget;
pub mod executor;
#[cfg(feature = "tokio")]
pub mod fallback;
#[cfg(feature = "tokio")]
pub mod health;
pub mod retry;

#[cfg(feature = "tokio")]
pub use fallback::fallback_handler;
#[cfg(feature = "tokio")]
pub use health::health_checker;
