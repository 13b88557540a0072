//! Tests of wire.
