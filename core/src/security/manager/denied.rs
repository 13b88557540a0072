//! What who asked is told.

use core::fmt;

use crate::time::Instant;

/// Refuses, with a code that stays: what a client may be told. The reason in full goes to the audit.
///
/// Authentication that fails for whatever reason is `Unauthenticated`: who guesses learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Denied {
    /// Nobody has logged in, or not with what is right and still counts.
    Unauthenticated,
    /// A permission is missing.
    Forbidden,
    /// This user has asked too often.
    RateLimited {
        /// When to come back.
        retry_at: Instant,
    },
    /// Too many failed logins of this name.
    LockedOut {
        /// When to come back.
        retry_at: Instant,
    },
    /// The input is not of its form, or longer than allowed.
    InvalidInput,
    /// The input has its form, and the policy refuses what it asks for.
    ForbiddenInput,
    /// There is no room for it now: no further token can be revoked, no further login looked at.
    Overloaded,
    /// Tokens end by the wall clock, and this device does not know the time.
    NoClock,
    /// Something failed that is not the caller's fault.
    Internal,
}

impl Denied {
    /// Its code, which stays the same for good.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::LockedOut { .. } => "locked_out",
            Self::InvalidInput => "invalid_input",
            Self::ForbiddenInput => "forbidden_input",
            Self::Overloaded => "overloaded",
            Self::NoClock => "no_clock",
            Self::Internal => "internal",
        }
    }

    /// When it is worth coming back, where time alone mends it.
    #[must_use]
    pub const fn retry_at(self) -> Option<Instant> {
        match self {
            Self::RateLimited { retry_at } | Self::LockedOut { retry_at } => Some(retry_at),
            _ => None,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthenticated => "not logged in, or not with what is right",
            Self::Forbidden => "a permission is missing",
            Self::RateLimited { .. } => "asked too often: come back later",
            Self::LockedOut { .. } => "too many failed logins: locked for a while",
            Self::InvalidInput => "the input is not of its form, or too long",
            Self::ForbiddenInput => "the policy refuses what the input asks for",
            Self::Overloaded => "there is no room for it now",
            Self::NoClock => "the time is not known, and tokens end by it",
            Self::Internal => "it could not be done",
        })
    }
}

impl core::error::Error for Denied {}
