//! Tokens signed and verified: what a device that issues them too links.
#![no_std]
#![no_main]

use daur_core::id::DeviceId;
use daur_core::security::token::{Claims, Config, Keys};
use daur_measures::{black_box, image};

image!(buffer: [u8; 512] = [0; 512]; {
    if let Ok(device) = DeviceId::new(black_box("node-1"))
        && let Ok(keys) = Keys::<1>::new(Config::command(&device), None, &black_box([7; 32]))
    {
        let claims = black_box(Claims::default());
        if let Ok(token) = keys.sign(&claims, buffer) {
            black_box(keys.verify(token, None).is_ok());
        }
    }
});
