//! The audit chain on a host: in SQLite, in a file of lines, and those that devices send.
//!
//! * `AuditLog` (feature `sqlite`): records and the key that moved on, in one transaction.
//! * [`file::AuditFile`]: one line for each record, the key beside it.
//! * [`device::Trail`]: what a device sends of its chain, verified as it comes and kept as lines.
//! * [`lines`]: the form that files, exports and device chains share.

pub mod device;
pub mod file;
pub mod lines;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use lines::verify_lines;
#[cfg(feature = "sqlite")]
pub use sqlite::{AuditLog, Error};
#[cfg(feature = "sqlite")]
pub(super) use sqlite::{FILL_BLOCKS, SCHEMA};
