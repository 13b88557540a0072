//! Events and metrics, counted within bounds.
