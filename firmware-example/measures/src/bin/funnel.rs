//! A funnel alone: eight users under way.
#![no_std]
#![no_main]

use daur_core::services::analytics::{Funnel, Stage};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(funnel: Funnel<8> = Funnel::new(Duration::from_secs(60)); {
    black_box(funnel.track(black_box(Stage::First), black_box(b"alice"), now()));
    black_box(funnel.poll_at());
    black_box(funnel.snapshot());
});
