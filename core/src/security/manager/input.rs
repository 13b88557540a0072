//! Inputs checked by their kind.

use core::fmt;

use super::Denied;
use crate::security::input::{command, email, path, sanitize};
use crate::security::policy::Policy;

/// Says what an input is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// A command line that needs no shell, and may run.
    Command,
    /// A path that stays where it may be.
    Path,
    /// An address of mail.
    Email,
    /// A text to be shown or kept.
    Text,
}

impl Kind {
    /// Its name: `command`..
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Path => "path",
            Self::Email => "email",
            Self::Text => "text",
        }
    }
}

/// Gives an input that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clean<'b> {
    /// What to go on with: a path in its one spelling, a text without what does harm, else what came.
    pub text: &'b str,
    /// Whether that is not what came.
    pub changed: bool,
}

/// Says why an input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Rejected {
    /// As a command.
    Command(command::Refusal),
    /// As a path.
    Path(path::Refusal),
    /// As an address of mail.
    Email(email::Refusal),
    /// Longer than the policy or the buffer allows.
    TooLong,
    /// It would pass, but that could not be audited: a host's answer.
    Unaudited,
}

impl Rejected {
    /// Whether the input has its form, and the policy refuses what it asks for.
    #[must_use]
    pub const fn is_forbidden(self) -> bool {
        matches!(
            self,
            Self::Command(command::Refusal::Forbidden(_))
                | Self::Path(path::Refusal::Forbidden | path::Refusal::Outside)
        )
    }

    /// Its code, which stays the same for good.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.denied().code()
    }

    pub(super) const fn denied(self) -> Denied {
        match self {
            Self::Unaudited => Denied::Internal,
            _ if self.is_forbidden() => Denied::ForbiddenInput,
            _ => Denied::InvalidInput,
        }
    }

    /// For the audit, which is not told the input: it may be a secret that went astray.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => ": too long",
            _ if self.is_forbidden() => ": forbidden",
            _ => ": malformed",
        }
    }
}

impl From<Rejected> for Denied {
    fn from(why: Rejected) -> Self {
        why.denied()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(why) => why.fmt(f),
            Self::Path(why) => why.fmt(f),
            Self::Email(why) => why.fmt(f),
            Self::TooLong => f.write_str("the input is longer than allowed"),
            Self::Unaudited => f.write_str("the audit could not be written, so nothing is done"),
        }
    }
}

impl core::error::Error for Rejected {}

/// Checks an input by its kind.
pub(super) fn check<'b>(
    policy: &Policy<'_>,
    input: &'b str,
    kind: Kind,
    buffer: &'b mut [u8],
) -> Result<Clean<'b>, Rejected> {
    let longest = match kind {
        Kind::Command => policy.max_command_len,
        Kind::Path => policy.paths.max_len,
        Kind::Email => policy.max_email_len,
        Kind::Text => policy.texts.max_len,
    };
    if input.len() > longest {
        return Err(Rejected::TooLong);
    }
    match kind {
        Kind::Command => {
            policy.admit_command(input, buffer).map_err(Rejected::Command)?;
            Ok(Clean { text: input, changed: false })
        }
        Kind::Path => {
            let text = path::check(input, &policy.paths, buffer).map_err(Rejected::Path)?;
            Ok(Clean { text, changed: text != input })
        }
        Kind::Email => {
            email::check(input, &policy.emails).map_err(Rejected::Email)?;
            Ok(Clean { text: input, changed: false })
        }
        Kind::Text => {
            let made = sanitize::sanitize(input, &policy.texts, buffer);
            // What is cut says something else: the author is to cut it, not we.
            if made.cut { Err(Rejected::TooLong) } else { Ok(Clean { text: made.text, changed: made.text != input }) }
        }
    }
}
