//! Series over time in SQLite.
