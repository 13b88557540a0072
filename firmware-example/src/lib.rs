//! The parts of a sensor node that touch the chip, each behind a safe and small interface.
//!
//! How the node drives them is in `main.rs`, and with tasks in `bin/embassy.rs`; everything else, from the breaker to the signed
//! commands, is `daur-core` as it runs on the host.
#![no_std]

// The way out of the logs, for whatever links this crate.
#[cfg(daur_board)]
use defmt_rtt as _;
#[cfg(not(daur_board))]
use defmt_semihosting as _;

#[cfg(daur_small)]
pub mod absent;
pub mod board;
pub mod boot;
pub mod chip;
pub mod clock;
pub mod command;
pub mod config;
pub mod device;
pub mod hook;
pub mod idle;
pub mod log;
pub mod node;
pub mod probe;
pub mod reader;
#[cfg(not(daur_board))]
pub mod script;
pub mod sensor;
pub mod stack;
pub mod tally;
pub mod uart;
pub mod watchdog;
