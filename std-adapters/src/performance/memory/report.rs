//! What there is to tell.

use daur_core::performance::memory::shrinkers;
use daur_core::performance::memory::{self as machine, Change, Level, Share};
use serde::Serialize;

use super::provider::{Error, Sample, Scope};

/// Tells how much memory is used, by the limit of which the smallest part is left; in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryUsage {
    /// What there is: the limit that is judged.
    pub total: u64,
    /// What of it is left.
    pub available: u64,
    /// What of it is used.
    pub used: u64,
    /// What of a hundred is used.
    pub percent: f64,
    /// This process's resident memory.
    pub process: u64,
    /// Which limit that is.
    pub scope: Scope,
}

impl MemoryUsage {
    #[expect(clippy::cast_precision_loss, reason = "a percentage is no more exact")]
    pub(super) fn new(sample: &Sample, limit: Option<u64>) -> Self {
        let (scope, usage) = sample.judged(limit);
        let percent = if usage.limit == 0 { 0.0 } else { usage.used as f64 * 100.0 / usage.limit as f64 };
        Self { total: usage.limit, available: usage.free(), used: usage.used, percent, process: sample.process, scope }
    }
}

/// Tells what one has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct One {
    /// Its name.
    pub name: &'static str,
    /// What it may hold from now on.
    pub keep: Share,
    /// Whether it was allowed more than before, and not less.
    pub grew: bool,
    /// Bytes that it says it has freed.
    pub freed: u64,
    /// It panicked.
    pub panicked: bool,
}

/// Tells what [`poll`](super::MemoryOptimizer::poll) has found and done.
#[derive(Debug)]
pub struct Polled {
    /// The level.
    pub level: Level,
    /// Its change.
    pub change: Option<Change>,
    /// Who was asked, in this order.
    pub by: Vec<One>,
    /// Whether the allocator gave anything back; `None` if it was not asked or cannot.
    pub trimmed: Option<bool>,
    /// Why the memory could not be read.
    pub error: Option<Error>,
}

impl Polled {
    pub(super) const fn nothing(level: Level) -> Self {
        Self { level, change: None, by: Vec::new(), trimmed: None, error: None }
    }
}

/// Tells what [`optimize`](super::MemoryOptimizer::optimize) has freed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// The process's resident memory before, if it could be read.
    pub before: Option<u64>,
    /// The same afterwards.
    pub after: Option<u64>,
    /// Who was asked, in this order, and what each says it has freed.
    pub by: Vec<One>,
    /// Whether the allocator gave anything back; `None` if it cannot be asked.
    pub trimmed: Option<bool>,
}

impl Freed {
    /// By how many bytes the process's resident memory has fallen: 0 if it has grown, `None` if it could not be read.
    #[must_use]
    pub fn measured(&self) -> Option<u64> {
        Some(self.before?.saturating_sub(self.after?))
    }

    /// How many bytes the shrinkers say they have freed.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.by.iter().fold(0, |sum, one| one.freed.saturating_add(sum))
    }
}

/// Shows a [`MemoryOptimizer`](super::MemoryOptimizer) at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The level, the last reading, how many there were and how many failed.
    pub monitor: machine::Snapshot,
    /// All shrinkers together.
    pub shrinkers: shrinkers::Snapshot,
    /// Each of them, in no order.
    pub by: Vec<shrinkers::Shrinker>,
    /// How often one of them has panicked.
    pub panics: u32,
    /// How often the allocator was asked to trim.
    pub trims: u32,
    /// Why the last reading that failed did.
    pub error: Option<String>,
}
