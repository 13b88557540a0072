//! Locks, atomics and threads: the standard library's, or those of `loom`, so that its models run this very pool.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant as StdInstant;

#[cfg(not(all(test, daur_loom)))]
pub(super) use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering},
    sync::{Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle, yield_now},
    thread_local,
};

#[cfg(all(test, daur_loom))]
pub(super) use loom::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering},
    sync::{Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle, yield_now},
    thread_local,
};

/// How often somebody looks again before they sleep: first without, then with giving way to others. Falling asleep and being
/// woken takes microseconds, which a short job does not.
const LOOKS: (u32, u32) = if cfg!(daur_loom) { (0, 0) } else { (2, 32) };

/// Whether `seen` came true while somebody was looking.
#[inline]
pub(super) fn look(mut seen: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS.0 {
        if seen() {
            return true;
        }
        std::hint::spin_loop();
    }
    for _ in 0..LOOKS.1 {
        yield_now();
        if seen() {
            return true;
        }
    }
    false
}

/// No foreign code runs under a lock of the pool, so none is poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits to be notified, at most until `deadline`: whether that has come.
pub(super) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<StdInstant>,
) -> (MutexGuard<'a, T>, bool) {
    match deadline.map(|deadline| deadline.saturating_duration_since(StdInstant::now())) {
        None => (condvar.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner), false),
        Some(left) if left.is_zero() => (guard, true),
        Some(left) => {
            let (guard, _) = condvar.wait_timeout(guard, left).unwrap_or_else(std::sync::PoisonError::into_inner);
            (guard, false)
        }
    }
}

/// Runs foreign code that must not take a worker with it: a destructor, a waker, a callback. Whether it panicked.
pub(super) fn contain(run: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { return false };
    // What a panic carries may panic as it is dropped, too. The second is left alone for good.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
    true
}

/// A thread's end, as far as can be told without waiting.
#[cfg(not(all(test, daur_loom)))]
pub(super) fn is_finished(thread: &JoinHandle<()>) -> bool {
    thread.is_finished()
}

#[cfg(all(test, daur_loom))]
pub(super) fn is_finished(_: &JoinHandle<()>) -> bool {
    false
}
