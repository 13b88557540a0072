//! A page that needs nothing else: no script, no font, no request.

use std::fmt::Write as _;

use daur_core::monitoring::report::Verdict;
use serde_json::Value;

use super::text::leaves;
use super::{Chart, FullStatus};

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1a1d21; --dim: #5b6470; --back: #fbfbfa; --card: #fff; --line: #d9dde2;
  --green: #17663a; --amber: #8a5300; --red: #b3261e; --ink: #1f5fae; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8ea; --dim: #a3abb5; --back: #14171a; --card: #1c2024; --line: #343a41;
    --green: #6fd19a; --amber: #f0b35a; --red: #ff8a80; --ink: #7fb2f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; } .dim { color: var(--dim); }
.verdict { border-left: .4rem solid; padding: .5rem 1rem; background: var(--card); margin: 1rem 0; }
.green { color: var(--green); border-color: var(--green); } .amber { color: var(--amber); border-color: var(--amber); }
.red { color: var(--red); border-color: var(--red); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.chart, .machine { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem 1rem; }
.machine { margin: .75rem 0; overflow-x: auto; }
svg { width: 100%; height: auto; display: block; } svg polyline { fill: none; stroke: var(--ink); stroke-width: 1.5; }
svg circle { fill: var(--ink); } svg line { stroke: var(--line); } svg text { fill: var(--dim); font: 11px system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } caption { text-align: left; color: var(--dim); }
th, td { text-align: left; padding: .2rem .75rem .2rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.figure { font-variant-numeric: tabular-nums; } .scroll { max-height: 16rem; overflow: auto; }
summary { cursor: pointer; color: var(--ink); }
";

pub(super) fn render(status: &FullStatus, charts: &[Chart]) -> String {
    let mut page = String::new();
    let title = escaped(&status.title);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}: status</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n\
         <p class=\"dim\">Version {}, up for {}. As of <time datetime=\"{at}\">{at}</time>.</p>\n</header>\n<main>\n",
        escaped(&status.version),
        lasting(status.uptime_ms),
        at = moment(status.at_ms),
    );
    verdict(&mut page, status);
    if !charts.is_empty() {
        page.push_str("<section>\n<h2>Charts</h2>\n<div class=\"charts\">\n");
        for one in charts {
            chart(&mut page, one);
        }
        page.push_str("</div>\n</section>\n");
    }
    for (section, machines) in &status.sections {
        let _ = write!(page, "<section>\n<h2>{}</h2>\n", escaped(section));
        for (name, snapshot) in machines {
            let _ = write!(
                page,
                "<div class=\"machine\" role=\"group\" aria-label=\"{name}\" tabindex=\"0\">\n<h3>{name}</h3>\n<table>\n\
                 <thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Value</th></tr></thead>\n<tbody>\n",
                name = escaped(name)
            );
            leaves(snapshot, &mut String::new(), &mut |field, value| {
                let shown = match value {
                    Value::Null => "–".to_owned(),
                    Value::String(text) => escaped(text),
                    figure => escaped(&figure.to_string()),
                };
                let class = if value.is_number() { " class=\"figure\"" } else { "" };
                let _ = writeln!(page, "<tr><th scope=\"row\">{}</th><td{class}>{shown}</td></tr>", escaped(field));
            });
            page.push_str("</tbody>\n</table>\n</div>\n");
        }
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The verdict in words and a sign, never by colour alone, and what is wrong first.
fn verdict(page: &mut String, status: &FullStatus) {
    let (class, words) = match status.verdict {
        Verdict::Green => ("green", "✓ All is well"),
        Verdict::Amber => ("amber", "⚠ Somebody should look"),
        Verdict::Red => ("red", "✗ Somebody must look"),
    };
    let _ =
        write!(page, "<section class=\"verdict {class}\" aria-label=\"Verdict\">\n<p><strong>{words}</strong></p>\n");
    if !status.concerns.is_empty() {
        page.push_str("<ul>\n");
        for concern in &status.concerns {
            let class = concern.verdict.as_str();
            let (section, name, what) = (escaped(&concern.section), escaped(&concern.name), escaped(&concern.what));
            let _ = writeln!(page, "<li class=\"{class}\">{section} / {name}: {what} ({class})</li>");
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 20.0;

/// A line for each stretch without a gap, and the same as a table.
fn chart(page: &mut String, chart: &Chart) {
    let name = escaped(&chart.name);
    let there: Vec<f64> = chart.values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    let _ = write!(page, "<figure class=\"chart\" style=\"margin:0\">\n<h3>{name}</h3>\n");
    let (Some(&from), Some(&to), false) = (chart.t.first(), chart.t.last(), there.is_empty()) else {
        page.push_str("<p class=\"dim\">No values yet.</p>\n</figure>\n");
        return;
    };
    let low = there.iter().copied().fold(f64::INFINITY, f64::min);
    let high = there.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let last = there.last().copied().unwrap_or_default();
    let _ = write!(
        page,
        "<p>{} now, from {} to {}</p>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{name}: from {} to {}, {} at the end\">\n",
        figure(last),
        figure(low),
        figure(high),
        figure(low),
        figure(high),
        figure(last)
    );
    // Halves, so that no difference is more than a float holds; a flat line is in the middle.
    let span = (high / 2.0 - low / 2.0) * 2.0;
    let y = |value: f64| {
        let share = if span > 0.0 { (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.5 };
        8.0 + (1.0 - share) * (HEIGHT - BOTTOM - 16.0)
    };
    let long = to.saturating_sub(from).max(1) as f64;
    let x = |t: u64| LEFT + (t.saturating_sub(from) as f64 / long) * (WIDTH - LEFT - 8.0);
    for value in [low, high] {
        let at = y(value);
        let _ = writeln!(page, "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>", WIDTH - 8.0);
        let _ = writeln!(
            page,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            figure(value)
        );
    }
    let _ = writeln!(page, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", HEIGHT - 4.0, clock(from));
    let _ =
        writeln!(page, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", WIDTH - 8.0, HEIGHT - 4.0, clock(to));
    let points: Vec<(u64, Option<f64>)> = chart.t.iter().copied().zip(chart.values.iter().copied()).collect();
    for run in points.split(|(_, value)| !value.is_some_and(f64::is_finite)) {
        let place = |(t, value): &(u64, Option<f64>)| (x(*t), y(value.unwrap_or_default()));
        match run {
            [] => {}
            [one] => {
                let (x, y) = place(one);
                let _ = writeln!(page, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>");
            }
            run => {
                let line: Vec<String> = run.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                let _ = writeln!(page, "<polyline points=\"{}\"/>", line.join(" "));
            }
        }
    }
    let _ = write!(
        page,
        "</svg>\n<details>\n<summary>Table of {name}</summary>\n\
         <div class=\"scroll\" role=\"group\" aria-label=\"Table of {name}\" tabindex=\"0\">\n<table>\n\
         <thead><tr><th scope=\"col\">Time</th><th scope=\"col\">Value</th></tr></thead>\n<tbody>\n"
    );
    for (t, value) in points {
        let value = value.map_or_else(|| "–".to_owned(), figure);
        let _ = writeln!(page, "<tr><th scope=\"row\">{}</th><td class=\"figure\">{value}</td></tr>", moment(t));
    }
    page.push_str("</tbody>\n</table>\n</div>\n</details>\n</figure>\n");
}

/// A text as HTML shows it, in an attribute too. What may not stand in HTML at all is shown as a question.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            // Turns the writing of what follows around, or is not seen.
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => out.push('\u{FFFD}'),
            control if control.is_control() => out.push('\u{FFFD}'),
            character => out.push(character),
        }
    }
    out
}

fn figure(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e12).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `2027-01-15T08:00:00Z`.
fn moment(ms: u64) -> String {
    let (year, month, day) = date(ms / 86_400_000);
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock(ms))
}

fn clock(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The day so many days after 1970-01-01, in the Gregorian calendar.
const fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01, so that the leap day is a year's last, in spans of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

fn lasting(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_800_000_000_999, "2027-01-15T08:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(ms), text);
        }
        assert!(moment(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [(0.0, "0"), (-3.5, "-3.5"), (1.0 / 3.0, "0.333"), (1e300, "1.000e300"), (100.0, "100")] {
            assert_eq!(figure(value), text);
        }
    }
}
