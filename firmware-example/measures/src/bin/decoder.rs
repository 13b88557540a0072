//! The wire's way in alone: decoder and downlink messages.
#![no_std]
#![no_main]

use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK};
use daur_measures::{black_box, image};

image!(decoder: Decoder<MAX_DOWNLINK> = Decoder::new(); {
    let bytes = black_box([1_u8; 16]);
    let mut input = &bytes[..];
    while let Some(payload) = decoder.feed(&mut input) {
        let _ = black_box(Downlink::decode(payload));
    }
});
