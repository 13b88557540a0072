//! One error at a time on each thread.

use std::cell::Cell;

thread_local! {
    /// Without a destructor, so that it is there as long as its thread is.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Held while an error is recorded; whatever that calls gets none.
pub(super) struct Turn(());

impl Turn {
    pub(super) fn take() -> Option<Self> {
        let was_busy = BUSY.try_with(|busy| busy.replace(true)).unwrap_or(false);
        // Not made if it is not given: dropped, it would end that of somebody else.
        if was_busy { None } else { Some(Self(())) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = BUSY.try_with(|busy| busy.set(false));
    }
}
