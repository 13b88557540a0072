//! Recording a value, with count, sum, least and greatest, beside `prometheus`, `hdrhistogram`
//! and `sketches-ddsketch`.

use std::hint::black_box;

use daur_core::monitoring::histogram::{Auto, Full, Quantile};
use daur_core::rng::Rng;

use crate::harness::{Options, Subject, compare, subject};

const VALUES: u32 = 16_384;

/// Latencies in microseconds as a service has them: most near a millisecond, some a hundred times that.
fn values() -> Vec<u64> {
    let mut rng = Rng::new(2);
    (0..VALUES).map(|_| 500 + rng.at_most(1_000) + (rng.at_most(1 << 20) >> rng.at_most(20))).collect()
}

fn record(name: &'static str, mut record: impl FnMut(u64) + 'static) -> Subject {
    let values = values();
    subject(name, VALUES, move || {
        for &value in &values {
            record(black_box(value));
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "microseconds as prometheus takes them")]
fn peers() -> Vec<Subject> {
    let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 32, 2).expect("valid bounds");
    let prometheus = prometheus::Histogram::with_opts(
        prometheus::HistogramOpts::new("latency", "In microseconds.")
            .buckets(prometheus::exponential_buckets(1.0, 2.0, 20).expect("valid buckets")),
    )
    .expect("a valid histogram");
    let mut sketch = sketches_ddsketch::DDSketch::new(sketches_ddsketch::Config::new(0.01083, 2_048, 1.0));
    vec![
        record("hdrhistogram (two digits; keeps no sum)", move |value| hdr.saturating_record(value)).target(0.65),
        record("prometheus (20 buckets; atomic)", move |value| prometheus.observe(value as f64)).target(0.14),
        record("sketches-ddsketch (1.083 %)", move |value| sketch.add(value as f64)),
    ]
}

pub(crate) fn run(options: &Options) {
    let mut full: Box<Full> = Box::new(Full::new());
    let mut subjects = vec![record("daur Full (scale 5, 1.1 %)", move |value| full.record(value))];
    subjects.extend(peers());
    compare(options, "histogram: record, fixed scale", subjects);

    let mut auto: Box<Auto<160>> = Box::new(Auto::new());
    let mut subjects = vec![record("daur Auto<160>", move |value| auto.record(value))];
    subjects.extend(peers());
    compare(options, "histogram: record, scale that follows the data", subjects);

    let mut full: Box<Full> = Box::new(Full::new());
    let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 32, 2).expect("valid bounds");
    let mut sketch = sketches_ddsketch::DDSketch::new(sketches_ddsketch::Config::new(0.01083, 2_048, 1.0));
    for value in values() {
        full.record(value);
        hdr.saturating_record(value);
        #[expect(clippy::cast_precision_loss, reason = "few bits")]
        sketch.add(value as f64);
    }
    let subjects = vec![
        subject("daur Full", 256, move || {
            for _ in 0..256 {
                black_box(black_box(&full).quantile(Quantile::P99));
            }
        }),
        subject("hdrhistogram", 256, move || {
            for _ in 0..256 {
                black_box(black_box(&hdr).value_at_quantile(0.99));
            }
        }),
        subject("sketches-ddsketch", 256, move || {
            for _ in 0..256 {
                _ = black_box(black_box(&sketch).quantile(0.99));
            }
        }),
    ];
    compare(options, "histogram: p99", subjects);
}
