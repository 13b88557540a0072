//! The log of a host.
