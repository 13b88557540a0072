//! All limits in one value.

use core::fmt;

use super::input::command::{self, AllowList, Argv, DenyList};
use super::input::{email, path, sanitize};
use super::{lockout, password, session};
use crate::reliability::limiter;
use crate::time::Duration;

/// The most requests a second that a policy may allow.
pub const MAX_RATE: u32 = 1_000_000;
/// The longest life of a token that a policy may allow.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// The longest address of mail that there can be (RFC 5321).
pub const MAX_EMAIL_LEN: usize = 254;

/// Holds what is allowed, for how long and how often: the seed's `SecurityPolicy`.
///
/// Borrowed and `const` on a device; on a host `security::policy` of `daur-std` reads it from a file and the
/// environment. The [`Manager`](super::manager::Manager) holds it and decides by it.
///
/// # Rules
/// 1. [`Policy::validate`] names the first setting that cannot be, by its field.
/// 2. A command runs only if it is plain, short enough, on `commands` (unless `any_command`) and not on
///    `forbidden_commands`, be it by way of another program.
///
/// # Cost
/// Where it is `const`, what a machine takes of it. Read at run time it is 184 bytes of RAM and 14,652 of flash on thumbv6m
/// (image `policy`), most of which are the default's lists.
///
/// # Errors
/// [`ConfigError`] says which field, and what is allowed.
///
/// # Example
/// ```
/// use daur_core::security::policy::Policy;
///
/// const POLICY: Policy = Policy { api_rate: 50, ..Policy::DEFAULT };
/// const _: () = assert!(POLICY.validate().is_ok());
/// assert_eq!(Policy { iterations: 1, ..POLICY }.validate().unwrap_err().field, "iterations");
///
/// let mut buffer = [0; 64];
/// assert!(POLICY.admit_command("uname -a", &mut buffer).is_ok());
/// assert!(POLICY.admit_command("rm -rf /", &mut buffer).is_err());
/// ```
///
/// # References
/// OWASP ASVS 5; NIST SP 800-63B rev. 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "SecurityPolicy")]
pub struct Policy<'a> {
    /// Rules of new passwords.
    pub password: password::Rules,
    /// Iterations of new hashes. Default 600,000.
    pub iterations: u32,
    /// How long a token lives. Default 1 h; at most [`MAX_TOKEN_LIFETIME`].
    pub token_lifetime: Duration,
    /// How long sessions last, idle and in all. A token is renewed for no longer than that either.
    pub session: session::Config,
    /// What failed logins lead to: the seed's `max_login_attempts` and lockout duration.
    pub lockout: lockout::Config,
    /// API requests a second, for each user. Default 10.
    pub api_rate: u32,
    /// API requests at once, for each user. Default 20.
    pub api_burst: u32,
    /// Logins a minute, from each address. Default 5.
    pub login_rate: u32,
    /// What may run.
    pub commands: AllowList<'a>,
    /// Whether what is not on `commands` may run too: the seed's way, by a list of what is forbidden alone.
    /// Default: no.
    pub any_command: bool,
    /// What may not run, not even by way of another program.
    pub forbidden_commands: DenyList<'a>,
    /// The longest command line, in bytes. Default 1,024.
    pub max_command_len: usize,
    /// Where paths may lead, and how long they may be.
    pub paths: path::Rules<'a>,
    /// Which addresses of mail are taken.
    pub emails: email::Rules,
    /// The longest address of mail, in bytes. Default and most [`MAX_EMAIL_LEN`].
    pub max_email_len: usize,
    /// What texts keep, and how long they may be.
    pub texts: sanitize::Rules,
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
        session: session::Config::DEFAULT,
        lockout: lockout::Config::DEFAULT,
        api_rate: 10,
        api_burst: 20,
        login_rate: 5,
        commands: AllowList::DEFAULT,
        any_command: false,
        forbidden_commands: DenyList::DEFAULT,
        max_command_len: 1_024,
        paths: path::Rules::DEFAULT,
        emails: email::Rules::DEFAULT,
        max_email_len: MAX_EMAIL_LEN,
        texts: sanitize::Rules::DEFAULT,
        max_body: 64 * 1_024,
    };
}

impl Policy<'_> {
    /// Whether the settings can be.
    ///
    /// # Errors
    /// [`ConfigError`]: the first that cannot.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self.logins() {
            Ok(()) => self.inputs(),
            wrong => wrong,
        }
    }

    const fn logins(&self) -> Result<(), ConfigError> {
        let lockout = &self.lockout;
        let lifetime = self.token_lifetime.as_nanos();
        let wrong = if self.password.min_len < 1 || self.password.min_len > self.password.max_len {
            ("password.min_len", "at least 1 and at most password.max_len")
        } else if self.password.max_len < 64 {
            ("password.max_len", "at least 64")
        } else if self.iterations < password::MIN_ITERATIONS || self.iterations > password::MAX_ITERATIONS {
            ("iterations", "between 1000 and 10000000")
        } else if self.token_lifetime.as_secs() == 0 || lifetime > MAX_TOKEN_LIFETIME.as_nanos() {
            ("token_lifetime", "between 1s and 24h")
        } else if self.session.idle.is_zero() {
            ("session.idle", "above 0")
        } else if self.session.absolute.as_nanos() < self.session.idle.as_nanos() {
            ("session.absolute", "at least session.idle")
        } else if self.session.per_user == 0 {
            ("session.per_user", "at least 1")
        } else if self.session.validate().is_err() {
            ("session", "what session::Config allows")
        } else if lockout.max_attempts == 0 || lockout.max_attempts > lockout::MAX_ATTEMPTS {
            ("lockout.max_attempts", "between 1 and 100")
        } else if lockout.first_lock.is_zero() || lockout.first_lock.as_nanos() > lockout.max_lock.as_nanos() {
            ("lockout.first_lock", "above 0 and at most lockout.max_lock")
        } else if lockout.max_lock.as_nanos() > lockout::MAX_LOCK.as_nanos() {
            ("lockout.max_lock", "at most 24h")
        } else if lockout.forget_after.is_zero() {
            ("lockout.forget_after", "above 0")
        } else if lockout.overflow.validate().is_err() {
            ("lockout.overflow", "what limiter::Config allows")
        } else if lockout.validate().is_err() {
            ("lockout", "what lockout::Config allows")
        } else if self.api_rate == 0 || self.api_rate > MAX_RATE {
            ("api_rate", "between 1 and 1000000")
        } else if self.api_burst == 0 {
            ("api_burst", "at least 1")
        } else if self.login_rate == 0 || self.login_rate > MAX_RATE {
            ("login_rate", "between 1 and 1000000")
        } else {
            return Ok(());
        };
        Err(ConfigError { field: wrong.0, allowed: wrong.1 })
    }

    const fn inputs(&self) -> Result<(), ConfigError> {
        let wrong = if self.max_body == 0 {
            ("max_body", "at least 1")
        } else if self.max_command_len == 0 || self.max_command_len > self.max_body {
            ("max_command_len", "at least 1 and at most max_body")
        } else if self.paths.max_len == 0 || self.paths.max_len > self.max_body {
            ("paths.max_len", "at least 1 and at most max_body")
        } else if !all_absolute(self.paths.roots) {
            ("paths.roots", "absolute directories: each begins with /")
        } else if !none_empty(self.paths.forbidden) {
            ("paths.forbidden", "paths or names, none of them empty")
        } else if self.max_email_len == 0 || self.max_email_len > MAX_EMAIL_LEN {
            ("max_email_len", "between 1 and 254")
        } else if self.texts.max_len == 0 || self.texts.max_len > self.max_body {
            ("texts.max_len", "at least 1 and at most max_body")
        } else if !all_names(self.commands.programs) {
            ("commands", "programs by their names, without a directory, none of them empty")
        } else if !none_empty(self.forbidden_commands.programs) {
            ("forbidden_commands", "programs by their names, none of them empty")
        } else {
            return Ok(());
        };
        Err(ConfigError { field: wrong.0, allowed: wrong.1 })
    }

    /// How often each user may ask.
    #[must_use]
    pub const fn api_limit(&self) -> limiter::Config {
        limiter::Config { rate: self.api_rate, period: Duration::from_secs(1), burst: self.api_burst }
    }

    /// How often each address may try to log in.
    #[must_use]
    pub const fn login_limit(&self) -> limiter::Config {
        limiter::Config { rate: self.login_rate, period: Duration::from_secs(60), burst: self.login_rate }
    }

    /// Splits a command line and asks both lists.
    ///
    /// # Errors
    /// [`command::Refusal`]: not plain, or not allowed.
    pub fn admit_command<'b>(&self, line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, command::Refusal> {
        if line.len() > self.max_command_len {
            return Err(command::Invalid::TooLong.into());
        }
        let argv = command::parse(line, buffer)?;
        if !self.any_command {
            self.commands.check(&argv)?;
        }
        self.forbidden_commands.check(&argv)?;
        Ok(argv)
    }
}

const fn all_absolute(mut roots: &[&str]) -> bool {
    while let [first, rest @ ..] = roots {
        if !matches!(first.as_bytes(), [b'/', ..]) {
            return false;
        }
        roots = rest;
    }
    true
}

const fn none_empty(mut names: &[&str]) -> bool {
    while let [first, rest @ ..] = names {
        if first.is_empty() {
            return false;
        }
        names = rest;
    }
    true
}

const fn all_names(mut programs: &[command::Program<'_>]) -> bool {
    while let [first, rest @ ..] = programs {
        if first.name.is_empty() || has_slash(first.name.as_bytes()) {
            return false;
        }
        programs = rest;
    }
    true
}

const fn has_slash(mut name: &[u8]) -> bool {
    while let [first, rest @ ..] = name {
        if *first == b'/' {
            return true;
        }
        name = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Policy<'_> = Policy::DEFAULT;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rule_1_the_first_setting_that_cannot_be_is_named() {
        assert_eq!(GOOD.validate(), Ok(()));
        let (sessions, lockout, program) = (GOOD.session, GOOD.lockout, GOOD.commands.programs[0]);
        for (policy, field) in [
            (Policy { password: password::Rules { min_len: 0, ..GOOD.password }, ..GOOD }, "password.min_len"),
            (Policy { password: password::Rules { min_len: 129, ..GOOD.password }, ..GOOD }, "password.min_len"),
            (Policy { password: password::Rules { max_len: 63, ..GOOD.password }, ..GOOD }, "password.max_len"),
            (Policy { iterations: 999, ..GOOD }, "iterations"),
            (Policy { iterations: 10_000_001, ..GOOD }, "iterations"),
            (Policy { token_lifetime: Duration::from_secs(86_401), ..GOOD }, "token_lifetime"),
            (Policy { token_lifetime: Duration::from_millis(999), ..GOOD }, "token_lifetime"),
            (Policy { session: session::Config { idle: Duration::ZERO, ..sessions }, ..GOOD }, "session.idle"),
            (Policy { session: session::Config { absolute: SECOND, ..sessions }, ..GOOD }, "session.absolute"),
            (Policy { session: session::Config { per_user: 0, ..sessions }, ..GOOD }, "session.per_user"),
            (Policy { lockout: lockout::Config { max_attempts: 0, ..lockout }, ..GOOD }, "lockout.max_attempts"),
            (Policy { lockout: lockout::Config { max_lock: SECOND, ..lockout }, ..GOOD }, "lockout.first_lock"),
            (Policy { lockout: lockout::Config { max_attempts: 101, ..lockout }, ..GOOD }, "lockout.max_attempts"),
            (
                Policy { lockout: lockout::Config { max_lock: Duration::from_secs(86_401), ..lockout }, ..GOOD },
                "lockout.max_lock",
            ),
            (
                Policy { lockout: lockout::Config { forget_after: Duration::ZERO, ..lockout }, ..GOOD },
                "lockout.forget_after",
            ),
            (Policy { api_rate: 0, ..GOOD }, "api_rate"),
            (Policy { api_rate: MAX_RATE + 1, ..GOOD }, "api_rate"),
            (Policy { api_burst: 0, ..GOOD }, "api_burst"),
            (Policy { login_rate: 0, ..GOOD }, "login_rate"),
            (Policy { max_body: 0, ..GOOD }, "max_body"),
            (Policy { max_command_len: 70_000, ..GOOD }, "max_command_len"),
            (Policy { paths: path::Rules { max_len: 0, ..GOOD.paths }, ..GOOD }, "paths.max_len"),
            (Policy { paths: path::Rules { roots: &["/srv", "var"], ..GOOD.paths }, ..GOOD }, "paths.roots"),
            (Policy { paths: path::Rules { forbidden: &[""], ..GOOD.paths }, ..GOOD }, "paths.forbidden"),
            (Policy { max_email_len: 255, ..GOOD }, "max_email_len"),
            (Policy { texts: sanitize::Rules { max_len: 0, ..GOOD.texts }, ..GOOD }, "texts.max_len"),
            (Policy { forbidden_commands: DenyList { programs: &["rm", ""] }, ..GOOD }, "forbidden_commands"),
            (
                Policy { commands: AllowList { programs: &[command::Program { name: "/bin/ls", ..program }] }, ..GOOD },
                "commands",
            ),
        ] {
            assert_eq!(policy.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn every_limit_that_a_valid_policy_gives_is_valid() {
        for rate in [1, MAX_RATE] {
            let policy = Policy { api_rate: rate, login_rate: rate, ..GOOD };
            assert_eq!(policy.validate(), Ok(()));
            assert_eq!(policy.api_limit().validate(), Ok(()));
            assert_eq!(policy.login_limit().validate(), Ok(()));
        }
    }

    #[test]
    fn rule_2_a_command_passes_both_lists_and_the_length() {
        let admit = |policy: Policy<'_>, line: &str| policy.admit_command(line, &mut [0; 128]).map(|_| ());
        assert_eq!(admit(GOOD, "uname -a"), Ok(()));
        assert_eq!(admit(GOOD, "git log"), Err(command::Forbidden::Program.into()));
        let any = Policy { any_command: true, ..GOOD };
        assert_eq!(admit(any, "git log"), Ok(()));
        assert_eq!(admit(any, "env rm -rf x"), Err(command::Forbidden::Program.into()));
        let both = Policy { forbidden_commands: DenyList { programs: &["uname"] }, ..GOOD };
        assert_eq!(admit(both, "uname -a"), Err(command::Forbidden::Program.into()));
        assert_eq!(admit(Policy { max_command_len: 7, ..GOOD }, "uname -a"), Err(command::Invalid::TooLong.into()));
        assert_eq!(admit(Policy { max_command_len: 8, ..GOOD }, "uname -a"), Ok(()));
    }
}
