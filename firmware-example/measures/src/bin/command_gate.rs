//! The gate of a device's command link alone: rate, signature, replay, permission, audit.
#![no_std]
#![no_main]

use daur_core::id::DeviceId;
use daur_core::reliability::limiter;
use daur_core::security::audit::Event;
use daur_core::security::manager::{At, CommandGate};
use daur_core::security::permission::Permissions;
use daur_measures::{black_box, image, now};

image!(gate: Option<CommandGate> = None; {
    if let Ok(device) = DeviceId::new(black_box("node-1"))
        && let Ok(made) = CommandGate::try_new(&device, black_box(9), &black_box([7; 32]), limiter::Config::DEFAULT)
    {
        let gate = gate.insert(made);
        let audit = &mut |event: &Event, _: &At<'_>| {
            black_box(event);
        };
        let at = At { source: black_box("uart"), now: now(), unix: None };
        let read = |text: &str| if text == "report" { Ok(((), Permissions::READ)) } else { Err(()) };
        black_box(gate.admit(black_box("a.b.c"), read, audit, &at).is_ok());
    }
});
