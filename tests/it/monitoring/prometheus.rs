use daur_core::monitoring::histogram::{Full, Snapshot};
use daur_std::monitoring::prometheus::{Format, Page, Unit};
use proptest::prelude::*;

/// Name, labels unescaped, value.
type Line = (String, Vec<(String, String)>, String);

/// Reads one sample line as the format's grammar says.
fn parse(line: &str) -> Option<Line> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let name_start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    if !name.starts_with(name_start) || !name.chars().all(|c| name_start(c) || c.is_ascii_digit()) {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            if label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return None;
            }
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        _ => return None,
                    }),
                    (_, '\n') => return None,
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break rest = rest.strip_prefix('}')?,
            }
        }
    }
    let value = rest.strip_prefix(' ')?;
    (value.parse::<f64>().is_ok() && !value.contains(' ')).then(|| (name.to_owned(), labels, value.to_owned()))
}

#[test]
fn hostile_label_values_come_back_as_they_were() {
    let hostile =
        ["", "\"", "\\", "\n", "a\"} 1\nfake_metric 9", "\\n", "\u{0}\r\t", "größe 😀", "}{=,\"\\\"", "le=\"1\""];
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let mut page = Page::new(format);
        for value in hostile {
            page.gauge("g", "A gauge.").sample(&[("v", value)], 1_u64);
        }
        assert_eq!(page.dropped(), 0);
        let text = page.finish();
        let values: Vec<String> = text
            .split('\n')
            .filter(|line| line.starts_with("g{"))
            .map(|line| parse(line).unwrap().1[0].1.clone())
            .collect();
        assert_eq!(values, hostile);
        assert!(!text.lines().any(|line| line.starts_with("fake")));
    }
}

proptest! {
    #[test]
    fn whatever_goes_in_every_line_can_be_read(
        name in any::<String>(), help in any::<String>(), label in any::<String>(), value in any::<String>(), number in any::<f64>(),
    ) {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let mut page = Page::new(format);
            page.counter(&name, &help).sample(&[(&label, &value)], 3_u64);
            page.gauge("daur_plain", &help).sample(&[], number);
            let text = page.finish();
            for line in text.strip_suffix('\n').unwrap().split('\n') {
                if let Some(comment) = line.strip_prefix("# ") {
                    prop_assert!(["HELP ", "TYPE ", "EOF"].iter().any(|start| comment.starts_with(start)), "{}", line);
                } else {
                    prop_assert!(parse(line).is_some(), "{:?}", line);
                }
            }
        }
    }
}

#[test]
fn openmetrics_names_the_family_and_ends_the_page() {
    let mut page = Page::new(Format::OpenMetrics);
    page.counter("jobs_total", "Jobs \"done\".").sample(&[], 1_u64);
    assert_eq!(page.finish(), "# HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\njobs_total 1\n# EOF\n");
    assert_eq!(Format::accepted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), Format::OpenMetrics);
    assert_eq!(Format::accepted("text/plain, */*"), Format::Prometheus);
}

#[test]
fn a_family_is_one_piece_whatever_the_order_of_the_calls() {
    let mut page = Page::new(Format::Prometheus);
    page.gauge("a", "First.").sample(&[("x", "1")], 1_u64);
    page.gauge("b", "B.").sample(&[], -1_i64);
    page.gauge("a", "Second.").sample(&[("x", "2")], 0.5_f64);
    page.gauge("never_filled", "Nothing.");
    assert_eq!(
        page.finish(),
        "# HELP a First.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 0.5\n# HELP b B.\n# TYPE b gauge\nb -1\n"
    );
}

#[test]
fn what_would_spoil_the_page_is_left_out_and_counted() {
    let mut page = Page::new(Format::Prometheus);
    page.gauge("a", "").sample(&[("x", "1"), ("y", "2")], 1_u64);
    page.gauge("a", "").sample(&[("y", "2"), ("x", "1")], 2_u64); // there already
    page.counter("a", "").sample(&[], 3_u64); // a gauge
    page.gauge("b", "").sample(&[("le", "1")], 4_u64).sample(&[("__name__", "c")], 5_u64); // reserved
    page.gauge("b", "").sample(&[("k", "1"), ("k", "2")], 6_u64); // a label twice
    page.counter("c", "").sample(&[], -1_i64).sample(&[], f64::NAN); // no counter
    page.summary("s", "").sample(&[], 1_u64); // not a summary's figures
    page.gauge("s_sum", "").sample(&[], 1_u64); // a sample of the summary
    page.gauge("c_total", "").sample(&[], 1_u64); // a sample of the counter
    page.counter("s_count", "").sample(&[], 1_u64); // likewise
    assert_eq!(page.dropped(), 11);
    let text = page.finish();
    assert!(text.ends_with("daur_exposition_dropped_total 11\n"), "{text}");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2);
}

#[test]
fn a_summary_tells_seconds_of_what_was_recorded_in_nanoseconds() {
    let snapshot = Snapshot {
        count: 3,
        sum: 1_500_000_001,
        p50: Some(1_000_000),
        p95: Some(2_000_000_000),
        p99: Some(1),
        ..Snapshot::EMPTY
    };
    let mut page = Page::new(Format::Prometheus);
    page.summary("op_seconds", "Time.").snapshot(&[("op", "read")], &snapshot, Unit::Nanos).snapshot(
        &[],
        &Snapshot::EMPTY,
        Unit::One,
    );
    assert_eq!(
        page.finish(),
        "# HELP op_seconds Time.\n# TYPE op_seconds summary\n\
         op_seconds{op=\"read\",quantile=\"0.5\"} 0.001\n\
         op_seconds{op=\"read\",quantile=\"0.95\"} 2\n\
         op_seconds{op=\"read\",quantile=\"0.99\"} 0.000000001\n\
         op_seconds_sum{op=\"read\"} 1.500000001\n\
         op_seconds_count{op=\"read\"} 3\n\
         op_seconds{quantile=\"0.5\"} NaN\n\
         op_seconds{quantile=\"0.95\"} NaN\n\
         op_seconds{quantile=\"0.99\"} NaN\n\
         op_seconds_sum 0\n\
         op_seconds_count 0\n"
    );
}

#[test]
fn a_histogram_has_exact_counts_at_powers_of_two() {
    let mut histogram = Full::new();
    for value in [0, 1, 3, 4, 5, 1_000, 1_024, 1_025, u64::MAX] {
        histogram.record(value);
    }
    let mut page = Page::new(Format::Prometheus);
    page.histogram("size_bytes", "Sizes.").distribution(&[], &histogram, Unit::One);
    assert_eq!(
        page.finish(),
        "# HELP size_bytes Sizes.\n# TYPE size_bytes histogram\n\
         size_bytes_bucket{le=\"1.0\"} 2\n\
         size_bytes_bucket{le=\"4.0\"} 4\n\
         size_bytes_bucket{le=\"8.0\"} 5\n\
         size_bytes_bucket{le=\"1024.0\"} 7\n\
         size_bytes_bucket{le=\"2048.0\"} 8\n\
         size_bytes_bucket{le=\"+Inf\"} 9\n\
         size_bytes_sum 18446744073709551615\n\
         size_bytes_count 9\n"
    );
}
