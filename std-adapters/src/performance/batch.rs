//! Batches of streams and channels.
//!
//! When a batch is complete is [`daur_core::performance::batch`]'s to say. [`Batches`] makes a stream of batches of a stream of items;
//! [`spawn`] and [`Builder`] start a task or a thread that gathers what many senders send, and writes it in batches.

mod actor;
mod engine;
mod stream;

pub use actor::{Batching, Builder, Config, ConfigError, Refused, Report, Sender, Snapshot, spawn};
pub use engine::{Fault, Items, Rejected};
pub use stream::Batches;
