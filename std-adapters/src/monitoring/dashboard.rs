//! Everything at one moment, and its exports.
