//! Keys, users and the audit chain on a host's disk.

#[cfg(feature = "sqlite")]
pub mod audit;
pub mod keys;
#[cfg(feature = "sqlite")]
pub mod users;
