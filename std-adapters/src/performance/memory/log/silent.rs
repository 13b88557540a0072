//! Without the feature `tracing`, nothing is logged.

use daur_core::performance::memory::Change;

use crate::performance::memory::provider::Error;

pub(in crate::performance::memory) const fn changed(_change: &Change) {}

pub(in crate::performance::memory) const fn failed(_error: &Error) {}

pub(in crate::performance::memory) const fn panicked(_name: &str) {}
