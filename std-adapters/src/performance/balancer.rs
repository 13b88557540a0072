//! Balancing over threads and over endpoints.
