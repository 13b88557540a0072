//! How the machine is doing: samples, limits with hysteresis, trend.
