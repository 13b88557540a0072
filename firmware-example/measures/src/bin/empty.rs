//! Nothing: what start-up alone weighs, to be subtracted from the others.
#![no_std]
#![no_main]

use daur_measures::{black_box, image, now};

image!(machine: () = (); {
    black_box((&mut *machine, now()));
});
