//! A call through a closed breaker beside `failsafe`, `recloser` and the bare call: admission, a call that does
//! almost nothing, a report of success. And the same as a `tower` service beside `tower-resilience`.
//!
//! The machine alone takes no lock, since its owner decides on one; `SharedBreaker` is for many threads, as
//! the peers are.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use daur_core::reliability::breaker::{Breaker, Config};
use daur_core::time::Instant;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::layers::{BreakerLayer, InnerLayer};
use failsafe::CircuitBreaker;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

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
    compare(options, "breaker: closed call of a tower service", services());
}

/// The answer of a future that waits for nothing.
fn answer<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}

async fn call<S: Service<u32>>(service: &mut S, n: u32) -> Result<S::Response, S::Error> {
    service.ready().await?.call(n).await
}

fn services() -> Vec<Subject> {
    let bare = || service_fn(async |n: u32| Ok::<u32, Infallible>(black_box(n)));
    let breaker = Arc::new(SharedBreaker::new(Config::DEFAULT));
    let mut ours = ServiceBuilder::new().layer(BreakerLayer::new(breaker)).layer(InnerLayer).service(bare());
    let mut theirs = CircuitBreakerLayer::builder().build().expect("a valid config").layer(bare());
    let mut without = bare();
    vec![
        subject("daur BreakerLayer", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(answer(call(&mut ours, n)));
            }
        }),
        subject("the bare service", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(answer(call(&mut without, n)));
            }
        }),
        subject("tower-resilience-circuitbreaker", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(answer(call(&mut theirs, n)));
            }
        }),
    ]
}

fn with_peers(ours: Subject) -> Vec<Subject> {
    let failsafe = failsafe::Config::new().build();
    let recloser = recloser::Recloser::custom().build();
    vec![
        ours,
        subject("the bare call", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(Ok::<u32, ()>(black_box(n)));
            }
        })
        .above(3.0),
        subject("failsafe", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(failsafe.call(|| Ok::<u32, ()>(black_box(n))));
            }
        })
        .target(0.15),
        subject("recloser", CALLS, move || {
            for n in 0..CALLS {
                _ = black_box(recloser.call(|| Ok::<u32, ()>(black_box(n))));
            }
        }),
    ]
}
