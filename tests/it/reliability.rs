//! Tests of reliability.
