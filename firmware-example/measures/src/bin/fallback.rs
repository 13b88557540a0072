//! The fallback to the last good value alone.
#![no_std]
#![no_main]

use daur_core::reliability::executor::Execution;
use daur_core::reliability::fallback::{Fallback, Source};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(fallback: Fallback<u32, u32> = Fallback::new(Source::LastGood { max_age: Duration::from_secs(30) }); {
    let execution: Execution<u32, u32> = black_box(Execution::of_value(1));
    black_box(fallback.apply(execution, now()).fallback_used);
});
