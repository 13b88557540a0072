//! Tests of wire.

mod decoder;
mod flips;
mod frames;
mod fuzzed;
mod golden;
mod naive;
mod sandwich;
mod skew;
mod slow;
