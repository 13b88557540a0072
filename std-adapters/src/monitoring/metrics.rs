//! Counters, gauges and distributions that any thread records into.
