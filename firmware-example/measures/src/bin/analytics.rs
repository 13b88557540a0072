//! The analytics alone: four events, four properties, two metrics, users in 64 registers.
#![no_std]
#![no_main]

use daur_core::services::analytics::{Analytics, Config};
use daur_measures::{black_box, image, now};

image!(analytics: Analytics<4, 4, 2, 64> = Analytics::new(Config::DEFAULT); {
    analytics.track_event(black_box("open"), black_box(&[("user", "alice"), ("page", "status")]), now());
    black_box(analytics.track_metric(black_box("items"), black_box(3), now()).is_ok());
    black_box(analytics.properties().next().is_some());
    black_box(analytics.metrics().next().is_some());
    black_box(analytics.snapshot());
    black_box(analytics.poll_at());
});
