//! A call through a closed breaker beside `failsafe` and `recloser`: admission, a call that does almost
//! nothing, a report of success.
//!
//! The machine alone takes no lock, since its owner decides on one; `SharedBreaker` is for many threads, as
//! the peers are.

use std::hint::black_box;

use daur_core::reliability::breaker::{Breaker, Config};
use daur_core::time::Instant;
use daur_std::reliability::breaker::SharedBreaker;
use failsafe::CircuitBreaker;

use crate::harness::{Options, Subject, compare, subject};

const CALLS: u32 = 16_384;

pub(crate) fn run(options: &Options) {
    let machine = || {
        let mut breaker = Breaker::new(Config::DEFAULT);
        let now = Instant::from_secs(1);
        subject("daur (machine, time passed in)", CALLS, move || {
            for n in 0..CALLS {
                let now = black_box(now);
                if let Ok(permit) = breaker.try_acquire(now) {
                    black_box(n);
                    black_box(breaker.on_success(permit, now));
                }
            }
        })
    };
    compare(options, "breaker: closed call, machine alone", with_peers(machine()));

    let shared = SharedBreaker::new(Config::DEFAULT);
    let shared = subject("daur SharedBreaker", CALLS, move || {
        for n in 0..CALLS {
            _ = black_box(shared.call(|| Ok::<u32, ()>(black_box(n))));
        }
    });
    compare(options, "breaker: closed call, shared by threads", with_peers(shared));
}

fn with_peers(ours: Subject) -> Vec<Subject> {
    let failsafe = failsafe::Config::new().build();
    let recloser = recloser::Recloser::custom().build();
    vec![
        ours,
        subject("failsafe", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(failsafe.call(|| Ok::<u32, ()>(black_box(n))));
            }
        }),
        subject("recloser", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(recloser.call(|| Ok::<u32, ()>(black_box(n))));
            }
        }),
    ]
}
