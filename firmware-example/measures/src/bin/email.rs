//! Addresses of mail alone, by all rules.
#![no_std]
#![no_main]

use daur_core::security::input::email::{Rules, check};
use daur_measures::{black_box, image};

image!(passed: bool = false; {
    *passed = check(black_box("a@b.org"), &black_box(Rules::DEFAULT)).is_ok();
});
