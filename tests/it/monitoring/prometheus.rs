use daur_core::monitoring::histogram::{Auto, Cells, Dense, Full, Histogram, Quantile, Snapshot};
use daur_core::rng::Rng;
use daur_core::time::{Duration, UnixTime};
use daur_std::monitoring::metrics::Registry;
use daur_std::monitoring::prometheus::{Exposition, Format, Native, Page, Unit};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prometheus_client::registry::Registry as Theirs;
use proptest::prelude::*;
use prost::Message;

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
fn rule_1_hostile_label_values_come_back_as_they_were() {
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
    fn rule_1_whatever_goes_in_every_line_can_be_read(
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
fn rule_3_a_counter_ends_in_total_and_openmetrics_names_its_family_without() {
    let mut page = Page::new(Format::OpenMetrics);
    page.counter("jobs_total", "Jobs \"done\".").sample(&[], 1_u64);
    assert_eq!(page.finish(), "# HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\njobs_total 1\n# EOF\n");
    let mut page = Page::new(Format::Prometheus);
    page.counter("jobs", "Jobs.").sample(&[("a", "1")], 1_u64);
    page.counter("jobs_total", "").sample(&[("a", "2")], 2_u64);
    assert_eq!(
        page.finish(),
        "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{a=\"1\"} 1\njobs_total{a=\"2\"} 2\n"
    );
}

#[test]
fn the_header_s_weights_decide_on_the_format() {
    assert_eq!(Format::accepted("application/openmetrics-text; ; version=1.0.0;"), Format::OpenMetrics);
    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let (text, open) = (Exposition::Text(Format::Prometheus), Exposition::Text(Format::OpenMetrics));
    let cases = [
        ("", text),
        ("*/*", text),
        ("text/*", text),
        ("application/*", open), // the plainer of the two
        ("application/json", text),
        ("text/html, application/xhtml+xml, */*;q=0.8", text),
        ("text/plain, */*", text),
        // What Prometheus has sent since 2.5, since 2.40 with native histograms, and sends since 3.0.
        ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", text),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            open,
        ),
        (
            &format!(
                "{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            Exposition::Protobuf,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            open,
        ),
        // Weights against the order, and against what is richer.
        (&format!("text/plain;q=0.9,{PROTOBUF};q=0.8"), text),
        (&format!("text/plain;q=0.7,{PROTOBUF};q=0.8,application/openmetrics-text;q=0.9"), open),
        ("text/plain, application/openmetrics-text", open),
        ("application/openmetrics-text;q=0, */*", text),
        ("text/plain;q=0, */*", open),
        ("text/plain;q=0, application/openmetrics-text;q=0, */*;q=0.001", Exposition::Protobuf),
        ("text/plain;q=0", text), // nothing fits
        // The most specific range counts, whatever the others say.
        ("application/openmetrics-text;q=0.2, */*;q=1, text/plain;q=0.1, application/*;q=0.1", open),
        ("text/plain;q=0.9, text/plain;version=0.0.4;q=0.1, application/openmetrics-text;q=0.5", open),
        // Other messages, other encodings, other versions.
        ("application/vnd.google.protobuf;proto=other.Message;encoding=delimited, text/plain;q=0.1", text),
        ("application/vnd.google.protobuf;encoding=text, text/plain;q=0.1", text),
        ("application/vnd.google.protobuf", Exposition::Protobuf),
        ("application/openmetrics-text;version=2.0.0, text/plain;q=0.1", text),
        // Case, spaces, quotes, and what makes no sense.
        ("Application/OpenMetrics-Text ; VERSION=\"1.0.0\" ; Q=0.8 , text/plain ; q=0.5", open),
        ("application/openmetrics-text;x=\"a,b;q=0\";q=1, text/plain;q=0.5", open),
        ("application/openmetrics-text;q=2, text/plain;q=0.5", text),
        ("application/openmetrics-text;q=0.1234, text/plain;q=0.5", text),
        ("application/openmetrics-text;q=-1, ;;;, /, q=1, text/plain;q=0.001", text),
        ("*/plain, application/openmetrics-text;q=0.5", open),
    ];
    for (accept, expected) in cases {
        assert_eq!(Exposition::accepted(accept), expected, "{accept}");
        let best = Format::accepted(accept);
        if let Exposition::Text(format) = expected {
            assert_eq!(best, format, "{accept}");
        }
    }
    assert_eq!(open.content_type(), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(text.content_type(), "text/plain; version=0.0.4; charset=utf-8");
    assert!(Exposition::Protobuf.content_type().starts_with("application/vnd.google.protobuf; "));
}

#[test]
fn rule_2_a_family_is_one_piece_whatever_the_order_of_the_calls() {
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
fn rule_4_what_would_spoil_the_page_is_left_out_and_counted() {
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
    page.histogram("h", "").snapshot(&[], &Snapshot::EMPTY, Unit::One); // not a histogram's
    assert_eq!(page.dropped(), 12);
    let text = page.finish();
    assert!(text.ends_with("daur_exposition_dropped_total 12\n"), "{text}");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2);
}

#[test]
fn rule_4_the_time_of_creation_is_taken_too() {
    let mut page = Page::new(Format::OpenMetrics);
    page.counter("a", "").sample(&[], 1_u64);
    page.gauge("a_created", "").sample(&[], 1_u64);
    page.summary("s", "").snapshot(&[], &Snapshot::EMPTY, Unit::One);
    page.gauge("s_created", "").sample(&[], 1_u64);
    page.gauge("g_created", "").sample(&[], 1_u64);
    page.counter("g", "").sample(&[], 1_u64);
    assert_eq!(page.dropped(), 3);
}

#[test]
fn rule_4_a_label_without_a_value_makes_no_other_series() {
    let mut page = Page::new(Format::Prometheus);
    page.gauge("a", "A.").sample(&[("x", "")], 1_u64).sample(&[], 2_u64).sample(&[("x", ""), ("y", "1")], 3_u64);
    page.gauge("a", "A.").sample(&[("y", "1")], 4_u64);
    assert_eq!(page.dropped(), 2);
    let text = page.finish();
    assert!(text.starts_with("# HELP a A.\n# TYPE a gauge\na{x=\"\"} 1\na{x=\"\",y=\"1\"} 3\n# HELP daur"), "{text}");
}

#[test]
fn what_all_registries_of_a_page_have_lost_is_told() {
    let (one, other) = (Registry::new(), Registry::new());
    one.counter("no good").increment();
    for _ in 0..3 {
        other.gauge("no good").set(1.0);
        other.histogram("h").record(-1.0);
    }
    let mut page = Page::new(Format::Prometheus);
    page.registry(&one);
    page.registry(&other);
    let text = page.finish();
    for line in ["daur_metrics_refused_total 4\n", "daur_metrics_lost_total 4\n", "daur_metrics_rejected_total 3\n"] {
        assert!(text.contains(line), "{line}\nin\n{text}");
    }
}

#[test]
fn a_coarse_histogram_tells_only_the_bounds_that_it_has() {
    let mut coarse = Auto::<4>::new();
    for value in [1, 20, 200, 250, 70_000] {
        coarse.record(value);
    }
    let apart = 1_u32 << coarse.scale().unsigned_abs();
    assert!(coarse.scale() < 0, "{}", coarse.scale());
    let mut page = Page::new(Format::Prometheus);
    page.histogram("h", "").distribution(&[], &coarse, Unit::One);
    let text = page.finish();
    let mut bounds = 0;
    for (_, labels, count) in text.lines().filter(|line| line.starts_with("h_bucket")).filter_map(parse) {
        let Ok(bound) = labels[0].1.parse::<f64>() else { continue };
        if bound.is_finite() {
            assert_eq!(bound.log2() as u32 % apart, 0, "{text}");
        }
        let exact = [1.0, 20.0, 200.0, 250.0, 70_000.0].iter().filter(|value| **value <= bound).count();
        assert_eq!(count, exact.to_string(), "{text}");
        bounds += 1;
    }
    assert!(bounds >= 3, "{text}");
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
    for value in [0, 1, 3, 4, 5, 60, 64, 65, u64::MAX] {
        histogram.record(value);
    }
    let mut page = Page::new(Format::Prometheus);
    page.histogram("size_bytes", "Sizes.").distribution(&[], &histogram, Unit::One);
    assert_eq!(
        page.finish(),
        "# HELP size_bytes Sizes.\n# TYPE size_bytes histogram\n\
         size_bytes_bucket{le=\"1.0\"} 2\n\
         size_bytes_bucket{le=\"2.0\"} 2\n\
         size_bytes_bucket{le=\"4.0\"} 4\n\
         size_bytes_bucket{le=\"8.0\"} 5\n\
         size_bytes_bucket{le=\"16.0\"} 5\n\
         size_bytes_bucket{le=\"32.0\"} 5\n\
         size_bytes_bucket{le=\"64.0\"} 7\n\
         size_bytes_bucket{le=\"128.0\"} 8\n\
         size_bytes_bucket{le=\"+Inf\"} 9\n\
         size_bytes_sum 18446744073709551615\n\
         size_bytes_count 9\n"
    );
}

#[test]
fn rule_2_openmetrics_names_the_unit_and_since_when_was_counted() {
    let mut histogram = Full::new();
    histogram.record(Unit::FINE.of(Duration::from_millis(250)));
    let fill = |format| {
        let mut page = Page::new(format);
        page.started(UnixTime::from_millis(1_700_000_000_250));
        page.histogram("op_seconds", "Time.").distribution(&[], &histogram, Unit::FINE);
        page.gauge("seconds", "No unit, but a name.").sample(&[], 1_u64);
        page.finish()
    };
    assert_eq!(
        fill(Format::OpenMetrics),
        "# HELP op_seconds Time.\n# TYPE op_seconds histogram\n# UNIT op_seconds seconds\n\
         op_seconds_bucket{le=\"0.25\"} 1\n\
         op_seconds_bucket{le=\"+Inf\"} 1\n\
         op_seconds_sum 0.25\n\
         op_seconds_count 1\n\
         op_seconds_created 1700000000.25\n\
         # HELP seconds No unit, but a name.\n# TYPE seconds gauge\nseconds 1\n# EOF\n"
    );
    assert!(!fill(Format::Prometheus).contains("UNIT") && !fill(Format::Prometheus).contains("created"));
}

fn families(mut bytes: &[u8]) -> Vec<model::MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(model::MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

#[test]
fn rule_5_protobuf_tells_the_same_as_text() {
    let hostile = ["", "\"", "\\", "\n\r\t", "\u{0}\u{7f}", "größe 😀", &"x".repeat(100_000)];
    let mut histogram = Full::new();
    [3, 1_000, 1_000_000].into_iter().for_each(|value| histogram.record(value));
    let fill = || {
        let mut page = Page::new(Format::Prometheus);
        page.started(UnixTime::from_secs(1_700_000_000));
        for value in hostile {
            page.counter("c", "A \"counter\"\nof \\ two lines").sample(&[("b", "1"), ("a", value)], 7_u64);
        }
        page.counter("f", "").sample(&[], 0.5).sample(&[("x", "1")], 3_i8);
        for (n, value) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE].into_iter().enumerate()
        {
            page.gauge("g_bytes", "").sample(&[("n", &n.to_string())], value);
        }
        page.gauge("g_bytes", "").sample(&[], i64::MIN).sample(&[("u", "1")], u64::MAX);
        page.summary("s_seconds", "").snapshot(&[("op", "x")], &histogram.snapshot(), Unit::Micros);
        page.summary("s_seconds", "").snapshot(&[], &Snapshot::EMPTY, Unit::Micros);
        page.histogram("h_seconds", "").distribution(&[("op", "x")], &histogram, Unit::FINE);
        page.gauge("c_total", "").sample(&[], 1_u64); // taken
        page
    };
    let families = families(&fill().protobuf());
    let family = |name: &str| families.iter().find(|family| family.name == name).unwrap();
    assert_eq!(families.len(), 6);

    let counter = family("c_total");
    assert_eq!(
        (counter.help.as_str(), counter.r#type()),
        ("A \"counter\" of \\ two lines", model::MetricType::Counter)
    );
    let told: Vec<(&str, f64)> =
        counter.metric.iter().map(|m| (m.label[0].value.as_str(), m.counter.as_ref().unwrap().value)).collect();
    assert_eq!(told, hostile.map(|value| (value, 7.0)));
    assert!(counter.metric.iter().all(|m| (m.label[0].name.as_str(), m.label[1].name.as_str()) == ("a", "b")));
    let floats = |name: &str| -> Vec<f64> {
        let value = |m: &model::Metric| m.gauge.as_ref().map_or_else(|| m.counter.as_ref().unwrap().value, |g| g.value);
        family(name).metric.iter().map(value).collect()
    };
    assert_eq!(floats("f_total"), [0.5, 3.0]);
    assert_eq!(floats("daur_exposition_dropped_total"), [1.0]);
    let gauges = floats("g_bytes");
    assert!(gauges[0].is_nan());
    assert_eq!(
        gauges[1..],
        [f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, i64::MIN as f64, u64::MAX as f64]
    );
    assert_eq!(family("g_bytes").unit, "bytes");

    let summary = family("s_seconds").metric[0].summary.as_ref().unwrap();
    assert_eq!((summary.sample_count, summary.sample_sum), (3, 1.001_003));
    assert_eq!((summary.quantile[0].quantile, summary.quantile[2].value), (0.5, 1.0));
    assert!(family("s_seconds").metric[1].summary.as_ref().unwrap().quantile[0].value.is_nan());

    let metric = family("h_seconds").metric[0].histogram.as_ref().unwrap();
    assert_eq!((metric.sample_count, metric.schema), (3, 5));
    assert_eq!(metric.start_timestamp.as_ref().unwrap().seconds, 1_700_000_000);
    let native = Native::new(&histogram, Unit::FINE);
    assert_eq!(metric.positive_delta, native.deltas);
    let spans: Vec<(i32, u32)> = metric.positive_span.iter().map(|span| (span.offset, span.length)).collect();
    assert_eq!(spans, native.spans);
    // The classic buckets, as the text has them.
    let text = fill().finish();
    for bucket in &metric.bucket {
        let le = if bucket.upper_bound.is_finite() { bucket.upper_bound.to_string() } else { "+Inf".to_owned() };
        let le = if bucket.upper_bound >= 1.0 && bucket.upper_bound.is_finite() { format!("{le}.0") } else { le };
        let line = format!("h_seconds_bucket{{op=\"x\",le=\"{le}\"}} {}\n", bucket.cumulative_count);
        assert!(text.contains(&line), "{line}");
    }
    assert_eq!(text.matches("h_seconds_bucket").count(), metric.bucket.len());
}

#[test]
fn a_page_is_a_collector_for_a_registry_of_prometheus_client() {
    let mut page = Page::new(Format::OpenMetrics);
    page.counter("jobs", "Jobs.").sample(&[("kind", "a\"b\\c\nd")], 3_u64);
    page.gauge("wait_seconds", "Wait.").sample(&[], 0.25).sample(&[("x", "y")], f64::INFINITY);
    page.summary("s", "").snapshot(&[], &Snapshot::EMPTY, Unit::One);
    let mut registry = Theirs::default();
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert_eq!(
        text,
        "# HELP jobs Jobs.\n# TYPE jobs counter\njobs_total{kind=\"a\\\"b\\\\c\\nd\"} 3\n\
         # HELP wait_seconds Wait.\n# TYPE wait_seconds gauge\n# UNIT wait_seconds seconds\n\
         wait_seconds 0.25\nwait_seconds{x=\"y\"} inf\n\
         # HELP daur_exposition_dropped Series left out of this page.\n# TYPE daur_exposition_dropped counter\n\
         daur_exposition_dropped_total 1\n# EOF\n"
    );
}

/// Prometheus's index, and the count, of each bucket.
fn buckets(native: &Native) -> Vec<(i32, i64)> {
    let (mut index, mut count, mut deltas) = (0, 0, native.deltas.iter());
    let mut buckets = Vec::new();
    for (gap, length) in &native.spans {
        index += gap;
        for _ in 0..*length {
            count += deltas.next().expect("a delta for each bucket");
            buckets.push((index, count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

/// The bounds of a bucket: below the first, up to the second.
fn bounds(schema: i32, index: i32) -> (f64, f64) {
    let bound = |index: i32| (f64::from(index) / f64::from(schema).exp2()).exp2();
    (bound(index - 1), bound(index))
}

#[test]
fn native_rule_1_our_index_and_theirs_differ_by_one() {
    for (value, index) in [(1, 0), (2, 32), (3, 51), (1_000, 319), (1_024, 320), (1_025, 321), (1 << 31, 31 * 32)] {
        let mut histogram = Full::new();
        histogram.record(value);
        let native = Native::new(&histogram, Unit::One);
        assert_eq!((native.schema, buckets(&native)), (Some(5), vec![(index, 1)]), "{value}");
        let (low, high) = bounds(5, index);
        assert!(low < value as f64 && value as f64 <= high * (1.0 + 1e-12), "{low} {value} {high}");
    }
}

/// Counts in native buckets are those of our buckets, whichever the cells.
fn same_buckets<L: Cells>(histogram: &Histogram<L>, unit: Unit) {
    let native = Native::new(histogram, unit);
    let told: Vec<i64> = buckets(&native).into_iter().map(|(_, count)| count).filter(|count| *count != 0).collect();
    let ours: Vec<i64> =
        histogram.buckets().filter(|bucket| bucket.upper > 0).map(|bucket| bucket.count.cast_signed()).collect();
    assert_eq!(told, ours);
    assert_eq!(native.count, histogram.count());
    assert_eq!(native.zero_count + told.iter().sum::<i64>().cast_unsigned(), native.count);
    assert!(native.spans.iter().skip(1).all(|(gap, length)| *gap > 2 && *length > 0), "{:?}", native.spans);
}

#[test]
fn native_rule_2_fractions_keep_their_bounds_and_decimals_come_as_near_as_can_be() {
    let mut rng = Rng::new(6);
    let up_to_twice = |rng: &mut Rng, low: u64| low + rng.at_most(low);
    let nanos: Vec<u64> = (0..20_000_u64).map(|n| up_to_twice(&mut rng, 1_000 << (n % 21))).collect();
    for (unit, more) in [
        (Unit::FINE, 1e-9),
        (Unit::Fraction(30), 1e-9),
        (Unit::Nanos, 0.006_2),
        (Unit::Micros, 0.004_2),
        (Unit::Millis, 0.002_2),
    ] {
        for nanos in &nanos {
            let length = Duration::from_nanos(*nanos);
            let mut histogram: Histogram<Dense<u32, 44>> = Histogram::new();
            histogram.record(unit.of(length));
            if histogram.min() == Some(0) {
                continue;
            }
            let (low, high) = bounds(5, buckets(&Native::new(&histogram, unit))[0].0);
            let told = unit.of(length) as f64
                / match unit {
                    Unit::Nanos => 1e9,
                    Unit::Micros => 1e6,
                    Unit::Millis => 1e3,
                    Unit::Fraction(bits) => f64::from(bits).exp2(),
                    Unit::One => 1.0,
                };
            // Inside the bucket, but for what the unit may cost.
            assert!(low * (1.0 - more) < told && told <= high * (1.0 + more), "{unit:?} {low} {told} {high}");
        }
    }
}

#[test]
fn native_rule_3_nothing_is_split_or_left_out() {
    let mut rng = Rng::new(3);
    let (mut full, mut auto, mut small) = (Full::new(), Auto::<160>::new(), Auto::<16>::new());
    for n in 0..5_000 {
        let value = match n % 50 {
            0 => 0,
            1 => u64::MAX - rng.at_most(1 << 40),
            _ => rng.at_most(1 << (n % 41)),
        };
        full.record(value);
        auto.record(value);
        small.record(value);
        if n % 500 == 1 {
            for unit in [Unit::One, Unit::FINE, Unit::Nanos] {
                same_buckets(&full, unit);
                same_buckets(&auto, unit);
                same_buckets(&small, unit);
            }
        }
    }
    let mut above = Full::new();
    above.record(u64::MAX);
    assert_eq!(buckets(&Native::new(&above, Unit::One)), [(32 * 32 + 1, 1)]);
}

#[test]
fn native_rule_4_what_is_coarser_than_any_schema_has_classic_buckets_alone() {
    let mut coarse = Auto::<2>::new();
    coarse.record(1);
    coarse.record(u64::MAX);
    assert!(coarse.scale() < -4, "{}", coarse.scale());
    let native = Native::new(&coarse, Unit::One);
    assert_eq!((native.schema, native.count, native.spans.len()), (None, 2, 0));
    let mut page = Page::new(Format::Prometheus);
    page.histogram("h", "").distribution(&[], &coarse, Unit::One);
    let families = families(&page.protobuf());
    let histogram = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.zero_threshold), (2, 0.0));
    assert!(!histogram.bucket.is_empty() && histogram.positive_span.is_empty());
}

#[test]
fn a_registry_goes_onto_a_page_as_it_is() {
    let registry = Registry::new();
    registry.describe("jobs", "Jobs \"done\".", None);
    registry.counter_of("jobs", &[("kind", "a\nb")]).add(3);
    registry.gauge("depth").set(-1.5);
    let _never_set = registry.gauge("unset");
    let latency = registry.histogram("latency_seconds");
    for seconds in [0.0, 0.25, 0.3, 3.0, 1e300] {
        latency.record(seconds);
    }
    let fill = || {
        let mut page = Page::new(Format::OpenMetrics);
        page.registry(&registry);
        page.registry(&Registry::new()); // an empty one has no more to say
        page
    };
    assert_eq!(fill().dropped(), 0);
    let text = fill().finish();
    for part in [
        "# HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\njobs_total{kind=\"a\\nb\"} 3\n",
        "# TYPE depth gauge\ndepth -1.5\n",
        "# UNIT latency_seconds seconds\n\
         latency_seconds_bucket{le=\"0.00000000023283064365386963\"} 1\n\
         latency_seconds_bucket{le=\"0.25\"} 2\n\
         latency_seconds_bucket{le=\"0.5\"} 3\n\
         latency_seconds_bucket{le=\"1.0\"} 3\n\
         latency_seconds_bucket{le=\"2.0\"} 3\n\
         latency_seconds_bucket{le=\"4.0\"} 4\n\
         latency_seconds_bucket{le=\"+Inf\"} 5\n",
        "latency_seconds_count 5\n",
        "daur_metrics_rejected_total 0\n",
    ] {
        assert!(text.contains(part), "{part}\nin\n{text}");
    }
    assert!(!text.contains("unset"));
    let told = latency.read();
    let native = Native::of(&told);
    assert_eq!((native.count, native.zero_count, native.zero_threshold), (5, 1, (-32.0_f64).exp2()));
    // 2^-2, 0.3 and 3, and what is above the range.
    assert_eq!(
        buckets(&native).iter().filter(|(_, count)| *count > 0).map(|(index, _)| *index).collect::<Vec<_>>(),
        [-64, -55, 51, 64 * 32 + 1]
    );
    let families = families(&fill().protobuf());
    let histogram =
        families.iter().find(|family| family.name == "latency_seconds").unwrap().metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.positive_delta.as_slice()), (5, native.deltas.as_slice()));
    assert_eq!(
        histogram.bucket.last().map(|bucket| (bucket.upper_bound, bucket.cumulative_count)),
        Some((f64::INFINITY, 5))
    );
}

#[test]
fn an_empty_histogram_is_known_as_a_native_one() {
    let mut page = Page::new(Format::Prometheus);
    page.histogram("h", "").distribution(&[], &Full::new(), Unit::FINE);
    let families = families(&page.protobuf());
    let histogram = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.zero_threshold, histogram.schema), (0, Native::ZERO_THRESHOLD, 5));
    assert_eq!(Native::ZERO_THRESHOLD, (-128.0_f64).exp2());
}

#[test]
fn quantiles_of_the_native_form_are_within_the_scheme_s_error() {
    // As Prometheus has them, at the middle of the bucket in which the rank lies.
    let (mut rng, mut histogram, mut exact) = (Rng::new(11), Full::new(), Vec::new());
    for _ in 0..100_000 {
        // From 1 ms to 64 s, evenly in the logarithm.
        let nanos = 1_000_000.0 * f64::from(u32::try_from(rng.at_most(16_000_000)).unwrap() as f32 / 1e6).exp2();
        let length = Duration::from_nanos(nanos as u64);
        histogram.record(Unit::FINE.of(length));
        exact.push(length.as_nanos());
    }
    exact.sort_unstable();
    let native = Native::new(&histogram, Unit::FINE);
    for q in [Quantile::P50, Quantile::P90, Quantile::P99, Quantile::P999] {
        let rank = u64::from(q.as_ppm()) * native.count / 1_000_000;
        let mut so_far = 0;
        let (index, _) = *buckets(&native)
            .iter()
            .find(|(_, count)| {
                so_far += count.cast_unsigned();
                so_far >= rank
            })
            .unwrap();
        let (low, high) = bounds(5, index);
        let truth = exact[usize::try_from(rank).unwrap() - 1] as f64 / 1e9;
        let told = (low * high).sqrt();
        assert!((told / truth - 1.0).abs() <= 0.010_9, "{told} {truth}");
    }
}
