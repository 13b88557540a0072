//! The collector of named series alone: four of them.
#![no_std]
#![no_main]

use daur_core::monitoring::metrics::{Collector, Config};
use daur_measures::{black_box, image, now};

image!(metrics: Collector<&'static str, 4, 4, i32> = Collector::new(Config::DEFAULT); {
    black_box(metrics.set(black_box("temperature"), black_box(21), now()).is_ok());
    black_box(metrics.add(black_box("reads"), black_box(1), now()).is_ok());
    for (name, kind, stats) in metrics.iter() {
        black_box((name, kind, stats.last()));
    }
});
