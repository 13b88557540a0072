//! The levels of a system alone, without trends.
#![no_std]
#![no_main]

use daur_core::monitoring::system::{Config, Sample, System};
use daur_measures::{black_box, image, now};

image!(system: System<0> = System::new(Config::DEFAULT); {
    let sample = Sample {
        stack_high_water: Some(black_box(900)),
        stack_size: Some(black_box(1_024)),
        temperature_mc: Some(black_box(41_500)),
        ..Sample::EMPTY
    };
    black_box(system.update(&sample, now()));
    black_box((system.level(), system.poll_at()));
});
