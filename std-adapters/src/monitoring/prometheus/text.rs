//! How names, labels and values are spelt.

use std::fmt::Write as _;

use super::{Format, Unit, Value};

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
pub(super) fn help(help: &str, format: Format) -> String {
    let mut spelt = help.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', " ");
    if format == Format::OpenMetrics {
        spelt = spelt.replace('"', "\\\"");
    }
    spelt
}

/// The labels, sorted by name, without their braces; `None` if one is reserved or there twice.
pub(super) fn labels(labels: &[(&str, &str)]) -> Option<String> {
    let mut spelt: Vec<(String, &str)> = labels.iter().map(|(label, value)| (name(label, false), *value)).collect();
    spelt.sort_by(|a, b| a.0.cmp(&b.0));
    let reserved = |name: &str| name.starts_with("__") || matches!(name, "le" | "quantile");
    if spelt.iter().any(|(name, _)| reserved(name)) || spelt.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let mut text = String::new();
    for (name, value) in spelt {
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
    Some(text)
}

/// Whether a counter may have this value.
pub(super) fn counts(value: Value) -> bool {
    match value {
        Value::Unsigned(_) => true,
        Value::Signed(value) => value >= 0,
        Value::Float(value) => value >= 0.0,
    }
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
    let mut text = scaled(value, unit);
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}
