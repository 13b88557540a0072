//! Serves a page of hostile labels and known distributions, for `.ci/prometheus`.
//!
//! `prometheus`: prints its address. `/metrics` is in the format that `Accept` asks for, `/text`, `/openmetrics` and
//! `/protobuf` are in theirs, and `/truth` is what a reader should find, as JSON.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use daur_core::monitoring::histogram::{Auto, Cells, Dense, Histogram};
use daur_core::rng::Rng;
use daur_core::time::{Duration, UnixTime};
use daur_std::monitoring::metrics::Registry;
use daur_std::monitoring::prometheus::{Exposition, Format, Page, Unit};
use serde_json::{Value, json};

const VALUES: usize = 100_000;

/// Label values that break who does not escape.
fn hostile() -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        "\"",
        "\\",
        "\n",
        "\\n",
        "a\"} 1\nfake_metric 9",
        "}{=,\"\\\"",
        "le=\"1\"",
        " \t\r ",
        "\u{1}\u{7f}",
        "größe 😀",
        "# EOF",
        "\n# EOF\n",
        "\u{202e}abc",
        "\u{feff}",
        "a\u{0}b",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push("x".repeat(20_000));
    values
}

/// Nanoseconds from 1 ms on, lognormal as far as twelve uniform numbers are normal.
fn durations() -> Vec<u64> {
    let mut rng = Rng::new(2_026);
    let normal = |rng: &mut Rng| (0..12).map(|_| rng.at_most(1_000_000) as f64 / 1e6).sum::<f64>() - 6.0;
    (0..VALUES).map(|_| 1_000_000 + (20e6 * (1.2 * normal(&mut rng)).exp()) as u64).collect()
}

/// What a reader should find of these values, in seconds; `more` is what the unit may cost beside the scheme.
fn truth(values: &mut [u64], more: f64) -> Value {
    values.sort_unstable();
    let at = |percent: usize| values[values.len() * percent / 100 - 1] as f64 / 1e9;
    let sum: f64 = values.iter().map(|nanos| *nanos as f64 / 1e9).sum();
    json!({ "count": values.len(), "sum": sum, "p50": at(50), "p99": at(99), "error": 0.010_831 + more })
}

fn counted<L: Cells>(values: &[u64], unit: Unit) -> Histogram<L> {
    let mut histogram = Histogram::new();
    values.iter().for_each(|nanos| histogram.record(unit.of(Duration::from_nanos(*nanos))));
    histogram
}

struct Known {
    fine: Histogram<Dense<u32, 32>>,
    nanos: Histogram<Dense<u32, 44>>,
    auto: Auto<160>,
    registry: Registry,
}

impl Known {
    fn new(values: &[u64]) -> Self {
        let registry = Registry::new();
        registry.describe("known_registry_seconds", "Through the registry.", Some("seconds"));
        let handle = registry.histogram_of("known_registry_seconds", &[("of", "a\"\\\n")]);
        values.iter().for_each(|nanos| handle.record(*nanos as f64 / 1e9));
        registry.describe("known_registry_events", "A counter of the registry.", None);
        registry.counter("known_registry_events").add(12);
        Self {
            fine: counted(values, Unit::FINE),
            nanos: counted(values, Unit::Nanos),
            auto: counted(values, Unit::FINE),
            registry,
        }
    }

    fn page(&self) -> Page {
        let mut page = Page::new(Format::Prometheus);
        page.started(UnixTime::from_secs(1_700_000_000));
        for (n, value) in hostile().iter().enumerate() {
            page.counter("hostile_labels", "Labels that are \"hostile\",\nof two lines\\.")
                .sample(&[("n", &n.to_string()), ("value", value)], n);
        }
        page.gauge("0 hostile name{}", "A name that is none.").sample(&[("a-b", "1"), ("0", "2"), ("é", "3")], 1_u64);
        for (name, value) in [
            ("nan", f64::NAN),
            ("inf", f64::INFINITY),
            ("minus_inf", f64::NEG_INFINITY),
            ("tiny", 5e-324),
            ("huge", f64::MAX),
            ("zero", -0.0),
        ] {
            page.gauge("odd_values", "Values at the ends.").sample(&[("is", name)], value);
        }
        page.gauge("odd_values", "").sample(&[("is", "u64")], u64::MAX).sample(&[("is", "i64")], i64::MIN);
        page.counter("twice", "A series that is there twice.").sample(&[], 1_u64).sample(&[], 2_u64);
        page.summary("known_quantiles_seconds", "By quantiles.").snapshot(&[], &self.nanos.snapshot(), Unit::Nanos);
        page.summary("known_quantiles_seconds", "").snapshot(
            &[("of", "nothing")],
            &Auto::<8>::new().snapshot(),
            Unit::Nanos,
        );
        page.histogram("known_fine_seconds", "Units of 2^-20 s.").distribution(&[], &self.fine, Unit::FINE);
        page.histogram("known_nanos_seconds", "Nanoseconds.").distribution(&[], &self.nanos, Unit::Nanos);
        page.histogram("known_auto_seconds", "Coarser.").distribution(&[], &self.auto, Unit::FINE);
        page.histogram("known_empty_seconds", "Nothing.").distribution(&[], &Auto::<160>::new(), Unit::FINE);
        page.registry(&self.registry);
        page
    }
}

fn main() -> std::io::Result<()> {
    let mut values = durations();
    let known = Known::new(&values);
    // An automatic histogram is as coarse as its range demands.
    let coarser = f64::from(known.auto.error_ppm()) / 1e6 - 0.010_831;
    let truth = json!({
        "hostile": hostile(),
        "known_fine_seconds": truth(&mut values, 0.0),
        "known_registry_seconds": truth(&mut values, 0.0),
        "known_nanos_seconds": truth(&mut values, 0.006_2),
        "known_auto_seconds": truth(&mut values, coarser),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut lines = BufReader::new(&stream).lines();
        let Some(Ok(request)) = lines.next() else { continue };
        let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let accept = headers
            .iter()
            .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("accept")));
        let format = match request.split(' ').nth(1) {
            Some("/metrics") => Some(Exposition::accepted(accept.map_or("", |(_, value)| value))),
            Some("/text") => Some(Exposition::Text(Format::Prometheus)),
            Some("/openmetrics") => Some(Exposition::Text(Format::OpenMetrics)),
            Some("/protobuf") => Some(Exposition::Protobuf),
            _ => None,
        };
        let (kind, body) = format.map_or_else(
            || ("application/json", truth.to_string().into_bytes()),
            |format| (format.content_type(), format.finish(known.page())),
        );
        // Who goes away early is not this program's concern.
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(&body);
    }
    Ok(())
}
