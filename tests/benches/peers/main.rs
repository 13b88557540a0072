//! What the hot operations cost beside those of other crates, as ratios from one run.
//!
//! `cargo bench -p daur-tests --no-default-features --features peers [-- [--quick] [FILTER]]`

mod balancer;
mod batch;
mod breaker;
mod cache;
mod errors;
mod harness;
mod histogram;
mod input;
mod limiter;
mod log;
mod metrics;
mod notify;
mod password;
mod pool;
mod results;
mod retry;
mod scheduler;
mod shared_cache;
mod token;
mod traces;

fn main() {
    let options = harness::Options::from_args();
    println!("Fastest of repeats taken in turns, one thread; ratio = ours / theirs.");
    cache::run(&options);
    traces::run(&options);
    shared_cache::run(&options);
    pool::run(&options);
    balancer::run(&options);
    batch::run(&options);
    breaker::run(&options);
    limiter::run(&options);
    retry::run(&options);
    metrics::run(&options);
    histogram::run(&options);
    errors::run(&options);
    log::run(&options);
    scheduler::run(&options);
    notify::run(&options);
    results::run(&options);
    password::run(&options);
    token::run(&options);
    input::run(&options);
}
