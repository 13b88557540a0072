//! The judge of a system's figures alone: six fields, trends of eight points.
#![no_std]
#![no_main]

use daur_core::monitoring::system::{Config, Field, Sample, System};
use daur_measures::{black_box, image, now};

image!(system: System<8> = System::new(Config::DEFAULT); {
    let sample = Sample {
        stack_high_water: Some(black_box(900)),
        stack_size: Some(black_box(1_024)),
        temperature_mc: Some(black_box(41_500)),
        ..Sample::EMPTY
    };
    black_box(system.update(&sample, now()));
    system.on_failure(now());
    black_box((system.level(), system.poll_at(), system.lasts(Field::Stack), system.snapshot().changes));
});
