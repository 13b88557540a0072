//! Series of a process by their handles, beside `prometheus`, `prometheus-client`, `metrics` with its exporter and the SDK of
//! OpenTelemetry: a record on one thread, the same series on two, and what a series takes.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use daur_core::rng::Rng;
use daur_std::monitoring::metrics::{Recorder, Registry};
use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::{Aggregation, Instrument, ManualReader, SdkMeterProvider, Stream};
use prometheus_client::metrics::histogram::NativeHistogramConfig;

use crate::harness::{Options, Subject, compare, subject};
use crate::traces::per_entry;

const RECORDS: u32 = 16_384;
const SERIES: usize = 200;

pub(crate) fn run(options: &Options) {
    counters(options);
    histograms(options);
    two_threads(options);
    bytes(options);
}

/// Seconds as a service has them: most near a millisecond, some a hundred times that.
fn seconds() -> Vec<f64> {
    let mut rng = Rng::new(2);
    let micros = |rng: &mut Rng| 500 + rng.at_most(1_000) + (rng.at_most(1 << 20) >> rng.at_most(20));
    #[expect(clippy::cast_precision_loss, reason = "few bits")]
    (0..RECORDS).map(|_| micros(&mut rng) as f64 / 1e6).collect()
}

fn meter() -> Meter {
    let exponential = |instrument: &Instrument| {
        let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
        instrument
            .name()
            .starts_with("exponential")
            .then(|| Stream::builder().with_aggregation(aggregation).build().ok())?
    };
    let provider =
        SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).with_view(exponential).build();
    let meter = provider.meter("bench");
    // Dropped, it would record nothing any more.
    std::mem::forget(provider);
    meter
}

fn count(name: &'static str, add: impl Fn() + 'static) -> Subject {
    subject(name, RECORDS, move || {
        for _ in 0..RECORDS {
            add();
        }
    })
}

fn counters(options: &Options) {
    const TITLE: &str = "metrics: counter, one thread";
    if !options.wants(TITLE) {
        return;
    }
    let ours = Registry::new().counter("requests");
    let recorder = Recorder::new(Registry::new());
    let facade = with_local_recorder(&recorder, || metrics::counter!("requests"));
    let exporter = PrometheusBuilder::new().build_recorder();
    let exported = with_local_recorder(&exporter, || metrics::counter!("requests"));
    let prometheus = prometheus::IntCounter::new("requests", "Answered.").expect("a valid name");
    let client = prometheus_client::metrics::counter::Counter::<u64>::default();
    let otel = meter().u64_counter("requests").build();
    let subjects = vec![
        count("daur", move || black_box(&ours).increment()),
        count("prometheus IntCounter", move || black_box(&prometheus).inc()).target(1.0),
        count("prometheus-client", move || _ = black_box(&client).inc()).target(1.0),
        count("metrics, exporter-prometheus", move || black_box(&exported).increment(1)).target(1.0),
        count("metrics, daur's recorder", move || black_box(&facade).increment(1)),
        count("opentelemetry", move || black_box(&otel).add(1, &[])).target(1.0),
    ];
    compare(options, TITLE, subjects);
}

fn record(name: &'static str, record: impl Fn(f64) + 'static) -> Subject {
    let values = seconds();
    subject(name, RECORDS, move || {
        for &value in &values {
            record(black_box(value));
        }
    })
}

fn prometheus_histogram() -> prometheus::Histogram {
    let buckets = prometheus::exponential_buckets(1e-6, 2.0, 20).expect("valid buckets");
    prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("took", "Seconds.").buckets(buckets))
        .expect("valid")
}

fn client_histogram() -> prometheus_client::metrics::histogram::Histogram {
    let buckets = prometheus_client::metrics::histogram::exponential_buckets(1e-6, 2.0, 20);
    prometheus_client::metrics::histogram::Histogram::new(buckets)
}

fn client_native() -> prometheus_client::metrics::histogram::Histogram {
    prometheus_client::metrics::histogram::Histogram::new_native(NativeHistogramConfig::with_schema(5))
}

fn histograms(options: &Options) {
    const TITLE: &str = "metrics: histogram of f64, one thread";
    if !options.wants(TITLE) {
        return;
    }
    let ours = Registry::new().histogram("took_seconds");
    let recorder = Recorder::new(Registry::new());
    let facade = with_local_recorder(&recorder, || metrics::histogram!("took_seconds"));
    let exporter = PrometheusBuilder::new().build_recorder();
    let exported = with_local_recorder(&exporter, || metrics::histogram!("took_seconds"));
    let handle = exporter.handle();
    let (prometheus, client, native) = (prometheus_histogram(), client_histogram(), client_native());
    let (otel, exponential) = (meter().f64_histogram("explicit").build(), meter().f64_histogram("exponential").build());
    let values = seconds();
    let subjects = vec![
        record("daur (scale 5; count, sum, min, max)", move |value| black_box(&ours).record(value)),
        record("prometheus (20 buckets)", move |value| black_box(&prometheus).observe(value)).target(0.15),
        record("prometheus-client (20 buckets)", move |value| black_box(&client).observe(value)).target(0.15),
        record("prometheus-client (native, schema 5)", move |value| black_box(&native).observe(value)),
        // It keeps the values until somebody reads, so a repeat ends with that.
        subject("metrics, exporter-prometheus (quantiles)", RECORDS, move || {
            for &value in &values {
                black_box(&exported).record(black_box(value));
            }
            handle.run_upkeep();
        }),
        record("metrics, daur's recorder", move |value| black_box(&facade).record(value)),
        record("opentelemetry (explicit buckets)", move |value| black_box(&otel).record(value, &[])),
        record("opentelemetry (exponential, 160)", move |value| black_box(&exponential).record(value, &[])).target(0.1),
    ];
    compare(options, TITLE, subjects);
}

/// Two threads, each of which records as often; the time is that of both together for one record of each.
fn both(name: &'static str, record: impl Fn() + Sync + 'static) -> Subject {
    const EACH: u32 = 200_000;
    subject(name, EACH, move || {
        let start = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..EACH {
                        record();
                    }
                });
            }
        });
    })
}

fn two_threads(options: &Options) {
    const COUNTER: &str = "metrics: counter, two threads on one series";
    if options.wants(COUNTER) {
        let ours = Registry::new().counter("requests");
        let exporter = PrometheusBuilder::new().build_recorder();
        let exported = with_local_recorder(&exporter, || metrics::counter!("requests"));
        let prometheus = prometheus::IntCounter::new("requests", "Answered.").expect("a valid name");
        let client = prometheus_client::metrics::counter::Counter::<u64>::default();
        let otel = meter().u64_counter("requests").build();
        let subjects = vec![
            both("daur", move || black_box(&ours).increment()),
            both("prometheus IntCounter", move || black_box(&prometheus).inc()).target(0.5),
            both("prometheus-client", move || _ = black_box(&client).inc()).target(0.5),
            both("metrics, exporter-prometheus", move || black_box(&exported).increment(1)),
            both("opentelemetry", move || black_box(&otel).add(1, &[])),
        ];
        compare(options, COUNTER, subjects);
    }
    const HISTOGRAM: &str = "metrics: histogram, two threads on one series";
    if options.wants(HISTOGRAM) {
        let ours = Registry::new().histogram("took_seconds");
        let (prometheus, client) = (prometheus_histogram(), client_histogram());
        let exponential = meter().f64_histogram("exponential").build();
        let subjects = vec![
            both("daur (scale 5; count, sum, min, max)", move || black_box(&ours).record(black_box(0.001))),
            both("prometheus (20 buckets)", move || black_box(&prometheus).observe(black_box(0.001))).target(0.15),
            both("prometheus-client (20 buckets)", move || black_box(&client).observe(black_box(0.001))).target(0.15),
            both("opentelemetry (exponential, 160)", move || black_box(&exponential).record(black_box(0.001), &[])),
        ];
        compare(options, HISTOGRAM, subjects);
    }
}

/// What 200 label sets of one name leave allocated, after a record (a thousand of them for histograms) on one thread.
fn bytes(options: &Options) {
    const TITLE: &str = "metrics: bytes per series, 200 label sets";
    if !options.wants(TITLE) {
        return;
    }
    let codes: Vec<String> = (0..SERIES).map(|n| format!("route-{n}")).collect();
    let values = &seconds()[..1_000];
    let print = |name: &str, bytes: f64| println!("  {name:<56} {bytes:>9.0} B");
    println!("\n{TITLE}, as the allocator takes them");
    let ours = Registry::new();
    print(
        "daur: counter",
        per_entry(SERIES, || codes.iter().for_each(|c| ours.counter_of("n", &[("route", c)]).increment())),
    );
    print("daur: gauge", per_entry(SERIES, || codes.iter().for_each(|c| ours.gauge_of("g", &[("route", c)]).set(1.0))));
    let histograms = || {
        for code in &codes {
            let took = ours.histogram_of("took_seconds", &[("route", code)]);
            values.iter().for_each(|value| took.record(*value));
        }
    };
    print("daur: histogram (scale 5)", per_entry(SERIES, histograms));
    let family = prometheus::IntCounterVec::new(prometheus::Opts::new("n", "N."), &["route"]).expect("valid");
    print("prometheus: counter", per_entry(SERIES, || codes.iter().for_each(|c| family.with_label_values(&[c]).inc())));
    let options = prometheus::HistogramOpts::new("took", "Seconds.");
    let buckets = prometheus::exponential_buckets(1e-6, 2.0, 20).expect("valid buckets");
    let family = prometheus::HistogramVec::new(options.buckets(buckets), &["route"]).expect("valid");
    let fill = || {
        for code in &codes {
            let took = family.with_label_values(&[code]);
            values.iter().for_each(|value| took.observe(*value));
        }
    };
    print("prometheus: histogram (20 buckets)", per_entry(SERIES, fill));
    let family = prometheus_client::metrics::family::Family::<
        Vec<(String, String)>,
        prometheus_client::metrics::histogram::Histogram,
    >::new_with_constructor(client_native);
    let fill = || {
        for code in &codes {
            let took = family.get_or_create_owned(&vec![("route".to_owned(), code.clone())]);
            values.iter().for_each(|value| took.observe(*value));
        }
    };
    print("prometheus-client: histogram (native, schema 5)", per_entry(SERIES, fill));
    let exporter = PrometheusBuilder::new().build_recorder();
    let fill = || {
        with_local_recorder(&exporter, || {
            for code in &codes {
                let took = metrics::histogram!("took_seconds", "route" => code.clone());
                values.iter().for_each(|value| took.record(*value));
            }
        });
        exporter.handle().run_upkeep();
    };
    print("metrics, exporter-prometheus: histogram (quantiles)", per_entry(SERIES, fill));
    let exponential = meter().f64_histogram("exponential").build();
    let fill = || {
        for code in &codes {
            let route = [opentelemetry::KeyValue::new("route", code.clone())];
            values.iter().for_each(|value| exponential.record(*value, &route));
        }
    };
    print("opentelemetry: histogram (exponential, 160)", per_entry(SERIES, fill));
}
