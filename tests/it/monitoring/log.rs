//! The ring of lines.
