//! Logs what becomes of the memory.

use daur_core::performance::memory::{Change, Level};

use crate::performance::memory::provider::Error;

pub(in crate::performance::memory) fn changed(change: &Change) {
    let (from, to, usage) = (change.from, change.to, change.reading.usage);
    let pressure = change.reading.pressure;
    if to == Level::Normal {
        tracing::info!(%from, %to, used = usage.used, limit = usage.limit, pressure, "memory is no longer short");
    } else {
        tracing::warn!(%from, %to, used = usage.used, limit = usage.limit, pressure, "how short memory is has changed");
    }
}

pub(in crate::performance::memory) fn failed(error: &Error) {
    tracing::warn!(%error, "the memory cannot be read");
}

pub(in crate::performance::memory) fn panicked(name: &str) {
    tracing::error!(name, "a shrinker panicked");
}
