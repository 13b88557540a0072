//! A report as lines of a name and a value.

use std::fmt::Write;

use serde_json::Value;

use super::Report;

/// As RFC 4180 has it.
pub(super) fn render(report: &Report) -> String {
    let mut to = String::from("name,value\r\n");
    line(&mut to, "title", &report.title);
    line(&mut to, "at_ms", &report.at_ms.to_string());
    for (name, value) in &report.parts {
        flat(&mut to, name, value);
    }
    flat(&mut to, "history", &report.history);
    to
}

fn flat(to: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(parts) => parts.iter().for_each(|(part, value)| flat(to, &format!("{name}.{part}"), value)),
        Value::Array(parts) => {
            parts.iter().enumerate().for_each(|(part, value)| flat(to, &format!("{name}.{part}"), value));
        }
        Value::String(text) => line(to, name, &harmless(text)),
        Value::Null => line(to, name, ""),
        value => line(to, name, &value.to_string()),
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

fn line(to: &mut String, name: &str, value: &str) {
    // Writing to a `String` does not fail.
    let _ = write!(to, "{},{}\r\n", field(&harmless(name)), field(value));
}

fn field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::reports::Format;

    #[test]
    fn each_value_is_a_line_and_none_of_them_a_formula() {
        let text = super::super::tests::report().render(Format::Csv).unwrap();
        for line in [
            "name,value",
            "host,\"<b>\"\"x\"\"\"",
            "requests.per_second,1.5",
            "requests.none,",
            "breakers.0.name,'=cmd()",
            "breakers.1.name,\"a,b\"",
            "failing.1,\"two",
            "history.series.cpu.2,300",
        ] {
            assert!(text.split("\r\n").any(|found| found.starts_with(line)), "{line} in {text}");
        }
        assert!(text.ends_with("\r\n"));
    }
}
