//! Panics.

use std::panic::{self, PanicHookInfo};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::Told;
use super::report::Origin;
use super::{Capture, ErrorTracker, Inner, PANIC};

/// Between taking a hook and setting the next one nobody else of ours may do the same.
static HOOKS: Mutex<()> = Mutex::new(());

impl ErrorTracker {
    /// Records each panic from now on, of whatever thread, and then calls the hook that was there before: what it printed is still
    /// printed. Says whether that is new; a second time changes nothing, nor does a thread that is panicking.
    ///
    /// # Example
    /// ```
    /// use daur_std::monitoring::errors::{Config, ErrorTracker, PANIC};
    ///
    /// let tracker = ErrorTracker::try_new(Config::DEFAULT)?;
    /// assert!(tracker.capture_panics());
    /// let thread = std::thread::Builder::new().name("worker".into()).spawn(|| panic!("out of cheese"));
    /// thread.unwrap().join().unwrap_err();
    ///
    /// let last = &tracker.last(1)[0];
    /// assert_eq!((last.kind.as_str(), last.message.as_str()), (PANIC, "out of cheese"));
    /// assert_eq!(last.thread.as_deref(), Some("worker"));
    /// # Ok::<(), daur_std::monitoring::errors::ConfigError>(())
    /// ```
    pub fn capture_panics(&self) -> bool {
        // Setting a hook would panic there.
        if std::thread::panicking() || self.inner.is_hooked.swap(true, Ordering::SeqCst) {
            return false;
        }
        let _one_at_a_time = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        let tracker = Arc::downgrade(&self.inner);
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(tracker) = tracker.upgrade() {
                tracker.capture_panic(info);
            }
            previous(info);
        }));
        true
    }
}

impl Inner {
    fn capture_panic(&self, info: &PanicHookInfo<'_>) {
        self.capture(|config| {
            // Whatever else was thrown has no text.
            let message = info.payload_as_str().unwrap_or("(a value that is no text)");
            let mut capture = Capture::new(PANIC, Origin::Panic, Told::text(config, &message));
            capture.place = info.location().map(ToString::to_string);
            capture
        });
    }
}
