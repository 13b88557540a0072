//! Signed commands alone: keys, verification, and the gate that admits each once.
#![no_std]
#![no_main]

use daur_core::id::DeviceId;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{Config, Gate, Keys};
use daur_measures::{black_box, image};

image!(gate: Gate = Gate::new(9); {
    if let Ok(device) = DeviceId::new(black_box("node-1"))
        && let Ok(keys) = Keys::<1>::new(Config::command(&device), None, &black_box([7; 32]))
        && let Ok(claims) = keys.verify(black_box("a.b.c"), None)
    {
        black_box(gate.admit(&claims, Permissions::WRITE).is_ok());
    }
});
