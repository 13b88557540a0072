//! A call through a closed breaker beside `failsafe` and `recloser`: admission, a call that does almost
//! nothing, a report of success.
//!
//! The machine alone takes no lock, since its owner decides on one; behind a `std::sync::Mutex`, its
//! time read under it, it can be shared as the peers can.

use std::hint::black_box;
use std::sync::Mutex;
use std::time;

use daur_core::reliability::breaker::{Breaker, Config};
use daur_core::time::{Duration, Instant};
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

    let shared = Mutex::new(Breaker::new(Config::DEFAULT));
    let now = Instant::from_secs(1);
    let locked = subject("daur (behind a std Mutex, locked twice)", CALLS, move || {
        for n in 0..CALLS {
            let permit = shared.lock().expect("not poisoned").try_acquire(black_box(now));
            if let Ok(permit) = permit {
                black_box(n);
                black_box(shared.lock().expect("not poisoned").on_success(permit, black_box(now)));
            }
        }
    });
    compare(options, "breaker: closed call, shared", with_peers(locked));

    let shared = Mutex::new(Breaker::new(Config::DEFAULT));
    let epoch = time::Instant::now();
    let clocked = subject("daur (behind a std Mutex, clock read twice)", CALLS, move || {
        let now = || Instant::ZERO + Duration::from(epoch.elapsed());
        for n in 0..CALLS {
            let permit = {
                let mut breaker = shared.lock().expect("not poisoned");
                breaker.try_acquire(now())
            };
            if let Ok(permit) = permit {
                black_box(n);
                let mut breaker = shared.lock().expect("not poisoned");
                black_box(breaker.on_success(permit, now()));
            }
        }
    });
    compare(options, "breaker: closed call, shared, real clock", with_peers(clocked));
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
