//! The ring of log lines alone: sixteen of them, and what a reset has left.
#![no_std]
#![no_main]

use daur_core::monitoring::log::{Config, Level, Log};
use daur_measures::{black_box, image, now};

image!(log: Log<16> = Log::new(Config::DEFAULT); {
    black_box(log.recover(Config::DEFAULT));
    let _ = black_box(log.record(black_box(Level::Warn), black_box("sensor"), black_box("no answer"), now()));
    black_box(log.recent(black_box(4), Level::Warn).last());
    black_box(log.untold());
    log.told(black_box(7));
    black_box(log.snapshot().total);
});
