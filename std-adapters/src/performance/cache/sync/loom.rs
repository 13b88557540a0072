//! What a flight stands on in the model.

use std::cell::RefCell;

pub(super) use loom::sync::{Arc, Mutex};
pub(super) use loom::thread::{Thread, current, park};

loom::thread_local! {
    /// As in `sync.rs`.
    pub(super) static COMPUTING: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}
