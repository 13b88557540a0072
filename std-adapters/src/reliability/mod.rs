//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`budget`]: how many retries all callers may make together.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`bulkhead`]: so many calls at once, and a line to wait in.
//! * [`executor`]: all of them, with time limits.
//! * [`keyed`]: a limit, or a breaker, for each of many keys.
//! * `fallback` (feature `tokio`): values for calls that gave none, by name.
//! * `health` (feature `tokio`): checks that run by themselves, and what probes are answered from them.
//! * `hedge` (feature `tokio`): a slow call a second time, and the first answer.
//! * `layers` (feature `tower`): each of them around a `tower` service.

pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod executor;
#[cfg(feature = "tokio")]
pub mod fallback;
#[cfg(feature = "tokio")]
pub mod health;
#[cfg(feature = "tokio")]
pub mod hedge;
pub mod keyed;
#[cfg(feature = "tower")]
pub mod layers;
pub mod retry;

pub use executor::resilient_executor;
#[cfg(feature = "tokio")]
pub use fallback::fallback_handler;
#[cfg(feature = "tokio")]
pub use health::health_checker;
