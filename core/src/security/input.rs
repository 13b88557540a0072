//! What comes from outside, before anything is done with it: the seed's `InputValidator`.
//!
//! * [`command`]: command lines that need no shell, and the list of those that may run.
//! * [`path`]: paths that stay where they may be.
//! * [`email`]: addresses of mail.
//! * [`sanitize`]: texts made harmless to show and to keep.

#![doc(alias = "InputValidator")]

pub mod command;
pub mod email;
pub mod path;
pub mod sanitize;
