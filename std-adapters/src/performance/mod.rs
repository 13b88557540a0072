//! Doing less work, on a host.
