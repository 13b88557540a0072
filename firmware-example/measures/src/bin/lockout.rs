//! The lockout alone: eight names.
#![no_std]
#![no_main]

use daur_core::security::lockout::{Config, Lockout};
use daur_measures::{black_box, image, now};

image!(lockout: Lockout<8> = Lockout::new(Config::DEFAULT, b"bytes of an entropy source"); {
    black_box(lockout.check(black_box("ada"), now()).is_ok());
    black_box(lockout.on_failure(black_box("ada"), now()).is_some());
    lockout.on_success(black_box("ada"), now());
    lockout.poll(now());
    black_box(lockout.poll_at());
    black_box(lockout.snapshot(now()).locked);
});
