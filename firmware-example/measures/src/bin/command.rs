//! Command lines alone: splitting, and the list of what may run.
#![no_std]
#![no_main]

use daur_core::security::input::command::AllowList;
use daur_measures::{black_box, image};

image!(buffer: [u8; 128] = [0; 128]; {
    black_box(AllowList::DEFAULT.admit(black_box("ls -l"), buffer).is_ok());
});
