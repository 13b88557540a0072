//! Command lines alone: splitting, and the list of what may not run.
#![no_std]
#![no_main]

use daur_core::security::input::command::DenyList;
use daur_measures::{black_box, image};

image!(buffer: [u8; 128] = [0; 128]; {
    black_box(DenyList::DEFAULT.admit(black_box("ls -l"), buffer).is_ok());
});
