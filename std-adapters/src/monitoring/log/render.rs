//! Lines as text.

use std::fmt::Write;
use std::io::IsTerminal;

use daur_core::monitoring::log::Level;

use super::line::{Line, Value};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// For people: `2026-11-28T05:41:11.123456Z  WARN request{id=7}: app::db: no answer attempt=2`.
    #[default]
    Human,
    /// The same in colours.
    Coloured,
    /// A JSON object: `time`, `seq`, `level`, `target`, `message`, `fields`, `spans`.
    Json,
}

/// Whether lines on a console have colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Colour {
    /// On a terminal, unless the environment says `NO_COLOR` or `TERM=dumb`.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

impl Colour {
    pub(super) fn is_wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let says = |name: &str| std::env::var_os(name).unwrap_or_default();
                says("NO_COLOR").is_empty() && says("TERM") != "dumb" && std::io::stderr().is_terminal()
            }
        }
    }
}

/// Appends the line and its break.
pub(super) fn render(line: &Line, format: Format, to: &mut String) {
    match format {
        Format::Human => human(line, false, to),
        Format::Coloured => human(line, true, to),
        Format::Json => json(line, to),
    }
    to.push('\n');
}

fn human(line: &Line, coloured: bool, to: &mut String) {
    let colour = |code: &'static str| if coloured { code } else { "" };
    let (dim, plain) = (colour("\u{1b}[2m"), colour("\u{1b}[0m"));
    to.push_str(dim);
    time(line.micros, to);
    let (name, code) = match line.level {
        Level::Error => ("ERROR", "\u{1b}[31m"),
        Level::Warn => (" WARN", "\u{1b}[33m"),
        Level::Info => (" INFO", "\u{1b}[32m"),
        Level::Debug => ("DEBUG", "\u{1b}[34m"),
        _ => ("TRACE", "\u{1b}[35m"),
    };
    let _ = write!(to, "{plain} {}{name}{plain} ", colour(code));
    for (place, span) in line.spans.iter().enumerate() {
        if place > 0 {
            to.push(':');
        }
        escaped(&span.name, to);
        if !span.fields.is_empty() {
            to.push('{');
            fields(&span.fields, to);
            to.push('}');
        }
    }
    if !line.spans.is_empty() {
        to.push_str(": ");
    }
    to.push_str(dim);
    escaped(&line.target, to);
    let _ = write!(to, ":{plain} ");
    escaped(&line.message, to);
    if !line.fields.is_empty() {
        if !line.message.is_empty() {
            to.push(' ');
        }
        fields(&line.fields, to);
    }
    if line.cut {
        to.push_str(" [cut]");
    }
    if line.repeated > 0 {
        let _ = write!(to, " [and {} times more]", line.repeated);
    }
}

fn fields(fields: &[(String, Value)], to: &mut String) {
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            to.push(' ');
        }
        escaped(name, to);
        to.push('=');
        match value {
            // Quoted where it could be taken for more than one field.
            Value::Text(text) if text.is_empty() || text.contains([' ', '=', '"']) => {
                to.push('"');
                for part in text.split_inclusive('"') {
                    let bare = part.strip_suffix('"');
                    escaped(bare.unwrap_or(part), to);
                    if bare.is_some() {
                        to.push_str("\\\"");
                    }
                }
                to.push('"');
            }
            Value::Text(text) => escaped(text, to),
            value => {
                let _ = write!(to, "{value}");
            }
        }
    }
}

/// What would end a line, move the cursor, or turn the direction of writing is shown, not done.
fn escaped(text: &str, to: &mut String) {
    if text.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
        return to.push_str(text);
    }
    for char in text.chars() {
        match char {
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            char if char.is_control() || is_layout(char) => {
                let _ = write!(to, "\\u{{{:x}}}", u32::from(char));
            }
            char => to.push(char),
        }
    }
}

/// Breaks of lines and paragraphs, and marks of direction.
fn is_layout(char: char) -> bool {
    matches!(char, '\u{061C}' | '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn json(line: &Line, to: &mut String) {
    to.push_str("{\"time\":\"");
    time(line.micros, to);
    let _ = write!(to, "\",\"seq\":{},\"level\":\"{}\",\"target\":", line.seq, line.level);
    quoted(&line.target, to);
    to.push_str(",\"message\":");
    quoted(&line.message, to);
    if !line.fields.is_empty() {
        to.push_str(",\"fields\":");
        object(&line.fields, to);
    }
    if !line.spans.is_empty() {
        to.push_str(",\"spans\":[");
        for (place, span) in line.spans.iter().enumerate() {
            if place > 0 {
                to.push(',');
            }
            to.push_str("{\"name\":");
            quoted(&span.name, to);
            if !span.fields.is_empty() {
                to.push_str(",\"fields\":");
                object(&span.fields, to);
            }
            to.push('}');
        }
        to.push(']');
    }
    if line.cut {
        to.push_str(",\"cut\":true");
    }
    if line.repeated > 0 {
        let _ = write!(to, ",\"repeated\":{}", line.repeated);
    }
    to.push('}');
}

fn object(fields: &[(String, Value)], to: &mut String) {
    to.push('{');
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            to.push(',');
        }
        quoted(name, to);
        to.push(':');
        match value {
            Value::Text(text) => quoted(text, to),
            // JSON has no other numbers.
            Value::Float(value) if !value.is_finite() => quoted(&value.to_string(), to),
            value => {
                let _ = write!(to, "{value}");
            }
        }
    }
    to.push('}');
}

/// A string of JSON, with what a terminal would obey escaped too.
fn quoted(text: &str, to: &mut String) {
    to.push('"');
    for char in text.chars() {
        match char {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            char if char.is_control() || is_layout(char) => {
                let _ = write!(to, "\\u{:04x}", u32::from(char));
            }
            char => to.push(char),
        }
    }
    to.push('"');
}

/// `2026-11-28T05:41:11.123456Z`.
fn time(micros: u64, to: &mut String) {
    let secs = micros / 1_000_000;
    let (year, month, day) = date(secs / 86_400);
    let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    let micros = micros % 1_000_000;
    let _ = write!(to, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

/// Year, month and day of the `days`-th day after 1970, in the Gregorian calendar: by years that begin in March, whose last
/// day is the one that leaps.
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    // Days since the first of March of year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (20_785, (2026, 11, 28)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected);
        }
        let mut text = String::new();
        time(1_795_844_471_000_042, &mut text);
        assert_eq!(text, "2026-11-28T05:41:11.000042Z");
    }
}
