//! Which names OpenMetrics allows.

use std::sync::{Arc, LazyLock};

use daur_core::monitoring::metrics::Kind;

use super::{Labels, OVERFLOW};

fn is_name(name: &str, colons: bool) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

pub(super) fn is_metric(name: &str) -> bool {
    is_name(name, true)
}

fn is_label(name: &str) -> bool {
    is_name(name, false) && !name.starts_with("__") && !["le", "quantile", OVERFLOW].contains(&name)
}

/// The labels in order, without those that have no value; `None` if a name is not allowed or there twice.
pub(super) fn labels(labels: &[(&str, &str)]) -> Option<Labels> {
    if !labels.iter().all(|(name, _)| is_label(name)) {
        return None;
    }
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|two| two[0].0 == two[1].0) {
        return None;
    }
    sorted.retain(|(_, value)| !value.is_empty());
    Some(Labels(sorted.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
}

/// The labels of a family's overflow series.
pub(super) fn overflow() -> Labels {
    static LABELS: LazyLock<Labels> = LazyLock::new(|| Labels(Arc::new([(OVERFLOW.into(), "true".into())])));
    LABELS.clone()
}

/// The names that a family takes in the text formats: its own, and those of its samples.
pub(super) fn samples(family: &str, kind: Kind) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        Kind::Counter => &["", "_total", "_created"],
        Kind::Gauge => &[""],
        Kind::Distribution => &["", "_bucket", "_sum", "_count", "_created"],
    };
    suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
}

/// `name` with `_` for what is not allowed in it.
#[cfg(feature = "metrics")]
pub(super) fn allowed(name: &str, colons: bool) -> String {
    let allow = |c: char| if c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':') { c } else { '_' };
    let mut allowed: String = name.chars().map(allow).collect();
    if !allowed.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':') {
        allowed.insert(0, '_');
    }
    allowed
}
