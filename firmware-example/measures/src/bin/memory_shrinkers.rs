//! The levels of memory, and four who give back.
#![no_std]
#![no_main]

use daur_core::performance::memory::{Config, Monitor, Resize, Share, Shrink, Shrinkers, Usage, shrinkers};
use daur_measures::{black_box, image, now};

static CACHE: Resize<fn(Share) -> u64> = Resize(|keep| black_box(keep.of(64)) as u64);

type Machine = (Monitor, Shrinkers<&'static (dyn Shrink + Sync), 4>);

image!(both: Machine = (Monitor::new(Config::DEFAULT), Shrinkers::new(shrinkers::Config::DEFAULT)); {
    let (monitor, shrinkers) = both;
    black_box(shrinkers.add(black_box("cache"), black_box(0), &CACHE).is_ok());
    black_box(monitor.update(black_box(Usage::new(850, 1_000)), now()));
    black_box(shrinkers.run(monitor, now()));
    black_box(shrinkers.snapshot());
});
