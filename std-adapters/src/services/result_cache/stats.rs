//! Counters that callers and the writer share.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use daur_core::services::result_cache::Snapshot;

#[derive(Default)]
pub(super) struct Stats {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) shared: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) reopened: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) up: AtomicBool,
}

impl Stats {
    pub(super) fn snapshot(&self, max_bytes: u64) -> Snapshot {
        let load = |count: &AtomicU64| count.load(Relaxed);
        Snapshot {
            hits: load(&self.hits),
            misses: load(&self.misses),
            expired: load(&self.expired),
            shared: load(&self.shared),
            stored: load(&self.stored),
            evicted: load(&self.evicted),
            corrupt: load(&self.corrupt),
            skipped: load(&self.skipped),
            faults: load(&self.faults),
            quarantined: load(&self.quarantined),
            reopened: load(&self.reopened),
            rows: load(&self.rows),
            bytes: load(&self.bytes),
            max_bytes,
            queued_bytes: load(&self.queued_bytes),
            up: self.up.load(Relaxed),
        }
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
