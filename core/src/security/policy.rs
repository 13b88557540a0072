//! All limits in one value.

use core::fmt;

use super::input::command::AllowList;
use super::{lockout, password};
use crate::time::Duration;

/// Holds what is allowed, for how long and how often: the seed's `SecurityPolicy`.
///
/// Borrowed and `const` on a device; on a host its lists live as long as the program.
///
/// # Rules
/// 1. [`Policy::validate`] names the first setting that cannot be, by its field.
///
/// # Example
/// ```
/// use daur_core::security::policy::Policy;
///
/// const POLICY: Policy = Policy { api_rate: 50, ..Policy::DEFAULT };
/// assert!(POLICY.validate().is_ok());
/// assert_eq!(Policy { iterations: 1, ..POLICY }.validate().unwrap_err().field, "iterations");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "SecurityPolicy")]
pub struct Policy<'a> {
    /// Rules of new passwords.
    pub password: password::Rules,
    /// Iterations of new hashes. Default 600,000.
    pub iterations: u32,
    /// How long a token lives. Default 1 h; at most 24 h.
    pub token_lifetime: Duration,
    /// What failed logins lead to.
    pub lockout: lockout::Config,
    /// API requests a second, for each user. Default 10.
    pub api_rate: u32,
    /// API requests at once, for each user. Default 20.
    pub api_burst: u32,
    /// Logins a minute, from each address. Default 5.
    pub login_rate: u32,
    /// What may run.
    pub commands: AllowList<'a>,
    /// The longest command line, in bytes. Default 1,024.
    pub max_command_len: usize,
    /// The largest body of a request, in bytes. Default 64 KiB.
    pub max_body: usize,
}

/// Names a setting that cannot be, and says what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.field, self.allowed)
    }
}

impl core::error::Error for ConfigError {}

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

impl Policy<'_> {
    /// Whether the settings can be.
    ///
    /// # Errors
    /// [`ConfigError`]: the first that cannot.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        let secs = self.token_lifetime.as_secs();
        let wrong = if self.password.min_len < 1 || self.password.min_len > self.password.max_len {
            ("password.min_len", "at least 1 and at most password.max_len")
        } else if self.password.max_len < 64 {
            ("password.max_len", "at least 64")
        } else if self.iterations < password::MIN_ITERATIONS || self.iterations > password::MAX_ITERATIONS {
            ("iterations", "between 1000 and 10000000")
        } else if secs == 0 || secs > 24 * 3_600 {
            ("token_lifetime", "between 1s and 24h")
        } else if self.lockout.validate().is_err() {
            ("lockout", "at least 1 attempt and a first lock above 0 and at most the longest")
        } else if self.api_rate == 0 || self.api_burst == 0 {
            ("api_rate and api_burst", "at least 1")
        } else if self.login_rate == 0 {
            ("login_rate", "at least 1")
        } else if self.max_command_len == 0 || self.max_command_len > self.max_body {
            ("max_command_len", "at least 1 and at most max_body")
        } else {
            return Ok(());
        };
        Err(ConfigError { field: wrong.0, allowed: wrong.1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_setting_that_cannot_be_is_named() {
        const GOOD: Policy<'_> = Policy::DEFAULT;
        assert_eq!(GOOD.validate(), Ok(()));
        for (policy, field) in [
            (Policy { password: password::Rules { min_len: 0, ..GOOD.password }, ..GOOD }, "password.min_len"),
            (Policy { password: password::Rules { max_len: 63, ..GOOD.password }, ..GOOD }, "password.max_len"),
            (Policy { iterations: 999, ..GOOD }, "iterations"),
            (Policy { token_lifetime: Duration::from_secs(86_401), ..GOOD }, "token_lifetime"),
            (Policy { lockout: lockout::Config { max_attempts: 0, ..GOOD.lockout }, ..GOOD }, "lockout"),
            (Policy { api_burst: 0, ..GOOD }, "api_rate and api_burst"),
            (Policy { login_rate: 0, ..GOOD }, "login_rate"),
            (Policy { max_command_len: 70_000, ..GOOD }, "max_command_len"),
        ] {
            assert_eq!(policy.validate().unwrap_err().field, field);
        }
    }
}
