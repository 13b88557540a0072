//! The receiving end's order of frames alone.
#![no_std]
#![no_main]

use daur_core::id::BootId;
use daur_core::wire::inbox::{Config, Inbox};
use daur_measures::{black_box, image, now};

image!(inbox: Inbox = Inbox::new(Config::DEFAULT); {
    black_box(inbox.on_frame(black_box(7), black_box(Some(BootId(1))), now()));
    black_box((inbox.ack(), inbox.snapshot()));
});
