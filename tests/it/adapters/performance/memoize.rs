//! `#[memoize]`.
