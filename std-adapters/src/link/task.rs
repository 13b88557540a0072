//! One device: connect, read, acknowledge, connect again.
