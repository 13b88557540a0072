//! Limits and trend of a system's figures.
