//! How names, labels and values are spelt, and how a family becomes text.

use std::fmt::Write as _;

use daur_core::monitoring::histogram::Snapshot;
use daur_core::time::UnixTime;

use super::series::{Data, Octave, Points, Series};
use super::{Declared, Format, Type, Unit, Value};

/// A name of a metric (`colon`) or a label: other characters become `_`.
pub(super) fn name(name: &str, colon: bool) -> String {
    let mut spelt: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':') { c } else { '_' })
        .collect();
    if spelt.is_empty() || spelt.starts_with(|c: char| c.is_ascii_digit()) {
        spelt.insert(0, '_');
    }
    spelt
}

/// A help text on one line. The classic format does not escape quotes there, OpenMetrics does.
fn help(help: &str, format: Format) -> String {
    let mut spelt = help.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', " ");
    if format == Format::OpenMetrics {
        spelt = spelt.replace('"', "\\\"");
    }
    spelt
}

/// The labels, sorted by name; `None` if one is reserved or there twice.
pub(super) fn labels(labels: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let mut spelt: Vec<(String, String)> =
        labels.iter().map(|(label, value)| (name(label, false), (*value).to_owned())).collect();
    spelt.sort_by(|a, b| a.0.cmp(&b.0));
    let reserved = |name: &str| name.starts_with("__") || matches!(name, "le" | "quantile");
    if spelt.iter().any(|(name, _)| reserved(name)) || spelt.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    Some(spelt)
}

/// Labels as text, without their braces.
fn spell(labels: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

/// A value as text.
pub(super) fn value(value: Value) -> String {
    match value {
        Value::Unsigned(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Float(value) if value.is_nan() => "NaN".to_owned(),
        Value::Float(value) if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        Value::Float(value) => value.to_string(),
    }
}

/// `value` units in the base unit, exactly.
pub(super) fn scaled(value: u64, unit: Unit) -> String {
    let (per_base, digits) = match unit {
        Unit::One => return value.to_string(),
        Unit::Millis => (1_000, 3),
        Unit::Micros => (1_000_000, 6),
        Unit::Nanos => (1_000_000_000, 9),
        Unit::Fraction(_) => return unit.base(value).to_string(),
    };
    let (whole, rest) = (value / per_base, value % per_base);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// The same for the label `le`, whose value is always spelt as a float.
pub(super) fn scaled_float(value: u64, unit: Unit) -> String {
    with_point(scaled(value, unit))
}

/// A number as the label `le` spells it.
pub(super) fn float(value: f64) -> String {
    with_point(value.to_string())
}

fn with_point(mut text: String) -> String {
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// Writes a family with all of its series.
pub(super) fn family(page: &mut String, family: &Declared, format: Format, started: Option<UnixTime>) {
    let created = started.filter(|_| format == Format::OpenMetrics);
    // The classic format knows a counter by the name of its samples.
    let suffix = if family.kind == Type::Counter && format == Format::Prometheus { "_total" } else { "" };
    let (name, kind) = (&family.name, family.kind.name());
    // OpenMetrics wants TYPE anywhere before the samples, the classic format does not mind.
    let _ = writeln!(page, "# HELP {name}{suffix} {}\n# TYPE {name}{suffix} {kind}", help(&family.help, format));
    if let (Format::OpenMetrics, Some(unit)) = (format, family.unit()) {
        let _ = writeln!(page, "# UNIT {name} {unit}");
    }
    for Series { labels, data } in &family.series {
        let mut lines = Lines { page, name, labels: &spell(labels) };
        match data {
            Data::Value(told) => {
                let suffix = if family.kind == Type::Counter { "_total" } else { "" };
                lines.add(suffix, None, &value(*told));
            }
            Data::Summary(snapshot, unit) => summary(&mut lines, snapshot, *unit),
            Data::Distribution(points) => distribution(&mut lines, points, created),
        }
    }
}

fn summary(lines: &mut Lines<'_>, snapshot: &Snapshot, unit: Unit) {
    for (quantile, value) in [("0.5", snapshot.p50), ("0.95", snapshot.p95), ("0.99", snapshot.p99)] {
        // Without values there are no quantiles: NaN, as the client libraries write.
        let value = value.map_or_else(|| "NaN".to_owned(), |value| scaled(value, unit));
        lines.add("", Some(("quantile", quantile)), &value);
    }
    lines.add("_sum", None, &scaled(snapshot.sum, unit));
    lines.add("_count", None, &snapshot.count.to_string());
}

fn distribution(lines: &mut Lines<'_>, points: &Points, created: Option<UnixTime>) {
    let mut so_far = 0_u64;
    for Octave { le, count, .. } in &points.octaves {
        so_far = so_far.saturating_add(*count);
        lines.add("_bucket", Some(("le", le)), &so_far.to_string());
    }
    lines.add("_bucket", Some(("le", "+Inf")), &points.native.count.to_string());
    lines.add("_sum", None, &points.sum);
    lines.add("_count", None, &points.native.count.to_string());
    if let Some(created) = created {
        lines.add("_created", None, &scaled(created.as_millis(), Unit::Millis));
    }
}

/// The samples of a series.
struct Lines<'a> {
    page: &'a mut String,
    name: &'a str,
    labels: &'a str,
}

impl Lines<'_> {
    fn add(&mut self, suffix: &str, extra: Option<(&str, &str)>, value: &str) {
        let Self { page, name, labels } = self;
        let _ = write!(page, "{name}{suffix}");
        let _ = match (*labels, extra) {
            ("", None) => Ok(()),
            (labels, None) => write!(page, "{{{labels}}}"),
            ("", Some((name, value))) => write!(page, "{{{name}=\"{value}\"}}"),
            (labels, Some((name, value))) => write!(page, "{{{labels},{name}=\"{value}\"}}"),
        };
        let _ = writeln!(page, " {value}");
    }
}
