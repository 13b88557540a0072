//! Tests of host.
