//! What differs between the three chips, under the same names: each file has the clock's rate and its timer, the serial
//! port, and on the board what is known of a reset.
//!
//! Registers are named as in the chip's reference manual, and used directly: the example needs some 25 of a chip, which
//! is less than a peripheral access crate costs to build, and what QEMU models of a chip is less than what a HAL waits for.

#[cfg(daur_chip = "nrf51")]
mod nrf51;
#[cfg(daur_chip = "nrf51")]
pub use nrf51::*;

#[cfg(daur_chip = "stm32f1")]
mod stm32f1;
#[cfg(daur_chip = "stm32f1")]
pub use stm32f1::*;

#[cfg(daur_chip = "stm32f4")]
mod stm32f4;
#[cfg(daur_chip = "stm32f4")]
pub use stm32f4::*;

#[cfg(any(daur_chip = "stm32f1", daur_chip = "stm32f4"))]
mod stm32;

/// What the serial port's receiver has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A byte.
    Byte(u8),
    /// A byte that came after one that was not taken in time, and was lost: this one or another.
    Overrun,
}
