//! A 32-bit counter widened to the clock that machines live by.
#![no_std]
#![no_main]

use daur_core::hal::clock::{TickExtender, moment};
use daur_measures::{black_box, image};

image!(ticks: TickExtender = TickExtender::new(); {
    black_box(moment::<1_000_000>(ticks.extend(black_box(1))));
});
