//! What a shell would do with a text, alone.
#![no_std]
#![no_main]

use daur_core::security::input::command::classify;
use daur_measures::{black_box, image};

image!(class: u8 = 0; {
    *class = classify(black_box("ls -l")) as u8;
});
