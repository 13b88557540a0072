//! The bulkhead alone, with a line of four.
#![no_std]
#![no_main]

use daur_core::reliability::bulkhead::{Bulkhead, Config, Entry};
use daur_measures::{black_box, image, now};

image!(bulkhead: Bulkhead<4> = Bulkhead::new(Config { max_concurrent: 2, max_waiting: 4, max_wait: None }); {
    match bulkhead.enter(None, now()) {
        Ok(Entry::Go(permit)) => _ = black_box(bulkhead.release(permit, now())),
        Ok(Entry::Wait(ticket)) => {
            if let Ok(Entry::Wait(ticket)) = bulkhead.claim(ticket, None, now()) {
                black_box(bulkhead.leave(ticket, now()));
            }
        }
        Err(refused) => _ = black_box(refused),
    }
});
