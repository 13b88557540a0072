//! What an interrupt calls, so that whoever sleeps without a loop of its own is woken: tasks of an executor.

use core::cell::Cell;

use critical_section::Mutex;

type Call = Option<fn()>;

/// Holds the function that an interrupt calls; none at first.
pub struct Hook(Mutex<Cell<Call>>);

impl Hook {
    /// Calls nobody.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// From now on `call` is called, by the interrupt: it has to be short.
    pub fn set(&self, call: fn()) {
        critical_section::with(|cs| self.0.borrow(cs).set(Some(call)));
    }

    pub(crate) fn call(&self) {
        if let Some(call) = critical_section::with(|cs| self.0.borrow(cs).get()) {
            call();
        }
    }
}
