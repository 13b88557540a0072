//! A slice worked on by several threads at once.
