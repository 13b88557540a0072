//! What the attribute and the monitor measure.
