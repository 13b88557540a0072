//! Paths alone.
#![no_std]
#![no_main]

use daur_core::security::input::path::{Rules, check};
use daur_measures::{black_box, image};

image!(buffer: [u8; 128] = [0; 128]; {
    black_box(check(black_box("a/b"), &Rules { decodings: black_box(1), ..Rules::DEFAULT }, buffer).is_ok());
});
