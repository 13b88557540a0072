//! What the tests share.

/// The README's examples compile and hold.
#[cfg(all(doctest, feature = "host"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
