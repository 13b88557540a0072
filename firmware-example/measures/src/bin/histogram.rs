//! The histogram alone, with its quantiles.
#![no_std]
#![no_main]

use daur_core::monitoring::histogram::{Auto, Quantile};
use daur_measures::{black_box, image};

image!(histogram: Auto<64> = Auto::new(); {
    histogram.record(black_box(1_234));
    black_box(histogram.quantile(Quantile::P99));
});
