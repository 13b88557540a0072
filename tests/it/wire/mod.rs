//! Tests of wire.

mod decoder;
mod flips;
mod golden;
mod naive;
mod sandwich;
