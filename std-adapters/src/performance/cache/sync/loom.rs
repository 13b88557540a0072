//! What a flight stands on in the model.

use std::cell::RefCell;

pub(super) use loom::sync::atomic::{AtomicU8, AtomicU32};
pub(super) use loom::sync::{Arc, Mutex, RwLock};
pub(super) use loom::thread::{Thread, current, park};

/// So few that the models see the list full.
pub(super) const USES: usize = 2;

loom::thread_local! {
    /// As in `sync.rs`.
    pub(super) static COMPUTING: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}
