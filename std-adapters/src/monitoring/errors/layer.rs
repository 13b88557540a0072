//! `tracing` events.

use std::error::Error;
use std::fmt::{self, Debug, Display};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::chain::{self, Told};
use super::report::Origin;
use super::{Capture, Config, ErrorTracker, EventsBy};

/// Records each event of level ERROR; all others it lets pass. See [`ErrorTracker::layer`].
#[derive(Clone, Debug)]
pub struct ErrorLayer {
    tracker: ErrorTracker,
}

impl ErrorTracker {
    /// A layer that records each event of level ERROR.
    ///
    /// What it says is its `message`; its causes are those of a field that is an error (`error = &error as &dyn
    /// Error`), best called `error` or `err`, or the text of such a field. An event that has none of these says its
    /// fields. Its kind is its field `kind`, or what [`Config::events_by`] says. A field `log.target` is its target: so
    /// [`logger`](crate::monitoring::log::logger) and the crate `tracing-log` name it.
    ///
    /// # Example
    /// ```
    /// use std::error::Error;
    ///
    /// use daur_std::monitoring::errors::{Config, ErrorTracker};
    /// use tracing_subscriber::layer::SubscriberExt as _;
    ///
    /// let tracker = ErrorTracker::try_new(Config::DEFAULT)?;
    /// let subscriber = tracing_subscriber::registry().with(tracker.layer());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     let error = std::io::Error::other("no space left");
    ///     tracing::error!(kind = "disk", error = &error as &dyn Error, "the journal was not written");
    ///     tracing::warn!("this is no error");
    /// });
    ///
    /// let last = tracker.last(2);
    /// assert_eq!((last.len(), last[0].kind.as_str()), (1, "disk"));
    /// assert_eq!((last[0].message.as_str(), last[0].causes[0].as_str()), ("the journal was not written", "no space left"));
    /// # Ok::<(), daur_std::monitoring::errors::ConfigError>(())
    /// ```
    #[must_use]
    pub fn layer(&self) -> ErrorLayer {
        ErrorLayer { tracker: self.clone() }
    }
}

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::ERROR {
            return;
        }
        self.tracker.inner.capture(|config| {
            let mut fields = Fields::new(config);
            event.record(&mut fields);
            let place = metadata.file().map(|file| match metadata.line() {
                Some(line) => format!("{file}:{line}"),
                None => file.to_string(),
            });
            let target = fields.target.take();
            let target = target.as_deref().unwrap_or(metadata.target());
            let (kind, told) = fields.told();
            let kind = kind.as_deref().or(match config.events_by {
                EventsBy::Target => None,
                // Of a long path the end tells more.
                EventsBy::Place => place.as_deref().map(|place| tail(place, super::KIND_BYTES)),
            });
            let mut capture = Capture::new(kind.unwrap_or(target), Origin::Event, told);
            capture.target = Some(chain::cut(target, config.text).to_string());
            capture.place = place;
            capture
        });
    }
}

/// As much of the end of `text` as fits.
fn tail(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

/// What is found in an event's fields.
struct Fields<'a> {
    config: &'a Config,
    kind: Option<String>,
    target: Option<String>,
    message: Option<String>,
    /// What an error says, and its causes.
    error: Option<Told>,
    /// Whether that is of a field called so.
    is_named: bool,
    /// All other fields, for an event that says nothing else.
    rest: String,
}

impl<'a> Fields<'a> {
    const fn new(config: &'a Config) -> Self {
        Self { config, kind: None, target: None, message: None, error: None, is_named: false, rest: String::new() }
    }

    fn told(self) -> (Option<String>, Told) {
        let told = match (self.message.filter(|message| !message.is_empty()), self.error) {
            (Some(message), Some(error)) => {
                // The error that the event tells of is its first cause.
                let mut causes = vec![error.message];
                causes.extend(error.causes);
                let more_causes = error.more_causes || causes.len() > self.config.causes;
                causes.truncate(self.config.causes);
                Told { message, causes, more_causes }
            }
            (None, Some(error)) => error,
            (Some(message), None) => Told { message, ..Told::default() },
            (None, None) => Told { message: self.rest, ..Told::default() },
        };
        (self.kind, told)
    }

    fn take(&mut self, field: &Field, shown: &dyn Display) {
        let max = self.config.text;
        match field.name() {
            "message" => self.message = Some(chain::text(max, shown)),
            "log.target" => self.target = Some(chain::text(max, shown)),
            // Where in the code `log` was called.
            "log.module_path" | "log.file" | "log.line" => {}
            "kind" => self.kind = Some(chain::text(super::KIND_BYTES, shown)),
            "error" | "err" if !self.is_named => {
                self.error = Some(Told::text(self.config, shown));
                self.is_named = true;
            }
            name => {
                let space = if self.rest.is_empty() { "" } else { " " };
                let shown = chain::text(max, shown);
                self.rest = chain::text(max, &format_args!("{}{space}{name}={shown}", self.rest));
            }
        }
    }
}

/// Shows what is only `Debug`.
struct Shown<'a>(&'a dyn Debug);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, &Shown(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let is_named = matches!(field.name(), "error" | "err");
        // One called so goes before others, of which the first counts.
        if self.error.is_none() || is_named && !self.is_named {
            self.error = Some(Told::by(self.config, value));
            self.is_named = is_named;
        }
    }
}
