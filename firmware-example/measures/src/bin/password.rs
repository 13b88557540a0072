//! Passwords alone: PHC text, PBKDF2, comparison.
#![no_std]
#![no_main]

use daur_core::security::password;
use daur_measures::{black_box, image};

image!(salt: [u8; 16] = [0; 16]; {
    if let Ok(stored) = password::hash(black_box("correct horse"), salt, black_box(1_000)) {
        black_box(password::verify(black_box("correct horse"), stored.as_str()).is_ok());
    }
});
