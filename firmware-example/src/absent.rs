//! In place of the machines that the small profile has no room for: the same verbs, of which nothing is kept.

use daur_core::monitoring::profiler::{Outcome, Snapshot};
use daur_core::performance::cache;
use daur_core::time::Instant;

/// Instead of a cache: each look-up asks the sensor.
#[derive(Clone, Copy, Debug)]
pub struct Registers;

impl Registers {
    /// None.
    #[must_use]
    pub const fn new(_: cache::Config) -> Self {
        Self
    }

    /// Never there.
    pub const fn get(&mut self, _: &u8, _: Instant) -> Option<&u8> {
        None
    }

    /// Not kept.
    pub const fn insert(&mut self, _: u8, _: u8, _: Instant) {}

    /// Nothing, of a capacity of nothing.
    #[must_use]
    pub fn snapshot(&self) -> cache::Snapshot {
        cache::Snapshot::default()
    }
}

/// Instead of a profiler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times;

/// Instead of the profiler's.
#[derive(Clone, Copy, Debug)]
pub struct Span;

impl Times {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Begins nothing.
    pub const fn start(&mut self, _: &'static str, _: Instant) -> Span {
        Span
    }

    /// Ends nothing.
    pub const fn finish(&mut self, _: Span, _: Outcome, _: Instant) {}

    /// There is nothing to tell.
    #[must_use]
    pub const fn snapshot(&self, _: &str) -> Option<Snapshot> {
        None
    }
}
