//! The log: a layer of `tracing` with a queue that accounts for every line.
//!
//! A caller formats its line into a buffer that it keeps, and appends it to a queue; one thread writes from there to the
//! [sinks](sink::Sink). What the queue has no room for, and what a sink does not take, is counted and told in the log itself.
//!
//! ```no_run
//! use daur_std::monitoring::log::{self, Config, file::FileConfig, logger};
//!
//! let config = Config { file: Some(FileConfig::in_dir("~/.daur/logs")), ..Config::default() };
//! let log = log::init(config)?;
//! tracing::info!(port = 8080, "listening");
//! logger("billing").warn("the account is empty");
//! let end = log.shutdown(std::time::Duration::from_secs(2));
//! assert_eq!(end.written + end.dropped, end.sent);
//! # Ok::<(), daur_std::error::Error>(())
//! ```

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub use daur_core::monitoring::log::Level;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::error::Error;

mod entry;
pub mod file;
mod filter;
#[cfg(feature = "gzip")]
mod gzip;
mod layer;
mod line;
mod named;
mod queue;
mod recent;
mod render;
pub mod sink;
mod writer;

#[cfg(feature = "gzip")]
pub use gzip::GZIP;
pub use line::{Line, Span, Value};
pub use named::{Named, logger};
pub use queue::{Counts, SinkCounts};
pub use render::{Colour, Format};

use filter::Filter;
use queue::{Limits, Queue};
use sink::{Console, Output};

/// How a [`Logger`] is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Lines less grave are left out; [`Logger::set_level`] changes it.
    pub level: Level,
    /// Other levels for targets that begin with these paths: `("hyper", Level::Warn)`. The longest that fits counts.
    pub targets: Vec<(String, Level)>,
    /// Lines on standard error.
    pub console: Option<Console>,
    /// Lines in files.
    pub file: Option<file::FileConfig>,
    /// How many of the last lines [`Logger::recent`] knows; at most a KiB for each.
    pub recent: usize,
    /// Bytes that may wait for the writer; as many again may be in its hands.
    pub queue_bytes: usize,
    /// The longest line, in bytes before it is rendered; what is longer is cut, marked and counted.
    pub max_line: usize,
}

impl Default for Config {
    /// Good to know and graver, on standard error; 1,000 lines remembered; 1 MiB of queue; lines of up to 16 KiB.
    fn default() -> Self {
        Self {
            level: Level::Info,
            targets: Vec::new(),
            console: Some(Console::default()),
            file: None,
            recent: 1_000,
            queue_bytes: 1 << 20,
            max_line: 16 << 10,
        }
    }
}

impl Config {
    fn validate(&self) -> Result<(), Error> {
        if !(64..=1 << 20).contains(&self.max_line) {
            return Err(Error::Config { field: "max_line", allowed: "64 bytes to 1 MiB" });
        }
        if self.queue_bytes < self.max_line.saturating_mul(2) || self.queue_bytes > 1 << 30 {
            return Err(Error::Config { field: "queue_bytes", allowed: "two lines of `max_line` to 1 GiB" });
        }
        if self.recent > 1_000_000 {
            return Err(Error::Config { field: "recent", allowed: "at most 1,000,000 lines" });
        }
        Ok(())
    }
}

/// Writes what `tracing` says to console and files, and knows of every line what became of it (the seed's `Logger`).
///
/// For a device, core has `monitoring::log::Log`.
///
/// # Rules
/// 1. `written + dropped + queued == sent`, at any moment; and `queued` is 0 after [`shutdown`](Self::shutdown), whatever a
///    sink does. A line is written if every sink has taken it.
/// 2. A loss is told in the log where the lines are missing, as soon as it can be: `12 lines dropped: ..`. Lines that come
///    after the shutdown are only counted.
/// 3. A caller never waits for a sink: what the queue has no room for is dropped.
/// 4. A line is whole: one call of the sink for each, with no control character in it but the break at its end.
/// 5. What a sink itself logs while it writes is left out and counted apart; a sink that panics has not taken that line.
/// 6. A line longer than `max_line` is cut at a character, marked with `[cut]` and counted.
/// 7. [`recent`](Self::recent) knows the last lines, the oldest first; lines in a row that say the same are one there.
///
/// # Cost
/// About 150 ns for the caller, beside those of `tracing`: the clock, the line into a buffer that the thread keeps, and a lock
/// around a copy. Nothing is allocated for lines as long as others before.
///
/// # Errors
/// [`Logger::try_new`] refuses a directory that cannot be made or a file that cannot be opened, by its path.
///
/// # Sharing
/// Any thread; it is a handle, and clones are the same log. The last one that goes, layers included, shuts it down within
/// a second.
///
/// # Example
/// ```
/// use daur_std::monitoring::log::{Config, Level, Logger};
/// use std::time::Duration;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let log = Logger::try_new(Config { console: None, ..Config::default() })?;
/// let subscriber = tracing_subscriber::registry().with(log.layer());
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::warn!(attempt = 2, "no answer");
///     tracing::debug!("left out");
/// });
/// assert!(log.flush(Duration::from_secs(5)));
///
/// let lines = log.recent(10, Level::Info, 0);
/// assert_eq!((lines.len(), lines[0].message.as_str()), (1, "no answer"));
/// let counts = log.shutdown(Duration::from_secs(5));
/// assert_eq!((counts.sent, counts.written, counts.dropped), (1, 1, 0));
/// # Ok::<(), daur_std::error::Error>(())
/// ```
#[doc(alias = "get_logger")]
#[derive(Clone, Debug)]
pub struct Logger(Arc<Owner>);

/// Ends the writer when the last handle goes.
#[derive(Debug)]
struct Owner {
    queue: Arc<Queue>,
    filter: Arc<Filter>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Logger {
    /// Opens what the config names and starts the writer.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Io`] for a directory that cannot be made or written, with its path.
    pub fn try_new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let mut outputs = Vec::new();
        if let Some(console) = config.console {
            outputs.push(console.open());
        }
        if let Some(file) = &config.file {
            outputs.push(file.open()?);
        }
        Self::with_outputs(config, outputs)
    }

    /// The same with sinks of one's own, instead of the config's console and file.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Io`] if there is no thread for the writer.
    pub fn with_outputs(config: Config, outputs: Vec<Output>) -> Result<Self, Error> {
        config.validate()?;
        let names = outputs.iter().map(|output| output.name.clone()).collect();
        let limits = Limits { queue: config.queue_bytes, line: config.max_line };
        let queue = Arc::new(Queue::new(limits, names, config.recent));
        let thread = writer::start(Arc::clone(&queue), outputs)?;
        let filter = Arc::new(Filter::new(config.level, config.targets));
        Ok(Self(Arc::new(Owner { queue, filter, thread: std::sync::Mutex::new(Some(thread)) })))
    }

    /// The layer to be put on a registry; it filters for itself alone, so that others see what they want.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let filter = Arc::clone(&self.0.filter);
        layer::LogLayer::new(self.clone()).with_filter(layer::PerTarget(filter))
    }

    /// The last `limit` lines that are at least as grave as `least` and have a number above `after`, the oldest first.
    ///
    /// Lines are there as soon as the writer has taken them, a few milliseconds after they were said.
    #[must_use]
    pub fn recent(&self, limit: usize, least: Level, after: u64) -> Vec<Line> {
        self.0.queue.recent.last(limit, least, after)
    }

    /// Writes the lines that [`recent`](Self::recent) knows to a new file, which takes the place of one of that name at
    /// once: JSON, a line each, for `.json`, `.jsonl` and `.ndjson`, else as on a console. Says how many.
    ///
    /// # Errors
    /// [`Error::Io`], with the path; what stood there still does.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<usize, Error> {
        // What a slow sink has not had by then is not in it.
        let _ = self.flush(Duration::from_secs(1));
        let lines = self.recent(usize::MAX, Level::Trace, 0);
        file::export(path.as_ref(), &lines)
    }

    /// The level below which lines are left out, but for targets with a level of their own.
    #[must_use]
    pub fn level(&self) -> Level {
        self.0.filter.level()
    }

    /// Sets the level below which lines are left out, from now on.
    pub fn set_level(&self, level: Level) {
        self.0.filter.set_level(level);
        tracing::callsite::rebuild_interest_cache();
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.queue.counts()
    }

    /// Waits until all that was sent before is written or dropped, at most for `deadline`; says whether it is.
    #[must_use = "a sink may be slower than the deadline"]
    pub fn flush(&self, deadline: Duration) -> bool {
        self.0.queue.flush(deadline)
    }

    /// Takes no more lines, waits for at most `deadline` until the others are written, and gives up the rest as dropped.
    ///
    /// A line that a hanging sink is just writing counts as dropped, even if it is written later.
    pub fn shutdown(&self, deadline: Duration) -> Counts {
        if self.0.queue.close(deadline)
            && let Some(thread) = queue::lock(&self.0.thread).take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It has said that it is at its end.
            let _ = thread.join();
        }
        self.counts()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.close(Duration::from_secs(1));
    }
}

static GLOBAL: OnceLock<Logger> = OnceLock::new();

/// Makes a logger and puts it in the place of the process's subscriber of `tracing`.
///
/// Whoever wants other layers beside it puts [`Logger::layer`] on a registry, and tells [`set_global`]. It is there as long
/// as the process is: who ends that calls [`Logger::shutdown`] before, or the lines of the last milliseconds are not written.
///
/// # Errors
/// Those of [`Logger::try_new`], and [`Error::Config`] if the process has a subscriber already.
pub fn init(config: Config) -> Result<&'static Logger, Error> {
    let taken = Error::Config { field: "log", allowed: "set up once: there is a subscriber already" };
    if GLOBAL.get().is_some() {
        return Err(taken);
    }
    let logger = Logger::try_new(config)?;
    let subscriber = tracing_subscriber::registry().with(logger.layer());
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return Err(taken);
    }
    Ok(set_global(logger))
}

/// Makes this the logger that [`global`] gives, unless there is one; gives that which it is.
pub fn set_global(logger: Logger) -> &'static Logger {
    GLOBAL.get_or_init(|| logger)
}

/// The logger of this process, if it has been set up.
#[must_use]
pub fn global() -> Option<&'static Logger> {
    GLOBAL.get()
}
