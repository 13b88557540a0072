//! A counter and a tally: count, sum, least and greatest.
#![no_std]
#![no_main]

use daur_core::monitoring::metrics::{Counter, Tally};
use daur_measures::{black_box, image};

image!(figures: (Counter, Tally) = (Counter::new(), Tally::new()); {
    figures.0.increment();
    figures.1.record(black_box(1_234));
    black_box((figures.0.total(), figures.1.sum(), figures.1.min(), figures.1.max()));
});
