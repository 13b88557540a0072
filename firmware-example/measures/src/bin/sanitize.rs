//! Texts made harmless, alone.
#![no_std]
#![no_main]

use daur_core::security::input::sanitize::{Rules, sanitize};
use daur_measures::{black_box, image};

image!(buffer: [u8; 128] = [0; 128]; {
    black_box(sanitize(black_box("text"), &black_box(Rules::DEFAULT), buffer).cut);
});
