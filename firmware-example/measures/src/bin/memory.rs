//! The levels of memory alone.
#![no_std]
#![no_main]

use daur_core::performance::memory::{Config, Monitor, Usage};
use daur_measures::{black_box, image, now};

image!(monitor: Monitor = Monitor::new(Config::DEFAULT); {
    black_box(monitor.update(black_box(Usage::new(850, 1_000)), now()));
    monitor.on_failure(now());
    black_box((monitor.level(), monitor.poll_at(), monitor.snapshot()));
});
