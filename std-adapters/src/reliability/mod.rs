//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
//!
//! * [`retry`]: the same call again, blocking or on tokio.
//! * [`budget`]: how many retries all callers may make together.
//! * [`breaker`]: a shared breaker whose closed path costs one atomic load.
//! * [`executor`]: both, with time limits.

pub mod breaker;
pub mod budget;
pub mod executor;
pub mod retry;
