//! The report of everything alone, of figures that somebody else has.
#![no_std]
#![no_main]

use daur_core::monitoring::report::Report;
use daur_core::time::Duration;
use daur_measures::{black_box, image};

image!(report: Report = Report::new(Duration::ZERO); {
    *report = Report::new(black_box(Duration::from_secs(9))).health(black_box(true), black_box(false)).lost(black_box(3));
    report.breakers_open = black_box(2);
    black_box(report.verdict());
    black_box(report.concerns().next());
    black_box(report.hit_permille());
});
