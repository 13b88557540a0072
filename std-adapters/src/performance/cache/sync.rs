//! What a flight stands on: the standard library's. In the model it is `loom`'s, in `sync/loom.rs`.

use std::cell::RefCell;

pub(super) use std::sync::atomic::{AtomicU8, AtomicU32};
pub(super) use std::sync::{Arc, Mutex, RwLock};
pub(super) use std::thread::{Thread, current, park};

/// Uses that a shard's readers note before one of them tells them: as many as share a cache line with the lock.
pub(super) const USES: usize = 28;

thread_local! {
    /// The flights whose answers this thread is computing at the moment, by address, the innermost last.
    pub(super) static COMPUTING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}
