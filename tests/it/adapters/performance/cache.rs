//! The shared cache.
