//! The audit alone: a chain that appends, the last records of it, their spelling.
#![no_std]
#![no_main]

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Chain, Event, Filter, Kind, Log, MAX_LEN, first_key};
use daur_measures::{black_box, image, now};

image!(log: Option<Log<4>> = None; {
    if let Ok(device) = DeviceId::new(black_box("node-1")) {
        let boot = BootId(black_box(1));
        let first_key = first_key(&black_box([7; 32]), boot, black_box(9));
        let log = log.get_or_insert_with(|| Log::new(Chain::new(device, boot, first_key)));
        let event = Event::command(black_box("alice"), black_box("set-interval 500"), black_box(true));
        while black_box(log.append(&event, now(), None).is_ok()) {}
        let logins = Filter { kind: Some(Kind::Login), ..Filter::ALL };
        black_box(log.find(logins).count());
        while let Some(entry) = log.take() {
            black_box(entry.encode(&mut [0; MAX_LEN]));
        }
        black_box(log.poll(now(), None));
        black_box(log.snapshot());
    }
});
