//! What a flight stands on: the standard library's. In the model it is `loom`'s, in `sync/loom.rs`.

use std::cell::RefCell;

pub(super) use std::sync::{Arc, Mutex};
pub(super) use std::thread::{Thread, current, park};

thread_local! {
    /// The flights whose answers this thread is computing at the moment, by address, the innermost last.
    pub(super) static COMPUTING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}
