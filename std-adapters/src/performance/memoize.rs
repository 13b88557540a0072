//! What `#[memoize]` expands to.
