//! Four fallbacks by name.
#![no_std]
#![no_main]

use daur_core::reliability::executor::Execution;
use daur_core::reliability::fallback::{Registry, Source};
use daur_measures::{black_box, image, now};

image!(fallbacks: Registry<u32, u32, 4> = Registry::new(); {
    black_box(fallbacks.add(black_box("sensor"), Source::Value(20)).is_ok());
    let execution: Execution<u32, u32> = black_box(Execution::of_value(1));
    black_box(fallbacks.apply(black_box("sensor"), execution, &(), now()).fallback_used);
});
