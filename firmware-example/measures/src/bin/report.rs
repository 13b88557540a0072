//! The report of everything alone, made of a breaker's snapshot and others' figures.
#![no_std]
#![no_main]

use daur_core::monitoring::report::Report;
use daur_core::performance::memory::Level;
use daur_core::reliability::breaker::{Snapshot, State};
use daur_core::time::Duration;
use daur_measures::{black_box, image};

const BREAKER: Snapshot = Snapshot {
    state: State::Open,
    consecutive_failures: 5,
    opened: 1,
    refused: 3,
    late: 0,
    window: None,
    retry_at: None,
};

image!(report: Report = Report::default(); {
    let told = Report::new(black_box(Duration::from_secs(9))).health(black_box(true), black_box(false));
    *report = told.breaker(black_box(&BREAKER)).level(black_box(Level::Elevated)).lost(black_box(3));
    black_box(report.verdict());
    black_box(report.hit_permille());
});
