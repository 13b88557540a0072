//! Logs what becomes of the system.

use daur_core::monitoring::system::{Change, Level};

pub(in crate::monitoring::system) fn changed(change: &Change) {
    let (field, from, to, value) = (change.field.name(), change.from, change.to, change.value);
    if to == Level::Normal {
        tracing::info!(field, %from, %to, value, "a figure of the system is normal again");
    } else {
        tracing::warn!(field, %from, %to, value, "the level of a figure of the system has changed");
    }
}

pub(in crate::monitoring::system) fn failed() {
    tracing::warn!("the system cannot be read: the provider panicked");
}
