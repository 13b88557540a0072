//! Comma-separated values, by RFC 4180.

use serde_json::Value;

use super::FullStatus;
use super::text::leaves;

/// One line for each figure and text.
pub(super) fn render(status: &FullStatus) -> String {
    let mut lines = String::from("section,name,field,value\r\n");
    let mut line = |section: &str, name: &str, field: &str, value: &str| {
        for (place, cell) in [section, name, field].into_iter().enumerate() {
            if place > 0 {
                lines.push(',');
            }
            lines.push_str(&text(cell));
        }
        lines.push(',');
        lines.push_str(value);
        lines.push_str("\r\n");
    };
    line("status", "", "title", &text(&status.title));
    line("status", "", "version", &text(&status.version));
    line("status", "", "at_ms", &status.at_ms.to_string());
    line("status", "", "uptime_ms", &status.uptime_ms.to_string());
    line("status", "", "verdict", status.verdict.as_str());
    for concern in &status.concerns {
        line(
            "concern",
            &format!("{}/{}", concern.section, concern.name),
            concern.verdict.as_str(),
            &text(&concern.what),
        );
    }
    for (section, machines) in &status.sections {
        for (name, snapshot) in machines {
            leaves(snapshot, &mut String::new(), &mut |field, value| {
                let value = match value {
                    Value::Null => String::new(),
                    Value::String(value) => text(value),
                    // Figures, `true`, `false`, and what is empty.
                    figure => figure.to_string(),
                };
                line(section, name, field, &value);
            });
        }
    }
    lines
}

/// A text as a cell: in quotation marks where it must be, and never a formula.
pub(super) fn text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let guard = if formula { "'" } else { "" };
    let quote = formula || text.contains([',', '"', '\r', '\n', ';', '\t']);
    if quote { format!("\"{guard}{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
