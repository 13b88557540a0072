//! Figures as Prometheus scrapes them: as text, as OpenMetrics and (feature `prometheus`) as protobuf.

mod accept;
mod native;
#[cfg(feature = "prometheus")]
mod protobuf;
mod series;
mod text;

pub use native::Native;
#[cfg(feature = "prometheus")]
pub use protobuf::Exposition;
pub use series::{Unit, Value};

use std::collections::{HashMap, HashSet};

use daur_core::monitoring::histogram::{Cells, Histogram, Snapshot};
use daur_core::time::UnixTime;

use series::{Data, Points, Series};

use super::metrics::{self, Distribution, Kind, Registry};

/// Which of the two text formats is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The classic text format, 0.0.4, which every Prometheus reads.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The text that a scraper's `Accept` header asks for, by the weights in it; the classic one if it asks for neither. With
    /// protobuf on offer too, ask `Exposition`.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        match accept::best(accept, &[accept::OPEN_METRICS, accept::TEXT]) {
            Some(0) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The `Content-Type` of what is written.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Summary,
    Histogram,
}

impl Type {
    /// What is appended to the family's name in the names of its samples, and the name itself. Parsers of OpenMetrics hold
    /// `_created` taken whether it is written or not.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total", "_created"],
            Self::Gauge => &[""],
            Self::Summary => &["", "_sum", "_count", "_created"],
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }
}

/// Gathers figures and writes them as Prometheus scrapes them (the exporter of the seed's `MetricsCollector`).
///
/// # Rules
/// 1. Names are made of `A-Z a-z 0-9 _ :`, and label names of the same without `:`; any other
///    character becomes `_`. A label's value may be anything, and is escaped.
/// 2. A family is written once with its `HELP`, `TYPE` and, where its name ends in one, `UNIT`, in one piece, whatever the
///    order of the calls; its first declaration counts.
/// 3. A counter's samples end in `_total`, whether you wrote that or not.
/// 4. What would make a scraper refuse the whole page is left out and counted, and the page says how
///    much: a series that is there twice, a family whose name or whose samples' names are taken by
///    another, reserved labels, a counter below zero.
/// 5. All formats tell the same; only protobuf has a histogram's native buckets ([`Native`]) beside the classic ones.
///
/// # Cost
/// O(series); a page is made for each scrape and holds a copy of its labels.
///
/// # Example
/// ```
/// use daur_std::monitoring::prometheus::{Format, Page};
///
/// let mut page = Page::new(Format::Prometheus);
/// let mut requests = page.counter("daur_requests", "Requests answered.");
/// requests.sample(&[("code", "200")], 3_u64);
/// requests.sample(&[("code", "404")], 1_u64);
/// page.gauge("daur_up", "Whether it is up.").sample(&[], true);
/// assert_eq!(
///     page.finish(),
///     "# HELP daur_requests_total Requests answered.\n\
///      ## TYPE daur_requests_total counter\n\
///      daur_requests_total{code=\"200\"} 3\n\
///      daur_requests_total{code=\"404\"} 1\n\
///      ## HELP daur_up Whether it is up.\n\
///      ## TYPE daur_up gauge\n\
///      daur_up 1\n",
/// );
/// ```
///
/// # References
/// Prometheus exposition formats; OpenMetrics 1.0.0 (draft-ietf-opsawg-openmetrics).
#[doc(alias = "MetricsCollector")]
#[derive(Debug)]
pub struct Page {
    format: Format,
    started: Option<UnixTime>,
    families: Vec<Declared>,
    places: HashMap<String, usize>,
    dropped: u64,
}

#[derive(Debug)]
struct Declared {
    name: String,
    kind: Type,
    help: String,
    series: Vec<Series>,
    /// The label sets that have been written, without labels that have no value.
    known: HashSet<Vec<(String, String)>>,
}

impl Declared {
    /// The base unit in which the name ends.
    fn unit(&self) -> Option<&'static str> {
        const BASE: [&str; 9] =
            ["seconds", "bytes", "ratio", "celsius", "meters", "volts", "amperes", "joules", "grams"];
        BASE.into_iter()
            .find(|unit| self.name.strip_suffix(unit).is_some_and(|rest| rest.len() > 1 && rest.ends_with('_')))
    }
}

/// The family that tells what was left out, and its help.
const DROPPED: (&str, &str) = ("daur_exposition_dropped", "Series left out of this page.");

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, started: None, families: Vec::new(), places: HashMap::new(), dropped: 0 }
    }

    /// Says since when histograms have counted, which OpenMetrics and protobuf tell: the start of the process, as a rule.
    pub fn started(&mut self, at: UnixTime) {
        self.started = Some(at);
    }

    /// The family of a total that only goes up.
    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Type::Counter)
    }

    /// The family of a value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Type::Gauge)
    }

    /// The family of distributions that are told by their quantiles.
    pub fn summary(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Type::Summary)
    }

    /// The family of distributions that are told by their buckets.
    pub fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, help, Type::Histogram)
    }

    /// Puts in all that `registry` has. A gauge that was never set is no series; what the registry refused, rejected or put
    /// into a series of overflow is told by `daur_metrics_*`, for all registries together.
    pub fn registry(&mut self, registry: &Registry) {
        let metrics::Snapshot { families, refused, lost, rejected } = registry.snapshot();
        for told in &families {
            let mut family = self.family(&told.name, &told.help, told.kind.into());
            for series in &told.series {
                let labels = series.labels.pairs();
                match &series.value {
                    metrics::Value::Counter(total) => family.sample(&labels, *total),
                    metrics::Value::Gauge(Some(value)) => family.sample(&labels, *value),
                    metrics::Value::Gauge(None) => continue,
                    metrics::Value::Histogram(told) => family.told(&labels, told),
                };
            }
        }
        let overflowed: u64 = families.iter().map(|family| family.overflowed).sum();
        for (name, help, count) in [
            ("daur_metrics_refused", "Handles that the registry had no room or no good name for.", refused),
            ("daur_metrics_lost", "Records through such handles.", lost),
            ("daur_metrics_rejected", "Values that were no numbers, or negative in a histogram.", rejected),
            ("daur_metrics_overflowed", "Label sets that had to share a series of overflow.", overflowed),
        ] {
            self.count(name, help, count);
        }
    }

    /// Adds to the counter `name`, which has no labels.
    fn count(&mut self, name: &str, help: &str, more: u64) {
        let Some(place) = self.places.get(name) else {
            self.counter(name, help).sample(&[], more);
            return;
        };
        let family = &mut self.families[*place];
        for series in family.series.iter_mut().filter(|_| family.kind == Type::Counter) {
            if let (true, Data::Value(Value::Unsigned(count))) = (series.labels.is_empty(), &mut series.data) {
                *count = count.saturating_add(more);
            }
        }
    }

    fn family(&mut self, name: &str, help: &str, kind: Type) -> Family<'_> {
        let mut name = text::name(name, true);
        if kind == Type::Counter && name.ends_with("_total") {
            name.truncate(name.len() - "_total".len());
        }
        let known = self.places.get(&name).copied();
        let place = known.filter(|place| self.families[*place].name == name && self.families[*place].kind == kind);
        let place = place.or_else(|| self.declare(name, help, kind));
        Family { family: place.map(|place| &mut self.families[place]), dropped: &mut self.dropped }
    }

    /// A new family, unless one of the names of its samples is taken.
    fn declare(&mut self, name: String, help: &str, kind: Type) -> Option<usize> {
        let names: Vec<String> = kind.suffixes().iter().map(|suffix| format!("{name}{suffix}")).collect();
        if names.iter().any(|name| self.places.contains_key(name)) {
            return None;
        }
        let place = self.families.len();
        self.places.extend(names.into_iter().map(|name| (name, place)));
        self.families.push(Declared { name, kind, help: help.to_owned(), series: Vec::new(), known: HashSet::new() });
        Some(place)
    }

    /// Series left out so far because of rule 4.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The page's text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.tell_dropped();
        let mut page = String::new();
        for family in self.written() {
            text::family(&mut page, family, self.format, self.started);
        }
        if self.format == Format::OpenMetrics {
            page.push_str("# EOF\n");
        }
        page
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let dropped = self.dropped;
            self.counter(DROPPED.0, DROPPED.1).sample(&[], dropped);
        }
    }

    /// The families that have something to tell.
    fn written(&self) -> impl Iterator<Item = &Declared> {
        self.families.iter().filter(|family| !family.series.is_empty())
    }
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Distribution => Self::Histogram,
        }
    }
}

/// A family on a [`Page`], to put series into.
#[derive(Debug)]
pub struct Family<'a> {
    /// `None` if the family is there as another type: what is put into it is dropped.
    family: Option<&'a mut Declared>,
    dropped: &'a mut u64,
}

impl Family<'_> {
    /// Puts in the series of a counter or gauge.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        self.put(labels, |kind| match kind {
            // A counter that is not a number or below zero is no counter.
            Type::Counter => value.counts().then_some(Data::Value(value)),
            Type::Gauge => Some(Data::Value(value)),
            Type::Summary | Type::Histogram => None,
        })
    }

    /// Puts in a series of a summary: sum, count and the quantiles that the snapshot has.
    pub fn snapshot(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot, unit: Unit) -> &mut Self {
        self.put(labels, |kind| (kind == Type::Summary).then_some(Data::Summary(*snapshot, unit)))
    }

    /// Puts in a series of a histogram. Its classic buckets are the powers of two of the recorded unit, from the lowest value to
    /// the highest, as far as they are bounds of our own buckets (at a scale below 0 not all are): so the counts are exact. Its
    /// native ones are [`Native`]'s.
    pub fn distribution<L: Cells>(
        &mut self,
        labels: &[(&str, &str)],
        histogram: &Histogram<L>,
        unit: Unit,
    ) -> &mut Self {
        self.put(labels, |kind| (kind == Type::Histogram).then(|| Data::Distribution(Points::new(histogram, unit))))
    }

    /// Puts in a series of a histogram of a [`Registry`].
    fn told(&mut self, labels: &[(&str, &str)], told: &Distribution) -> &mut Self {
        self.put(labels, |kind| (kind == Type::Histogram).then(|| Data::Distribution(Points::of(told))))
    }

    /// Keeps a series that may be written, else counts it as dropped.
    fn put(&mut self, labels: &[(&str, &str)], data: impl FnOnce(Type) -> Option<Data>) -> &mut Self {
        let put = || {
            let family = self.family.as_deref_mut()?;
            let labels = text::labels(labels)?;
            // To a scraper a label without a value is none.
            let known: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
            if family.known.contains(&known) {
                return None;
            }
            let data = data(family.kind)?;
            family.known.insert(known);
            family.series.push(Series { labels, data });
            Some(())
        };
        let dropped = put().is_none();
        *self.dropped += u64::from(dropped);
        self
    }
}
