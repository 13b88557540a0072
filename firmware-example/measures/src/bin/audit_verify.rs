//! The other end of an audit chain alone: records read from bytes and verified.
#![no_std]
#![no_main]

use daur_core::security::audit::{Entry, Verifier};
use daur_measures::{black_box, image};

image!(bytes: [u8; 128] = [0; 128]; {
    let mut verifier = Verifier::new(black_box([7; 32]));
    if let Ok(entry) = Entry::decode(black_box(&*bytes)) {
        black_box(verifier.check(&entry).is_ok());
    }
    black_box(verifier.report(None));
});
