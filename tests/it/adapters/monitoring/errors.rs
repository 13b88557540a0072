//! Errors, events and panics that are caught.
