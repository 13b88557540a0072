//! Placeholder.

pub fn run(_: &crate::harness::Options) {}
