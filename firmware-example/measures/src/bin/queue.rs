//! The queue alone: 16 places for functions.
#![no_std]
#![no_main]

use daur_core::performance::queue::{Config, Priority, Queue};
use daur_measures::{black_box, image, now};

fn job() {
    black_box(now());
}

image!(queue: Queue<fn(), 16> = Queue::new(Config::DEFAULT); {
    black_box(queue.try_push(black_box(job), black_box(Priority::Normal), now()).is_ok());
    if let Some(job) = black_box(queue.pop(now())) {
        job();
    }
    black_box(queue.snapshot());
});
