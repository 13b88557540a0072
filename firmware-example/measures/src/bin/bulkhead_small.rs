//! The bulkhead alone, without a line: so many at once, and no more.
#![no_std]
#![no_main]

use daur_core::reliability::bulkhead::{Bulkhead, Config};
use daur_measures::{black_box, image, now};

image!(bulkhead: Bulkhead = Bulkhead::new(Config::DEFAULT); {
    if let Ok(permit) = bulkhead.try_acquire(now()) {
        black_box(bulkhead.release(permit, now()));
    }
});
