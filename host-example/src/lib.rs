//! The host example as a library.
pub mod body;
pub mod http;
pub mod problem;
pub mod runner;
