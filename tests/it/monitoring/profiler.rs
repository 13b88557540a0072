//! Operations and their times.
