//! Tests of performance.

mod cache;
