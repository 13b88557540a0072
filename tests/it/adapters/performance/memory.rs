//! The memory of a process.
