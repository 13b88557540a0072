//! What a line of the log costs its caller: one event of `tracing` with two fields, beside `tracing-subscriber`'s format
//! and `tracing-appender`'s queue.
//!
//! Each call is timed by itself, with the reading of the clock taken off; a row is the median of all calls. Both sides write
//! to a sink that does nothing, so that what is seen is the caller's part and the queue's. Between bursts both are
//! given the time to write what they have, so that neither's queue is ever full.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use daur_std::monitoring::log::sink::{Output, Writer};
use daur_std::monitoring::log::{Config, Format, Logger};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

use crate::harness::Options;

const BURST: usize = 1_000;
const TITLE: &str = "log: an event with two fields, the caller's part (median of single calls)";

pub(crate) fn run(options: &Options) {
    if !options.wants(TITLE) {
        return;
    }
    let log = Logger::with_outputs(
        Config { console: None, queue_bytes: 8 << 20, ..Config::default() },
        vec![Output::new("none", Format::Human, Writer(io::sink()))],
    )
    .expect("a valid config");
    let ours = Dispatch::new(tracing_subscriber::registry().with(log.layer()));
    let (appender, guard) = tracing_appender::non_blocking(io::sink());
    let format = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(appender);
    let theirs = Dispatch::new(tracing_subscriber::registry().with(format));

    let (mut our_calls, mut their_calls, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for burst in 0..64 {
        for _ in 0..BURST {
            bare.push(Instant::now().elapsed());
        }
        tracing::dispatcher::with_default(&ours, || calls(burst, &mut our_calls));
        assert!(log.flush(Duration::from_secs(60)), "a sink that does nothing is fast");
        tracing::dispatcher::with_default(&theirs, || calls(burst, &mut their_calls));
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(guard);
    let counts = log.shutdown(Duration::from_secs(60));
    assert_eq!((counts.written, counts.dropped), (counts.sent, 0));

    let clock = percentile(&mut bare, 50);
    println!("\n{TITLE}");
    let ours = percentile(&mut our_calls, 50).saturating_sub(clock);
    let theirs = percentile(&mut their_calls, 50).saturating_sub(clock);
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let verdict = if ours <= Duration::from_nanos(300) { "met" } else { "MISSED" };
    println!("  {:<44} {:>12} ns   target 300 ns {verdict}", "Logger::layer", ours.as_nanos());
    println!(
        "  {:<44} {:>12} ns   ratio {ratio:>7.3}",
        "fmt::layer + tracing_appender::non_blocking",
        theirs.as_nanos()
    );
    for part in [90, 99] {
        let (ours, theirs) = (percentile(&mut our_calls, part), percentile(&mut their_calls, part));
        println!(
            "  {:<44} {:>12} ns   theirs {} ns",
            format!("the {part}th of 100 calls"),
            ours.as_nanos(),
            theirs.as_nanos()
        );
    }
}

fn calls(burst: usize, took: &mut Vec<Duration>) {
    for n in 0..BURST {
        let start = Instant::now();
        tracing::info!(burst, n = black_box(n), "a request was answered");
        took.push(start.elapsed());
    }
}

fn percentile(calls: &mut [Duration], part: usize) -> Duration {
    calls.sort_unstable();
    calls.get(calls.len() * part / 100).copied().unwrap_or_default()
}
