//! What comes from outside, before anything is done with it.

pub mod command;
