//! The host example as a library.
