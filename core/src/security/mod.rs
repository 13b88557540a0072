//! Who may do what.

pub mod audit;
pub mod input;
pub mod keys;
pub mod lockout;
pub mod password;
pub mod permission;
pub mod policy;
pub mod token;
