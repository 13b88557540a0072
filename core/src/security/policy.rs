//! All limits in one value.

use super::input::command::AllowList;
use super::{lockout, password};
use crate::time::Duration;

/// Holds what is allowed, for how long and how often: the seed's `SecurityPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// Rules of new passwords.
    pub password: password::Rules,
    /// Iterations of new hashes.
    pub iterations: u32,
    /// How long a token lives. Default 1 h.
    pub token_lifetime: Duration,
    /// Failed logins and what follows (`max_attempts` is the seed's `max_login_attempts`).
    pub lockout: lockout::Config,
    /// API requests a second and user. Default 10.
    pub api_rate: u32,
    /// API requests at once. Default 20.
    pub api_burst: u32,
    /// Logins a minute and address. Default 5.
    pub login_rate: u32,
    /// What may run.
    pub commands: AllowList<'a>,
    /// The longest command line. Default 1,024 bytes.
    pub max_command_len: usize,
    /// The largest request body. Default 64 KiB.
    pub max_body: usize,
}

impl Policy<'static> {
    /// The defaults above.
    pub const DEFAULT: Self = Self {
        password: password::Rules::DEFAULT,
        iterations: password::DEFAULT_ITERATIONS,
        token_lifetime: Duration::from_secs(3_600),
        lockout: lockout::Config::DEFAULT,
        api_rate: 10,
        api_burst: 20,
        login_rate: 5,
        commands: AllowList::DEFAULT,
        max_command_len: 1_024,
        max_body: 64 * 1_024,
    };
}
