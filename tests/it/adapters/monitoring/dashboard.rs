//! One value of everything, and its exports.
