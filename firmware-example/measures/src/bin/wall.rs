//! Wall time that somebody tells, alone.
#![no_std]
#![no_main]

use daur_core::time::UnixTime;
use daur_core::time::wall::{Config, Wall};
use daur_measures::{black_box, image, now};

image!(wall: Wall = Wall::new(Config::DEFAULT); {
    black_box(wall.set(black_box(UnixTime::from_millis(9)), now()).is_ok());
    black_box(wall.unix(now()));
});
