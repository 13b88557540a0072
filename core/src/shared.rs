//! One machine, used from several places.
//!
//! A machine takes `&mut self`. [`Shared`] lends it to one caller at a time together with the
//! present moment, which is read under the lock, so that no caller sees an older moment than the
//! caller before it. `CsShared` (feature `critical-section`) is the device's way; `StdShared` in
//! `daur-std` is the host's.

use crate::time::Instant;

/// Lends a machine to one caller at a time.
///
/// # Rules
/// 1. `now` is read while the machine is held.
/// 2. The closure neither awaits (it cannot) nor calls `with` on the same value again: as with any
///    lock, that second call never returns.
pub trait Shared {
    /// What is shared.
    type Machine;

    /// Runs `f` on the machine at the present moment and returns what `f` returns.
    fn with<R>(&self, f: impl FnOnce(&mut Self::Machine, Instant) -> R) -> R;
}

impl<S: Shared + ?Sized> Shared for &S {
    type Machine = S::Machine;

    fn with<R>(&self, f: impl FnOnce(&mut Self::Machine, Instant) -> R) -> R {
        (**self).with(f)
    }
}

#[cfg(feature = "critical-section")]
pub use cs::CsShared;

#[cfg(feature = "critical-section")]
mod cs;
