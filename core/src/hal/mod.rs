//! The seam to hardware: clocks made of tick counters or of `embassy-time`, runners over the delays of `embedded-hal`.

pub mod clock;

#[cfg(feature = "embedded-hal-async")]
pub mod asynch;
#[cfg(feature = "embedded-hal")]
pub mod blocking;
