//! Events in SQLite, and their report.
