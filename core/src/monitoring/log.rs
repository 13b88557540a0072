//! The last lines that were logged, in memory of fixed size.
