//! Jobs that wait for their turn, on a device or in front of a pool.
