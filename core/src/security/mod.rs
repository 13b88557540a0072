//! Who may do what: tokens, passwords, commands, lockout, audit.
//!
//! * [`token`]: signed claims: who, what may they, until when; also signed commands to a device.
//! * [`keys`]: the ring of signing keys, HMAC with its key already absorbed, keys derived per device.
//! * [`password`]: PBKDF2 in steps, PHC strings, the rules of a new password.
//! * [`permission`]: what may be granted.
//! * [`input`]: command lines, paths, mail addresses and texts from outside.
//! * [`lockout`]: how often may be guessed.
//! * [`audit`]: what happened, in a chain that shows what was changed.
//! * [`session`]: who is logged in, and until when.
//! * [`policy`]: all limits in one value.
//! * [`manager`]: logins, tokens, rates and inputs decided in one place, each decision audited.

pub mod audit;
pub mod input;
pub mod keys;
pub mod lockout;
pub mod manager;
pub mod password;
pub mod permission;
pub mod policy;
pub mod session;
pub mod token;
