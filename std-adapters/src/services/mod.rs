//! Services that keep something on disk.
