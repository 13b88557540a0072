//! Tests of performance.
