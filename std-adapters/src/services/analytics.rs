//! Events kept in SQLite, and what they say.
