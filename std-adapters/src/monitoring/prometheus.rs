//! Figures as Prometheus and OpenMetrics text.

mod text;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use daur_core::monitoring::histogram::{Bucket, Cells, Histogram, Snapshot};

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
    /// The format that a scraper's `Accept` header asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let wants = accept.split(',').filter_map(|range| range.split(';').next()).map(str::trim);
        if wants.into_iter().any(|range| range.eq_ignore_ascii_case("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
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
    /// What is appended to the family's name in the names of its samples, and the name itself.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total"],
            Self::Gauge => &[""],
            Self::Summary => &["", "_sum", "_count"],
            Self::Histogram => &["", "_bucket", "_sum", "_count"],
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

/// A value of a series. `From` takes integers and floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number, written exactly.
    Unsigned(u64),
    /// A whole number, written exactly.
    Signed(i64),
    /// A float.
    Float(f64),
}

macro_rules! values {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

values!(u8 => Unsigned, u16 => Unsigned, u32 => Unsigned, u64 => Unsigned, bool => Unsigned,
    i8 => Signed, i16 => Signed, i32 => Signed, i64 => Signed, f32 => Float, f64 => Float);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Unsigned(value as u64)
    }
}

/// What one recorded unit of a histogram is, in the base unit that Prometheus wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The recorded unit is the base unit: bytes, items.
    One,
    /// Milliseconds were recorded, seconds are written.
    Millis,
    /// Microseconds were recorded, seconds are written.
    Micros,
    /// Nanoseconds were recorded, seconds are written.
    Nanos,
}

/// Writes figures as text that Prometheus scrapes.
///
/// # Rules
/// 1. Names are made of `A-Z a-z 0-9 _ :`, and label names of the same without `:`; any other
///    character becomes `_`. A label's value may be anything, and is escaped.
/// 2. A family is written once with its `HELP` and `TYPE`, in one piece, whatever the order of the
///    calls; its first declaration counts.
/// 3. A counter's samples end in `_total`, whether you wrote that or not.
/// 4. What would make a scraper refuse the whole page is left out and counted, and the page says how
///    much: a series that is there twice, a family whose name or whose samples' names are taken by
///    another, reserved labels.
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
#[derive(Debug)]
pub struct Page {
    format: Format,
    families: Vec<Declared>,
    places: HashMap<String, usize>,
    dropped: u64,
}

#[derive(Debug)]
struct Declared {
    name: String,
    kind: Type,
    help: String,
    lines: String,
    /// The label sets that have been written.
    series: HashSet<String>,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, families: Vec::new(), places: HashMap::new(), dropped: 0 }
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
        let help = text::help(help, self.format);
        self.families.push(Declared { name, kind, help, lines: String::new(), series: HashSet::new() });
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
        if self.dropped > 0 {
            let dropped = self.dropped;
            self.counter("daur_exposition_dropped", "Series left out of this page.").sample(&[], dropped);
        }
        let mut page = String::new();
        for family in self.families.iter().filter(|family| !family.lines.is_empty()) {
            // The classic format knows a counter by the name of its samples.
            let suffix = if family.kind == Type::Counter && self.format == Format::Prometheus { "_total" } else { "" };
            let (name, help, kind) = (&family.name, &family.help, family.kind.name());
            // OpenMetrics wants TYPE anywhere before the samples, the classic format does not mind.
            let _ = writeln!(page, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
            page.push_str(&family.lines);
        }
        if self.format == Format::OpenMetrics {
            page.push_str("# EOF\n");
        }
        page
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
        self.put(labels, &[Type::Counter, Type::Gauge], |family, labels| {
            let suffix = if family.kind == Type::Counter { "_total" } else { "" };
            // A counter that is not a number or below zero is no counter.
            let refused = family.kind == Type::Counter && !text::counts(value);
            if !refused {
                line(family, suffix, labels, None, &text::value(value));
            }
            !refused
        })
    }

    /// Puts in a series of a summary: sum, count and the quantiles that the snapshot has.
    pub fn snapshot(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot, unit: Unit) -> &mut Self {
        self.put(labels, &[Type::Summary], |family, labels| {
            for (quantile, value) in [("0.5", snapshot.p50), ("0.95", snapshot.p95), ("0.99", snapshot.p99)] {
                // Without values there are no quantiles: NaN, as the client libraries write.
                let value = value.map_or_else(|| "NaN".to_owned(), |value| text::scaled(value, unit));
                line(family, "", labels, Some(("quantile", quantile)), &value);
            }
            line(family, "_sum", labels, None, &text::scaled(snapshot.sum, unit));
            line(family, "_count", labels, None, &snapshot.count.to_string());
            true
        })
    }

    /// Puts in a series of a histogram, with a bucket for every power of two from the lowest value
    /// to the highest: those bounds are bounds of our own buckets, so the counts are exact.
    pub fn distribution<L: Cells>(
        &mut self,
        labels: &[(&str, &str)],
        histogram: &Histogram<L>,
        unit: Unit,
    ) -> &mut Self {
        let (buckets, sum) = (histogram.buckets(), histogram.sum());
        self.put(labels, &[Type::Histogram], |family, labels| {
            let mut total = 0_u64;
            let mut cumulative: Vec<(u64, u64)> = Vec::new();
            for Bucket { upper, count, .. } in buckets {
                total = total.saturating_add(count);
                // The last power of two is 2^63: what is above has only the bucket of all.
                let Some(bound) = upper.max(1).checked_next_power_of_two() else { continue };
                match cumulative.last_mut() {
                    Some((last, so_far)) if *last == bound => *so_far = total,
                    _ => cumulative.push((bound, total)),
                }
            }
            for (bound, so_far) in &cumulative {
                line(family, "_bucket", labels, Some(("le", &text::scaled_float(*bound, unit))), &so_far.to_string());
            }
            line(family, "_bucket", labels, Some(("le", "+Inf")), &total.to_string());
            line(family, "_sum", labels, None, &text::scaled(sum, unit));
            line(family, "_count", labels, None, &total.to_string());
            true
        })
    }

    /// Writes a series that may be written, else counts it as dropped.
    fn put(
        &mut self,
        labels: &[(&str, &str)],
        kinds: &[Type],
        write: impl FnOnce(&mut Declared, &str) -> bool,
    ) -> &mut Self {
        let written = self.family.as_deref_mut().filter(|family| kinds.contains(&family.kind)).is_some_and(|family| {
            let Some(labels) = text::labels(labels) else { return false };
            !family.series.contains(&labels) && write(family, &labels) && family.series.insert(labels)
        });
        *self.dropped += u64::from(!written);
        self
    }
}

/// One sample of a family.
fn line(family: &mut Declared, suffix: &str, labels: &str, extra: Option<(&str, &str)>, value: &str) {
    let Declared { name, lines, .. } = family;
    let _ = write!(lines, "{name}{suffix}");
    let _ = match (labels, extra) {
        ("", None) => Ok(()),
        (labels, None) => write!(lines, "{{{labels}}}"),
        ("", Some((name, value))) => write!(lines, "{{{name}=\"{value}\"}}"),
        (labels, Some((name, value))) => write!(lines, "{{{labels},{name}=\"{value}\"}}"),
    };
    let _ = writeln!(lines, " {value}");
}
