//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`budget`]: how many retries all callers may make together.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`bulkhead`]: so many calls at once, and a line to wait in.
//! * [`executor`]: all of them, with time limits.
//! * `hedge` (feature `tokio`): a slow call a second time, and the first answer.

pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod executor;
#[cfg(feature = "tokio")]
pub mod hedge;
pub mod retry;

pub use executor::resilient_executor;
