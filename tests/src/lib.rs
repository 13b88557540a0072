//! What the tests share.

pub mod fuzz;
pub mod lognormal;
pub mod traces;

/// The README's examples compile and hold.
#[cfg(all(doctest, feature = "host"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// So does the example of core's own README.
#[cfg(doctest)]
#[doc = include_str!("../../core/README.md")]
pub struct CoreReadme;
