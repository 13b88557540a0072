//! Retries beside `backon`: what a call that succeeds at once costs, and what ten waits take to compute.
//!
//! `retry_blocking` reads the clock before the first call, since `max_elapsed` counts from there; `backon`'s limit
//! on all delays leaves the calls out and needs none. Our waits hold at `max_delay` after the jitter, theirs
//! add the jitter on top.

use std::hint::black_box;

use backon::{BackoffBuilder, BlockingRetryable, ExponentialBuilder};
use daur_core::reliability::retry::{Attempts, Class, Config, Decision, Jitter, Retry};
use daur_core::time::Instant;
use daur_std::reliability::retry::retry_blocking;

use crate::harness::{Options, compare, subject};

const CALLS: u32 = 16_384;
/// Waits of one run of retries.
const WAITS: u32 = 10;

pub(crate) fn run(options: &Options) {
    let first = vec![
        subject("daur retry_blocking", CALLS, || {
            for n in 0..CALLS {
                _ = black_box(retry_blocking(
                    Config::DEFAULT,
                    |_: &()| Class::Transient,
                    || Ok::<u32, ()>(black_box(n)),
                ));
            }
        }),
        subject("backon", CALLS, || {
            for n in 0..CALLS {
                _ = black_box((|| Ok::<u32, ()>(black_box(n))).retry(ExponentialBuilder::default()).call());
            }
        }),
    ];
    compare(options, "retry: a call that succeeds at once", first);

    let config = Config { max_attempts: Attempts::Forever, jitter: Jitter::Full, ..Config::DEFAULT };
    let mut seed = 0;
    let waits = vec![
        subject("daur (sans-IO, full jitter)", CALLS * WAITS, move || {
            for _ in 0..CALLS {
                seed += 1;
                let mut retry = Retry::new(black_box(config), seed, Instant::ZERO);
                let mut now = Instant::from_secs(1);
                for _ in 0..WAITS {
                    if let Decision::Retry { after } = retry.on_failure(Class::Transient, now) {
                        now += after;
                    }
                }
                black_box(now);
            }
        }),
        subject("backon (jitter)", CALLS * WAITS, || {
            for _ in 0..CALLS {
                let builder = ExponentialBuilder::default().with_jitter().with_max_times(WAITS as usize);
                for wait in black_box(builder).build() {
                    black_box(wait);
                }
            }
        }),
    ];
    compare(options, "retry: the next wait, ten in a row", waits);
}
