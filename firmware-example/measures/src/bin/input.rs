//! The checks of what comes from outside: commands, paths, mail addresses, texts.
#![no_std]
#![no_main]

use daur_core::security::input::command::{AllowList, DenyList};
use daur_core::security::input::{email, path, sanitize};
use daur_measures::{black_box, image};

image!(buffer: [u8; 128] = [0; 128]; {
    black_box(AllowList::DEFAULT.admit(black_box("ls -l"), buffer).is_ok());
    black_box(DenyList::DEFAULT.admit(black_box("ls -l"), buffer).is_ok());
    black_box(path::check(black_box("a/b"), &path::Rules::DEFAULT, buffer).is_ok());
    black_box(email::check(black_box("a@b.org"), &black_box(email::Rules::DEFAULT)).is_ok());
    black_box(sanitize::sanitize(black_box("text"), &black_box(sanitize::Rules::DEFAULT), buffer).cut);
});
