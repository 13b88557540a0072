//! Doing less work.

pub mod cache;
