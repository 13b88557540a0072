//! Figures and texts of a status one by one, and as Prometheus reads them.

use serde_json::Value;

use super::FullStatus;
use crate::monitoring::prometheus::{Format, Page};

/// Calls `each` with the path and value of every leaf of `value`.
pub(super) fn leaves<'a>(value: &'a Value, path: &mut String, each: &mut dyn FnMut(&str, &'a Value)) {
    let begin = path.len();
    let mut below = |key: &str, value: &'a Value, path: &mut String| {
        if begin > 0 {
            path.push('.');
        }
        path.push_str(key);
        leaves(value, path, each);
        path.truncate(begin);
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                below(key, value, path);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, value) in items.iter().enumerate() {
                below(&place.to_string(), value, path);
            }
        }
        leaf => each(path, leaf),
    }
}

/// Every figure as a gauge, and the verdict.
pub(super) fn prometheus(status: &FullStatus) -> String {
    let mut page = Page::new(Format::Prometheus);
    let labels = [("title", status.title.as_str()), ("version", status.version.as_str())];
    page.gauge("daur_info", "What this is.").sample(&labels, 1_u64);
    page.gauge("daur_verdict", "0 green, 1 amber, 2 red.").sample(&[], status.verdict as u8);
    page.gauge("daur_concerns", "Things that are wrong.").sample(&[], status.concerns.len());
    page.gauge("daur_uptime_seconds", "Time since the start.").sample(&[], status.uptime_ms as f64 / 1e3);
    for (section, machines) in &status.sections {
        for (name, snapshot) in machines {
            leaves(snapshot, &mut String::new(), &mut |field, value| {
                let mut values = page.gauge("daur_status", "A figure of a machine's snapshot.");
                let labels = [("section", section.as_str()), ("name", name.as_str()), ("field", field)];
                match value {
                    Value::Bool(value) => {
                        values.sample(&labels, *value);
                    }
                    Value::Number(number) => {
                        if let Some(value) = number.as_u64() {
                            values.sample(&labels, value);
                        } else if let Some(value) = number.as_i64() {
                            values.sample(&labels, value);
                        } else if let Some(value) = number.as_f64() {
                            values.sample(&labels, value);
                        }
                    }
                    _ => {}
                }
            });
        }
    }
    page.finish()
}
