//! The wire's way out alone: every kind of record, kept until it is acknowledged.
#![no_std]
#![no_main]

use daur_core::wire::outbox::{Config, Outbox};
use daur_core::wire::record::Record;
use daur_measures::{black_box, image, now};

image!(outbox: Outbox<1024> = Outbox::new(Config::DEFAULT); {
    let record = black_box(Record::Health { live: true, ready: true });
    black_box(outbox.push(&record, now()).is_ok());
    let mut line = [0; 64];
    black_box(outbox.read(&mut line, now()));
    black_box(&line);
    black_box(outbox.ack(black_box(1), now()));
    black_box(outbox.poll(now()));
});
