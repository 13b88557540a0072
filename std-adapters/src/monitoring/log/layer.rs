//! The layer of `tracing` that hands lines to the queue.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter as LayerFilter};
use tracing_subscriber::registry::LookupSpan;

use super::Logger;
use super::entry::{Entry, Fields, TARGET_FIELD};
use super::filter::{Filter, of_tracing, to_tracing};

/// The filter of this layer alone.
pub(super) struct PerTarget(pub(super) Arc<Filter>);

impl PerTarget {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // One that names its target at run time is judged then.
        let is_named = metadata.fields().field(TARGET_FIELD).is_some();
        let level = of_tracing(*metadata.level());
        if is_named { level <= self.0.least() } else { self.0.wants(level, metadata.target()) }
    }
}

impl<S> LayerFilter<S> for PerTarget {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(to_tracing(self.0.least())))
    }
}

/// Writes events into the queue of a [`Logger`].
pub(super) struct LogLayer {
    log: Logger,
    max_line: usize,
}

impl LogLayer {
    pub(super) fn new(log: Logger) -> Self {
        let max_line = log.0.queue.limits.line;
        Self { log, max_line }
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Entry::of_span(attributes.metadata().name(), self.max_line / 4);
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields.into_fields());
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let max = self.max_line / 4;
        // Before the span is locked: a value may log while it is formatted.
        let mut later = Entry::of_later_fields(max);
        values.record(&mut later);
        let later = later.into_fields();
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            fields.update(&later, max);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let queue = &self.log.0.queue;
        if queue.is_writer() {
            return queue.count_own();
        }
        let metadata = event.metadata();
        let level = of_tracing(*metadata.level());
        let mut entry = Entry::new(level, metadata.target(), self.max_line);
        event.record(&mut entry);
        if let Some(target) = entry.named_target()
            && !self.log.0.filter.wants(level, target)
        {
            return;
        }
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(fields) = span.extensions().get() {
                    entry.span(fields);
                }
            }
        }
        queue.push(entry.finish());
    }
}
