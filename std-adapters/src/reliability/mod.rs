//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`bulkhead`]: so many calls at once, and a line to wait in.
//! * [`executor`]: all of them, with time limits.
//! * [`keyed`]: a limit, or a breaker, for each of many keys.
//! * `layers` (feature `tower`): each of them around a `tower` service.
//! * `hedge` (feature `tokio`): a slow call a second time, and the first answer.

pub mod breaker;
pub mod bulkhead;
pub mod executor;
pub mod keyed;
#[cfg(feature = "tower")]
pub mod layers;
#[cfg(feature = "tokio")]
pub mod hedge;
pub mod retry;

pub use executor::resilient_executor;
