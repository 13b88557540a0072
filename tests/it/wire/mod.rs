//! Tests of wire.

mod decoder;
mod flips;
mod frames;
mod golden;
mod naive;
mod sandwich;
mod skew;
mod slow;
