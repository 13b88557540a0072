//! `#[parallelize]`.
