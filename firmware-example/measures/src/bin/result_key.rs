//! The key of a result alone: words, a number, settings.
#![no_std]
#![no_main]

use daur_core::services::result_cache::Key;
use daur_measures::{black_box, image};

image!(key: Option<Key> = None; {
    let key_of = Key::builder().list(black_box(&["read", "all"])).number(black_box(7));
    *key = Some(key_of.pairs(black_box(&[("unit", "C"), ("rate", "1")])).finish());
});
