//! The executor: retry, breaker and time limits together.
#![no_std]
#![no_main]

use daur_core::reliability::executor::{Admit, Config, Executor};
use daur_core::reliability::retry::Class;
use daur_measures::{black_box, image, now};

image!(executor: Executor = Executor::new(Config::DEFAULT, 7); {
    let mut run = executor.start(now());
    if let Admit::Go { permit, .. } = executor.admit(&mut run, now()) {
        if black_box(true) {
            executor.on_success(&mut run, permit, now());
        } else {
            let _ = black_box(executor.on_failure(&mut run, permit, Class::Transient, now()));
        }
    }
    black_box(run.finish::<u32, u32>(Ok(1), None, now()).attempts);
});
