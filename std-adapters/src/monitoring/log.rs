//! The log: a layer of `tracing` with a queue that accounts for every line.
