//! The errors of this process: recorded ones with their causes, `tracing` events, panics.
//!
//! The counting is [`daur_core::monitoring::errors`]'s: this walks the causes, cuts what is long, and keeps the last ones.

mod chain;
mod hook;
#[cfg(feature = "tracing")]
mod layer;
mod once;
mod report;

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use std::collections::VecDeque;

use daur_core::monitoring::errors::{self as machine, Errors};
use daur_core::time::{Clock, Duration, WallClock};

#[cfg(feature = "tracing")]
pub use layer::ErrorLayer;
pub use report::{Kind, Origin, Recorded, Snapshot};

use crate::clock::{StdClock, SystemWallClock};
use chain::Told;
use once::Turn;

/// How many kinds are counted at a time.
pub const KINDS: usize = 64;
/// How many bytes of a kind's name are kept.
pub const KIND_BYTES: usize = 64;
/// The kind of a captured panic.
pub const PANIC: &str = "panic";

/// Says what an [`ErrorTracker`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The window over which [`ErrorTracker::recent`] counts; not zero.
    pub window: Duration,
    /// How many errors are kept with their message, at most 10,000; 0 counts only.
    pub last: usize,
    /// How many causes of one error are kept, at most 64.
    pub causes: usize,
    /// How many bytes of a message and of a cause are kept, from 16 to 65,536.
    pub text: usize,
    /// What the kind of a `tracing` event is that has no field `kind`.
    pub events_by: EventsBy,
}

/// What kind an event is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventsBy {
    /// Its target: the module that told it, unless it says otherwise.
    #[default]
    Target,
    /// Its place in the source: `src/bus.rs:17`.
    Place,
}

impl Config {
    /// A minute; 100 errors of 8 causes of 512 bytes each, which is 460 KB at most; events by their target.
    pub const DEFAULT: Self =
        Self { window: Duration::from_secs(60), last: 100, causes: 8, text: 512, events_by: EventsBy::Target };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.window.is_zero() {
            return Err(ConfigError::NoWindow);
        }
        if self.last > 10_000 {
            return Err(ConfigError::Last);
        }
        if self.causes > 64 {
            return Err(ConfigError::Causes);
        }
        if self.text < 16 || self.text > 65_536 {
            return Err(ConfigError::Text);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The window is 0.
    NoWindow,
    /// `last` is too large.
    Last,
    /// `causes` is too large.
    Causes,
    /// `text` is out of range.
    Text,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoWindow => "errors: `window` must be more than 0",
            Self::Last => "errors: `last` must be at most 10000",
            Self::Causes => "errors: `causes` must be at most 64",
            Self::Text => "errors: `text` must be from 16 to 65536 bytes",
        })
    }
}

impl Error for ConfigError {}

/// Records errors with all of their causes, and captures `tracing` ERROR events and panics (the seed's `ErrorTracker`).
///
/// # Rules
/// 1. Each error is counted by its kind, as [`Errors`] of the core counts: exact for [`KINDS`] kinds, with a stated bound beyond.
/// 2. The last [`Config::last`] are kept with their message, their causes, their time and where they come from.
/// 3. Causes are walked one by one, [`Config::causes`] of them at most, so one that goes round in a circle ends. A text
///    that is too long ends in `…`, and is not even made beyond that.
/// 4. What an error says is asked outside of every lock. One that panics while it is asked is recorded as such.
/// 5. An error that is recorded while another one is being asked by the same thread (its `Display` logs, or panics) is
///    not: it is counted in [`Snapshot::skipped`].
/// 6. [`capture_panics`](ErrorTracker::capture_panics) records each panic of any thread, and then calls the hook that was there before. It
///    never waits for a lock that its own thread holds.
/// 7. A tracker that is dropped captures no panic more.
///
/// # Cost
/// The texts are allocated, with the lock not held. 7 KB, and what is kept.
///
/// # Errors
/// [`ConfigError`], at the start.
///
/// # Sharing
/// `Clone`, `Send` and `Sync`; clones are the same tracker.
///
/// # Example
/// ```
/// use daur_std::monitoring::errors::{Config, ErrorTracker};
///
/// let tracker = ErrorTracker::try_new(Config::DEFAULT)?;
/// let error = "seven".parse::<u8>().unwrap_err();
/// tracker.record("config", &error);
/// tracker.record_text("i2c", "no acknowledge from 0x76");
///
/// assert_eq!(tracker.total(), 2);
/// assert_eq!(tracker.kind("config").unwrap().count, 1);
/// assert_eq!(tracker.last(10)[1].message, "invalid digit found in string");
/// # Ok::<(), daur_std::monitoring::errors::ConfigError>(())
/// ```
#[doc(alias("record_error", "get_error_stats"))]
#[derive(Clone)]
pub struct ErrorTracker {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    clock: Box<dyn Clock + Send + Sync>,
    wall: Box<dyn WallClock + Send + Sync>,
    state: Mutex<State>,
    skipped: AtomicU64,
    is_hooked: AtomicBool,
}

struct State {
    errors: Errors<KINDS, 0, KIND_BYTES, 0>,
    last: VecDeque<Recorded>,
    panics: u64,
    events: u64,
}

impl ErrorTracker {
    /// A tracker that has seen nothing.
    ///
    /// # Errors
    /// [`ConfigError`] says which rule is broken.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Self::try_with_clocks(config, StdClock, SystemWallClock)
    }

    /// A tracker that lives by these clocks.
    ///
    /// # Errors
    /// [`ConfigError`] says which rule is broken.
    pub fn try_with_clocks(
        config: Config,
        clock: impl Clock + Send + Sync + 'static,
        wall: impl WallClock + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let counted = machine::Config { window: config.window };
        let errors = Errors::try_new(counted).map_err(|_| ConfigError::NoWindow)?;
        let inner = Inner {
            config,
            clock: Box::new(clock),
            wall: Box::new(wall),
            state: Mutex::new(State { errors, last: VecDeque::new(), panics: 0, events: 0 }),
            skipped: AtomicU64::new(0),
            is_hooked: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Records `error` and its causes as one of `kind`.
    #[doc(alias = "record_error")]
    pub fn record(&self, kind: &str, error: &dyn Error) {
        self.inner.capture(|config| Capture::new(kind, Origin::Recorded, Told::by(config, error)));
    }

    /// Records `error` as one of its type's kind: `std::io::error::Error`.
    pub fn record_typed<E: Error>(&self, error: &E) {
        self.record(std::any::type_name::<E>(), error);
    }

    /// Records what is no error type as one of `kind`.
    pub fn record_text(&self, kind: &str, message: &str) {
        self.inner.capture(|config| Capture::new(kind, Origin::Recorded, Told::text(config, &message)));
    }

    /// Errors recorded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.inner.held().errors.total()
    }

    /// Errors of the last window, about.
    #[must_use]
    pub fn recent(&self) -> u64 {
        let now = self.inner.clock.now();
        self.inner.held().errors.recent(now)
    }

    /// The figures of one kind, if it is in the table.
    #[must_use]
    pub fn kind(&self, kind: &str) -> Option<Kind> {
        let times = report::Times::now(&self.inner);
        self.inner.held().errors.kind(kind).map(|kind| times.kind(kind))
    }

    /// The most frequent kinds, at most `n`.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<Kind> {
        let times = report::Times::now(&self.inner);
        self.inner.held().errors.top().take(n).map(|kind| times.kind(kind)).collect()
    }

    /// The last errors, the newest first, at most `n`.
    #[must_use]
    pub fn last(&self, n: usize) -> Vec<Recorded> {
        self.inner.held().last.iter().rev().take(n).cloned().collect()
    }

    /// Everything, with the most frequent kinds and the last errors, at most `n` of each.
    #[doc(alias = "get_error_stats")]
    #[must_use]
    pub fn snapshot(&self, n: usize) -> Snapshot {
        report::snapshot(&self.inner, n)
    }
}

impl fmt::Debug for ErrorTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorTracker").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// An error that is about to be recorded.
struct Capture {
    kind: String,
    origin: Origin,
    told: Told,
    target: Option<String>,
    place: Option<String>,
}

impl Capture {
    fn new(kind: &str, origin: Origin, told: Told) -> Self {
        let kind = if kind.is_empty() { "unknown" } else { kind };
        Self { kind: chain::cut(kind, KIND_BYTES).to_string(), origin, told, target: None, place: None }
    }
}

impl Inner {
    /// Records what `make` tells, unless this thread is in the midst of that already.
    fn capture(&self, make: impl FnOnce(&Config) -> Capture) {
        let Some(_turn) = Turn::take() else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // Before the lock: these call code of others.
        let capture = make(&self.config);
        let (now, at) = (self.clock.now(), self.wall.unix_now());
        let thread = std::thread::current().name().map(str::to_string);
        let Capture { kind, origin, told: Told { message, causes, more_causes }, target, place } = capture;

        let mut state = self.held();
        state.errors.record(&kind, "", now);
        match origin {
            Origin::Recorded => {}
            Origin::Event => state.events += 1,
            Origin::Panic => state.panics += 1,
        }
        let seq = state.errors.total();
        let recorded = Recorded { seq, at, kind, message, causes, more_causes, origin, target, place, thread };
        let gone = if state.last.len() >= self.config.last { state.last.pop_front() } else { None };
        if self.config.last > 0 {
            state.last.push_back(recorded);
        }
        drop(state);
        drop(gone);
    }

    /// A panic elsewhere leaves the state whole: no code of others runs under the lock.
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static GLOBAL: OnceLock<ErrorTracker> = OnceLock::new();

/// The one tracker of this process (the seed's `get_error_tracker`), made with the defaults at its first use unless [`init`] was
/// before.
///
/// # Panics
/// Never: the defaults are valid.
///
/// # Example
/// ```
/// use daur_std::monitoring::errors::error_tracker;
///
/// error_tracker().record_text("flash", "page 3 is worn out");
/// assert!(error_tracker().kind("flash").is_some());
/// ```
#[doc(alias = "get_error_tracker")]
pub fn error_tracker() -> &'static ErrorTracker {
    GLOBAL.get_or_init(|| ErrorTracker::try_new(Config::DEFAULT).expect("the defaults are valid"))
}

/// Makes `tracker` the one that [`error_tracker`] gives.
///
/// # Errors
/// Gives `tracker` back if there is one already: by an earlier `init`, or because somebody has used the default.
pub fn init(tracker: ErrorTracker) -> Result<(), ErrorTracker> {
    GLOBAL.set(tracker)
}
