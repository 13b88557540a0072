//! The memory of the process, its limit and its pressure.
