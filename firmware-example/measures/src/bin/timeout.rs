//! Time limits alone.
#![no_std]
#![no_main]

use daur_core::reliability::timeout::{Config, Timeout};
use daur_core::time::{Duration, Instant};
use daur_measures::{black_box, image, now};

const CONFIG: Config = Config { total: Some(Duration::from_secs(5)), attempt: Some(Duration::from_secs(2)) }.checked();

image!(timeout: Timeout = Timeout::new(CONFIG, Instant::ZERO); {
    if black_box(timeout.start_attempt(now())).is_ok() {
        black_box(timeout.poll(now()).is_ok());
    }
    black_box(timeout.poll_at());
});
