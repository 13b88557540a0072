//! The state of everything, as one value.
