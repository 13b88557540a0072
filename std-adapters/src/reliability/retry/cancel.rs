//! Ends the waits of a run that nobody wants any more.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Says whether a run on a thread is still wanted, and waits meanwhile.
pub trait Wanted {
    /// Waits for at least `length`, or until the run is cancelled; `false` if it is.
    fn wait(&self, length: Duration) -> bool;
}

/// Never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Wanted for Never {
    fn wait(&self, length: Duration) -> bool {
        std::thread::sleep(length);
        true
    }
}

/// Cancels runs on threads, from another thread: for a shutdown.
///
/// On tokio any future does the same for [`retry_with`](super::retry_with).
///
/// # Rules
/// 1. Cancelled, a wait under way ends at once, and the next one does not begin.
/// 2. It stays cancelled; all runs that it was given to end.
///
/// # Example
/// ```
/// use daur_std::core::reliability::budget::Unlimited;
/// use daur_std::core::reliability::retry::{Class, Config, Reason};
/// use daur_std::reliability::retry::{Cancel, retry_blocking_with};
///
/// static SHUTDOWN: Cancel = Cancel::new();
/// let gave_up = retry_blocking_with(Config::DEFAULT, Unlimited, &SHUTDOWN, |_| Class::Transient, || {
///     SHUTDOWN.cancel(); // as the handler of a signal would
///     Err::<(), _>("down")
/// });
/// assert_eq!(gave_up.unwrap_err().reason, Reason::Cancelled);
/// ```
#[derive(Debug, Default)]
pub struct Cancel {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Cancel {
    /// One that is not cancelled.
    #[must_use]
    pub const fn new() -> Self {
        Self { cancelled: Mutex::new(false), changed: Condvar::new() }
    }

    /// Cancels all runs that have it.
    pub fn cancel(&self) {
        *self.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted for Cancel {
    fn wait(&self, length: Duration) -> bool {
        let cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(cancelled, length, |cancelled| !*cancelled);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(feature = "tokio")]
pub(super) use waiting::Waiting;

#[cfg(feature = "tokio")]
mod waiting {
    use std::pin::Pin;

    use daur_core::reliability::retry::Wait;
    use daur_core::time::Duration;

    /// Waits on tokio until a future is ready.
    pub(crate) struct Waiting<'a, C>(pub(crate) Pin<&'a mut C>);

    impl<C: Future<Output = ()>> Wait for Waiting<'_, C> {
        async fn wait(&mut self, length: Duration) -> bool {
            tokio::select! {
                // Cancelled before a wait of no length, it does not go on.
                biased;
                () = self.0.as_mut() => false,
                () = tokio::time::sleep(length.into()) => true,
            }
        }
    }
}
