//! The share of time asleep alone.
#![no_std]
#![no_main]

use daur_core::monitoring::system::Idle;
use daur_core::time::Instant;
use daur_measures::{black_box, image, now};

image!(idle: Idle = Idle::new(Instant::ZERO); {
    idle.sleep(now());
    idle.wake(now());
    black_box(idle.take(now()));
});
