//! What the hot operations cost beside those of other crates, as ratios from one run.
//!
//! `cargo bench -p daur-tests --no-default-features --features peers [-- [--quick] [FILTER]]`

mod breaker;
mod cache;
mod harness;
mod histogram;
mod input;
mod limiter;
mod password;
mod retry;
mod token;

fn main() {
    let options = harness::Options::from_args();
    println!("Fastest of repeats taken in turns, one thread; ratio = ours / theirs.");
    cache::run(&options);
    breaker::run(&options);
    limiter::run(&options);
    retry::run(&options);
    histogram::run(&options);
    password::run(&options);
    token::run(&options);
    input::run(&options);
}
