//! Errors and profiles: no crate that we know counts errors by kind within a bound, so these rows stand alone but for the
//! one beside the least that could be done: a map of counters under a lock.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;

use daur_core::monitoring::errors::{Config, Errors};
use daur_core::monitoring::profiler::Profiler;
use daur_core::shared::Shared;
use daur_core::time::Instant;
use daur_std::monitoring::errors::{self, ErrorTracker};
use daur_std::monitoring::profiler::performance_monitor;
use daur_std::shared::StdShared;

use crate::harness::{Options, compare, subject};

const RECORDS: u32 = 4_096;

static PROFILER: StdShared<Profiler<8, 8>> = StdShared::new(Profiler::new());

pub(crate) fn run(options: &Options) {
    let kinds: Vec<String> = (0..8).map(|n| format!("kind-{n}")).collect();
    let mut ours: Errors<8, 8> = Errors::new(Config::DEFAULT);
    let names = kinds.clone();
    let (map, same) = (Mutex::new(HashMap::<String, u64>::new()), kinds.clone());
    let known = vec![
        subject("daur Errors, 8 kinds", RECORDS, move || {
            for (n, kind) in (0..RECORDS).zip(names.iter().cycle()) {
                ours.record(black_box(kind), black_box("no acknowledge"), Instant::from_nanos(n.into()));
            }
        }),
        subject("a map of counters, no messages", RECORDS, move || {
            for (_, kind) in (0..RECORDS).zip(same.iter().cycle()) {
                let mut map = map.lock().expect("nobody panics");
                match map.get_mut(black_box(kind.as_str())) {
                    Some(count) => *count += 1,
                    None => _ = map.insert(kind.clone(), 1),
                }
            }
        }),
    ];
    compare(options, "errors: record of a known kind", known);

    let mut summary: Errors<64, 8> = Errors::new(Config::DEFAULT);
    let fresh: Vec<String> = (0..RECORDS).map(|n| format!("kind-{n}")).collect();
    let new = vec![subject("daur Errors, 64 kinds", RECORDS, move || {
        for kind in &fresh {
            summary.record(black_box(kind), "", Instant::ZERO);
        }
    })];
    compare(options, "errors: record of a kind never seen", new);

    let tracker = ErrorTracker::try_new(errors::Config::DEFAULT).expect("the defaults are valid");
    let error = std::io::Error::other("seven".parse::<u8>().expect_err("no number"));
    let tracked = vec![subject("daur ErrorTracker", RECORDS, move || {
        for kind in kinds.iter().cycle().take(RECORDS as usize) {
            tracker.record(black_box(kind), black_box(&error));
        }
    })];
    compare(options, "errors: record of an error with a cause", tracked);

    let spans = vec![
        subject("daur performance_monitor", RECORDS, || {
            for n in 0..RECORDS {
                black_box(performance_monitor().measure("bench", || black_box(n)));
            }
        }),
        subject("daur guard on 8 operations", RECORDS, || {
            for _ in 0..RECORDS {
                drop(black_box(daur_core::monitoring::profiler::time(&PROFILER, "bench")));
            }
        }),
        subject("two clock readings", RECORDS, || {
            for _ in 0..RECORDS {
                black_box(std::time::Instant::now());
                black_box(std::time::Instant::now());
            }
        }),
    ];
    compare(options, "profiler: a call", spans);
    black_box(PROFILER.with(|profiler, _| profiler.slowest().count()));
}
