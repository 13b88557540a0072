//! A report as one page: its charts are drawn in it, and it asks nobody for anything.

use std::borrow::Cow;
use std::fmt::Write;

use daur_core::time::UnixTime;
use serde_json::{Map, Value};

use super::Report;
use crate::cli::time_text;

/// Rows of one table; what is beyond is counted.
const ROWS: usize = 200;
/// Tables and lists within each other.
const DEEP: usize = 4;

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #8886}table{border-collapse:\
collapse;font-size:.9rem}th,td{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}\
td table{font-size:1em}caption{text-align:left}figure{display:inline-block;margin:.5rem 1.5rem .5rem 0;width:20rem}\
figcaption{font-size:.85rem}svg{width:100%;height:6rem;background:#8881}path{fill:none;stroke:#27c;stroke-width:2;\
vector-effect:non-scaling-stroke}.red{color:#b00020}.amber{color:#8a5a00}@media(prefers-color-scheme:dark){path{stroke:\
#6af}.red{color:#ff8a8a}.amber{color:#ffc46b}}";

/// The page.
pub(super) fn render(report: &Report) -> String {
    let (title, at) = (safe(&report.title), time_text(UnixTime::from_millis(report.at_ms)));
    let mut to = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=\
         device-width\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\"><title>{title}, {at}</title><style>{STYLE}</style></head><body><h1>{title}</h1><p>{at}</p>\n"
    );
    attention(&mut to, report.parts.get("attention"));
    charts(&mut to, &report.history);
    let (plain, parts): (Map<_, _>, Map<_, _>) =
        report.parts.clone().into_iter().partition(|(_, value)| !value.is_object() && !value.is_array());
    put(&mut to, "<h2>Server</h2>");
    part(&mut to, &Value::Object(plain), 0);
    for (name, value) in parts.iter().filter(|(name, _)| *name != "attention") {
        let _ = write!(to, "<h2>{}</h2>", words(name));
        part(&mut to, value, 0);
    }
    put(&mut to, "</body></html>\n");
    to
}

/// Writing to a `String` does not fail.
fn put(to: &mut String, text: &str) {
    to.push_str(text);
}

/// What is wrong, first, and in words.
fn attention(to: &mut String, all: Option<&Value>) {
    let Some(Value::Array(all)) = all else { return };
    put(to, "<h2>What is wrong</h2>");
    if all.is_empty() {
        return put(to, "<p>Nothing.</p>");
    }
    put(to, "<ul>");
    for one in all {
        let level = if one["level"] == "red" { "red" } else { "amber" };
        let _ = write!(to, "<li><b class=\"{level}\">{level}</b> {}</li>", safe(one["text"].as_str().unwrap_or("")));
    }
    put(to, "</ul>");
}

fn charts(to: &mut String, history: &Value) {
    let Some(series) = history["series"].as_object() else { return };
    put(to, "<h2>The last day</h2>");
    for (name, values) in series {
        let values: Vec<Option<f64>> = values.as_array().into_iter().flatten().map(Value::as_f64).collect();
        chart(to, name, &values);
    }
}

/// A line from left to right; a gap in the values is a gap in the line.
fn chart(to: &mut String, name: &str, values: &[Option<f64>]) {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let (Some(last), Some(most)) = (known.last(), known.iter().copied().reduce(f64::max)) else {
        let _ = write!(to, "<figure><figcaption><b>{}</b>: nothing is known</figcaption></figure>", words(name));
        return;
    };
    let least = known.iter().copied().fold(0.0, f64::min);
    let height = if most > least { most - least } else { 1.0 };
    let width = values.len().saturating_sub(1).max(1) as f64;
    let (mut line, mut is_drawing) = (String::new(), false);
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let (x, y) = (place as f64 * 1_000.0 / width, 98.0 - (value - least) / height * 96.0);
        // One value between two gaps is a dot.
        let step = if is_drawing { "L" } else { "M" };
        let _ = write!(line, "{step}{x:.0} {y:.1}{}", if is_drawing { "" } else { "h2" });
        is_drawing = true;
    }
    let said = format!("{}: now {}, at most {}", words(name), figure(*last), figure(most));
    let _ = write!(
        to,
        "<figure><figcaption>{said}</figcaption><svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{said}\"><path d=\"{line}\"/></svg></figure>"
    );
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn part(to: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) if depth == DEEP => put(to, &safe(&value.to_string())),
        Value::Object(parts) if parts.is_empty() => put(to, "–"),
        Value::Object(parts) => {
            put(to, "<table>");
            for (name, value) in parts {
                let _ = write!(to, "<tr><th scope=\"row\">{}</th><td>", words(name));
                part(to, value, depth + 1);
                put(to, "</td></tr>");
            }
            put(to, "</table>");
        }
        Value::Array(rows) if rows.is_empty() => put(to, "none"),
        Value::Array(rows) if rows.iter().all(Value::is_object) => table(to, rows, depth),
        Value::Array(rows) => {
            for (place, row) in rows.iter().take(ROWS).enumerate() {
                put(to, if place > 0 { ", " } else { "" });
                part(to, row, depth + 1);
            }
        }
        Value::String(text) => put(to, &safe(text)),
        Value::Null => put(to, "–"),
        value => put(to, &value.to_string()),
    }
}

fn table(to: &mut String, rows: &[Value], depth: usize) {
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    put(to, "<table><thead><tr>");
    for name in &columns {
        let _ = write!(to, "<th scope=\"col\">{}</th>", words(name));
    }
    put(to, "</tr></thead><tbody>");
    for row in rows.iter().take(ROWS) {
        put(to, "<tr>");
        for name in &columns {
            put(to, "<td>");
            part(to, &row[name], depth + 1);
            put(to, "</td>");
        }
        put(to, "</tr>");
    }
    put(to, "</tbody></table>");
    if rows.len() > ROWS {
        let _ = write!(to, "<p>and {} more</p>", rows.len() - ROWS);
    }
}

fn words(name: &str) -> String {
    safe(name).replace('_', " ")
}

/// A text in which nothing is taken for more than a text.
fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            char => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::Format;

    #[test]
    fn a_page_has_charts_and_tables_and_nothing_in_it_is_run_or_fetched() {
        let page = super::super::tests::report().render(Format::Html).unwrap();
        assert!(page.contains("<title>a &amp; b, 2023-11-14T22:13:20Z</title>"), "{page}");
        assert!(page.contains("&lt;b&gt;&quot;x&quot;") && !page.contains("<b>\"x\""));
        assert!(
            page.contains("aria-label=\"cpu: now 200, at most 300\"") && page.contains("p50</b>: nothing is known")
        );
        // Two strokes: there is a gap after the first value.
        let line = page.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.matches('M').count(), 2);
        assert!(page.contains("<th scope=\"col\">state</th>") && page.contains("<td>open</td>"));
        for alien in ["<script", "http://", "https://", "src=", "href="] {
            assert!(!page.contains(alien), "{alien}");
        }
    }

    #[test]
    fn what_is_long_or_deep_is_cut_and_says_so() {
        let rows: Vec<Value> = (0..ROWS + 7).map(|n| serde_json::json!({ "n": n })).collect();
        let mut to = String::new();
        part(&mut to, &Value::Array(rows), 0);
        assert_eq!((to.matches("<tr>").count(), to.contains("and 7 more")), (ROWS + 1, true));
        let deep = (0..100).fold(Value::Null, |inner, _| serde_json::json!({ "a": inner }));
        let mut to = String::new();
        part(&mut to, &deep, 0);
        assert_eq!(to.matches("<table>").count(), DEEP);
    }

    #[test]
    fn a_line_that_never_rises_is_drawn_all_the_same() {
        for values in [vec![Some(5.0)], vec![Some(0.0); 3], vec![None, Some(-1.0), None]] {
            let mut to = String::new();
            chart(&mut to, "x", &values);
            assert!(to.contains("<path d=\"M") && !to.contains("NaN"), "{to}");
        }
    }
}
