//! How short memory is, and who gives some back.
