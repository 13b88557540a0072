//! A PIN with a pepper: in steps, and how many iterations there is time for.
#![no_std]
#![no_main]

use daur_core::security::keys::same;
use daur_core::security::password::{Pepper, calibrate};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

image!(salt: [u8; 16] = [0; 16]; {
    let iterations = calibrate(black_box(Duration::from_millis(500)), now);
    if let Ok(pepper) = Pepper::new(&black_box([7; 32]))
        && let Ok(mut slowly) = pepper.pbkdf2(black_box("4711"), salt, iterations)
    {
        while slowly.step(100).is_none() {}
        black_box(slowly.step(0).is_some_and(|hash| same(&hash, &[0; 32])));
    }
});
