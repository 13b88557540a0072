//! Health checks alone: four of them.
#![no_std]
#![no_main]

use daur_core::reliability::health::{CheckConfig, Config, Health, Outcome};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(health: Health<4> = Health::new(Config::DEFAULT); {
    if let Ok(check) = health.add(black_box("sensor"), CheckConfig::READINESS) {
        black_box(health.report(check, black_box(Outcome::Pass), Duration::ZERO, now()));
    }
    if let Some(due) = health.begin(now()) {
        black_box(health.finish(due, black_box(Outcome::Fail), now()));
    }
    black_box((health.poll(now()), health.poll_at()));
    black_box((health.is_live(), health.is_ready()));
});
