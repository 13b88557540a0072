//! The cache for many threads and tasks: each answer is computed once.
