//! The seam to hardware.

pub mod clock;
