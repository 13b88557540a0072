//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`executor`]: both, with time limits.

pub mod breaker;
pub mod executor;
pub mod retry;
