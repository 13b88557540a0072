//! The profiler alone: two operations, each with its histogram.
#![no_std]
#![no_main]

use daur_core::monitoring::histogram::Window;
use daur_core::monitoring::profiler::{Outcome, Profiler};
use daur_measures::{black_box, image, now};

image!(profiler: Profiler<2, 2, Window<u32, 64>> = Profiler::new(); {
    let span = profiler.start("read", now());
    profiler.finish(span, black_box(Outcome::Success), now());
    black_box(profiler.snapshot("read").is_some());
});
