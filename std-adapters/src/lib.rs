//! The machines of `daur-core`, wired to a host.
#![deny(missing_docs)]

pub use daur_core as core;

pub mod security;
