//! A trace alone, of a limiter's checks: recorded, dropped when it is full, and written as a file.
#![no_std]
#![no_main]

use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::trace::{Answer, Config, Head, Input, Setup, Trace, Writer};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::text::Text;
use daur_measures::{black_box, image, now};

image!(trace: Trace<1024> = Trace::new(Config::DEFAULT); {
    let mut limiter = black_box(Limiter::new(limiter::Config::DEFAULT));
    trace.declare(0, Text::cut("commands"), &Setup::Limiter { config: limiter::Config::DEFAULT }, now());
    let checked = Answer::from(limiter.check(now()));
    trace.record(0, black_box(&Input::Check { n: 1 }), &checked, &limiter, now());
    if let Ok(device) = DeviceId::new(black_box("node-1")) {
        let mut out = |byte| {
            black_box(byte);
        };
        let mut file = Writer::begin(&Head { device, boot: BootId(1), every: 1 }, &mut out);
        file.drain(trace);
        file.end(trace);
    }
    black_box(trace.snapshot());
});
