//! Threads that run jobs.
