//! The same page as protobuf, by the encoder of `prometheus-client`.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use daur_core::monitoring::histogram::Snapshot;
use daur_core::time::UnixTime;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_protobuf::{encode, prometheus_data_model as model};
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit as Named};
use prost::Message;

use super::accept::{self, Offer};
use super::series::{Data, Points, Series, Value};
use super::{DROPPED, Declared, Format, Native, Page, Type, Unit};

/// Names one of the three formats that a server can offer.
///
/// # Example
/// ```
/// use daur_std::monitoring::prometheus::{Exposition, Page};
///
/// let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
///               application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
/// let format = Exposition::accepted(accept);
/// assert_eq!(format, Exposition::Protobuf);
/// let mut page = Page::new(format.text());
/// page.gauge("up", "Up.").sample(&[], true);
/// let (content_type, body) = (format.content_type(), format.finish(page));
/// assert!(content_type.starts_with("application/vnd.google.protobuf"));
/// assert_eq!(body[..6], [24, 10, 2, b'u', b'p', 18]); // 24 bytes: a field 1, the name, and so on
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// One of the texts.
    Text(Format),
    /// `MetricFamily` messages, each after its length: the one that carries native histograms.
    Protobuf,
}

impl Exposition {
    /// The format that a scraper's `Accept` header asks for: the one of the highest weight, by the header's most specific
    /// range. Among equals the richer comes first; if only wildcards speak or nothing fits, it is the classic text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        const PROTOBUF: Offer = Offer {
            kind: "application",
            subtype: "vnd.google.protobuf",
            parameters: &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        };
        match accept::best(accept, &[PROTOBUF, accept::OPEN_METRICS, accept::TEXT]) {
            Some(0) => Self::Protobuf,
            Some(1) => Self::Text(Format::OpenMetrics),
            _ => Self::Text(Format::Prometheus),
        }
    }

    /// The `Content-Type` of what is written.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text(format) => format.content_type(),
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What to make the [`Page`] of.
    #[must_use]
    pub const fn text(self) -> Format {
        match self {
            Self::Text(format) => format,
            Self::Protobuf => Format::Prometheus,
        }
    }

    /// The page, written in this format.
    #[must_use]
    pub fn finish(self, page: Page) -> Vec<u8> {
        match self {
            Self::Text(format) => Page { format, ..page }.finish().into_bytes(),
            Self::Protobuf => page.protobuf(),
        }
    }
}

impl Page {
    /// The page as protobuf: `MetricFamily` messages, each after its length. Histograms have their native and their classic
    /// buckets.
    #[must_use]
    pub fn protobuf(mut self) -> Vec<u8> {
        self.tell_dropped();
        // `prometheus-client` knows no summaries, so their messages are made here.
        let summaries: Vec<model::MetricFamily> =
            self.written().filter(|family| family.kind == Type::Summary).map(summaries).collect();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Rest(self)));
        // It only fails where a value refuses to be encoded, which none of a page's does.
        let families = encode(&registry).unwrap_or_default();
        families.iter().chain(&summaries).flat_map(Message::encode_length_delimited_to_vec).collect()
    }
}

/// All of a page but its summaries.
#[derive(Debug)]
struct Rest(Page);

impl Collector for Rest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.written().try_for_each(|family| describe(family, self.0.started, &mut encoder))
    }
}

/// A page among the metrics of an application that has a registry of `prometheus-client`: register it as a collector. That
/// crate has no summaries: they are counted as left out.
impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.written().try_for_each(|family| describe(family, self.started, &mut encoder))?;
        let summaries = self.written().filter(|family| family.kind == Type::Summary);
        let dropped = self.dropped + summaries.map(|family| family.series.len() as u64).sum::<u64>();
        if dropped > 0 && !self.places.contains_key(DROPPED.0) {
            let mut metric = encoder.encode_descriptor(DROPPED.0, DROPPED.1, None, MetricType::Counter)?;
            metric.encode_counter(&dropped, NONE)?;
        }
        Ok(())
    }
}

const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;

fn describe(family: &Declared, started: Option<UnixTime>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind {
        Type::Counter => MetricType::Counter,
        Type::Gauge => MetricType::Gauge,
        Type::Histogram => MetricType::Histogram,
        Type::Summary => return Ok(()),
    };
    // The encoder appends the unit to the name.
    let unit = family.unit();
    let name = unit.and_then(|unit| family.name.strip_suffix(unit)?.strip_suffix('_')).unwrap_or(&family.name);
    let unit = unit.map(|unit| Named::Other(unit.to_owned()));
    let mut metric = encoder.encode_descriptor(name, &help(family), unit.as_ref(), kind)?;
    for Series { labels, data } in &family.series {
        let labels = labels.as_slice();
        let mut one = metric.encode_family(&labels)?;
        match (data, family.kind) {
            (Data::Value(Value::Unsigned(value)), Type::Counter) => one.encode_counter(value, NONE)?,
            (Data::Value(Value::Signed(value)), Type::Counter) => one.encode_counter(&value.unsigned_abs(), NONE)?,
            (Data::Value(Value::Float(value)), Type::Counter) => one.encode_counter(value, NONE)?,
            (Data::Value(Value::Unsigned(value)), _) => one.encode_gauge(value)?,
            (Data::Value(Value::Signed(value)), _) => one.encode_gauge(value)?,
            (Data::Value(Value::Float(value)), _) => one.encode_gauge(value)?,
            (Data::Distribution(points), _) => distribution(points, started, &mut one)?,
            (Data::Summary(..), _) => {}
        }
    }
    Ok(())
}

fn help(family: &Declared) -> String {
    family.help.replace(['\n', '\r'], " ")
}

fn distribution(points: &Points, started: Option<UnixTime>, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    let Native { count, sum, schema, zero_threshold, zero_count, ref spans, ref deltas } = points.native;
    // The very bounds of the text, which a float is spelt by exactly.
    let octaves = points.octaves.iter().map(|octave| (octave.le.parse().unwrap_or(f64::INFINITY), octave.count));
    let below = points.octaves.iter().fold(0, |below: u64, octave| below.saturating_add(octave.count));
    let classic: Vec<(f64, u64)> = octaves.chain([(f64::INFINITY, count.saturating_sub(below))]).collect();
    let Some(schema) = schema else {
        return metric.encode_histogram::<NoLabelSet>(sum, count, &classic, None);
    };
    let native = NativeHistogram {
        schema,
        zero_threshold,
        zero_count,
        negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
        positive: NativeHistogramBuckets { spans, deltas },
        created: started.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_millis(at.as_millis()))),
    };
    metric.encode_histogram_with_native::<NoLabelSet>(sum, count, &classic, None, native)
}

fn summaries(family: &Declared) -> model::MetricFamily {
    let metric = family.series.iter().filter_map(|Series { labels, data }| {
        let Data::Summary(snapshot, unit) = data else { return None };
        let label = labels.iter().map(|(name, value)| model::LabelPair { name: name.clone(), value: value.clone() });
        Some(model::Metric {
            label: label.collect(),
            summary: Some(summary(snapshot, *unit)),
            ..model::Metric::default()
        })
    });
    model::MetricFamily {
        name: family.name.clone(),
        help: help(family),
        r#type: model::MetricType::Summary.into(),
        metric: metric.collect(),
        unit: family.unit().unwrap_or_default().to_owned(),
    }
}

fn summary(snapshot: &Snapshot, unit: Unit) -> model::Summary {
    let quantile = [(0.5, snapshot.p50), (0.95, snapshot.p95), (0.99, snapshot.p99)]
        .map(|(quantile, value)| model::Quantile { quantile, value: value.map_or(f64::NAN, |value| unit.base(value)) });
    model::Summary {
        sample_count: snapshot.count,
        sample_sum: unit.base(snapshot.sum),
        quantile: quantile.to_vec(),
        start_timestamp: None,
    }
}
