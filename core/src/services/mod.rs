//! What a program does beside its work: events counted for its makers.

pub mod analytics;
