//! What failed: errors with their causes, `tracing` events and panics.
