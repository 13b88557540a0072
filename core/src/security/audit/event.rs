//! What an audit record tells.

use crate::text::Text;

/// Says what kind of event it was. Append only: the numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// The program or device started.
    Start = 1,
    /// A login.
    Login = 2,
    /// A logout.
    Logout = 3,
    /// A command.
    Command = 4,
    /// Access without the permission that it needs.
    AccessDenied = 5,
    /// A setting was changed.
    ConfigChange = 6,
    /// A key was rotated.
    KeyRotation = 7,
    /// A token was issued.
    TokenIssued = 8,
    /// A token was revoked.
    TokenRevoked = 9,
    /// A name was locked.
    Lockout = 10,
    /// A user was added, changed or removed.
    UserChange = 11,
    /// Events were lost; the detail says how many.
    Lost = 12,
    /// A session was ended by somebody, or made room for another.
    SessionChange = 13,
    /// An input was refused, or made harmless.
    InputRefused = 14,
    /// Access was granted, or an input let in as it came.
    Access = 15,
}

const KINDS: [(Kind, &str); 15] = [
    (Kind::Start, "start"),
    (Kind::Login, "login"),
    (Kind::Logout, "logout"),
    (Kind::Command, "command"),
    (Kind::AccessDenied, "access_denied"),
    (Kind::ConfigChange, "config_change"),
    (Kind::KeyRotation, "key_rotation"),
    (Kind::TokenIssued, "token_issued"),
    (Kind::TokenRevoked, "token_revoked"),
    (Kind::Lockout, "lockout"),
    (Kind::UserChange, "user_change"),
    (Kind::Lost, "lost"),
    (Kind::SessionChange, "session_change"),
    (Kind::InputRefused, "input_refused"),
    (Kind::Access, "access"),
];

impl Kind {
    /// Its name: `login`, `access_denied`..
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind of a stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        KINDS.iter().find(|(kind, _)| *kind as u8 == number).map(|(kind, _)| *kind)
    }
}

/// Says how an event ended. Append only: the numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Outcome {
    /// Done.
    Success = 1,
    /// Tried, and failed.
    Failure = 2,
    /// Refused.
    Denied = 3,
}

impl Outcome {
    /// [`Success`](Self::Success) or [`Failure`](Self::Failure).
    #[must_use]
    pub const fn of(success: bool) -> Self {
        if success { Self::Success } else { Self::Failure }
    }

    /// Its name: `success`..
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
        }
    }

    /// The outcome of a stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Success),
            2 => Some(Self::Failure),
            3 => Some(Self::Denied),
            _ => None,
        }
    }
}

/// Tells one event, as its author knows it. Never put a secret into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Event {
    /// What kind.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// Who.
    pub actor: Text<32>,
    /// From where: an address, a device.
    pub source: Text<48>,
    /// What exactly.
    pub detail: Text<128>,
}

impl Event {
    /// An event; texts longer than their places are cut.
    #[must_use]
    pub fn new(kind: Kind, outcome: Outcome, actor: &str, source: &str, detail: &str) -> Self {
        Self { kind, outcome, actor: Text::cut(actor), source: Text::cut(source), detail: Text::cut(detail) }
    }

    pub(super) fn told(&self) -> Told<'_> {
        let Self { kind, outcome, actor, source, detail } = self;
        Told {
            kind: *kind,
            outcome: *outcome,
            actor: actor.as_bytes(),
            source: source.as_bytes(),
            detail: detail.as_bytes(),
        }
    }

    /// A login that went well or did not: the seed's `log_login`.
    #[doc(alias = "log_login")]
    #[must_use]
    pub fn login(user: &str, success: bool, source: &str) -> Self {
        Self::new(Kind::Login, Outcome::of(success), user, source, "")
    }

    /// A logout.
    #[must_use]
    pub fn logout(user: &str, source: &str) -> Self {
        Self::new(Kind::Logout, Outcome::Success, user, source, "")
    }

    /// A command that was run: the seed's `log_command_execution`.
    #[doc(alias = "log_command_execution")]
    #[must_use]
    pub fn command(user: &str, command: &str, success: bool) -> Self {
        Self::new(Kind::Command, Outcome::of(success), user, "", command)
    }

    /// Something asked for without the right to it; `detail` says what.
    #[must_use]
    pub fn denied(user: &str, source: &str, detail: &str) -> Self {
        Self::new(Kind::AccessDenied, Outcome::Denied, user, source, detail)
    }
}

/// An event, borrowed: it is 213 bytes.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) actor: &'a [u8],
    pub(super) source: &'a [u8],
    pub(super) detail: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_stand_for_one_kind_each() {
        let kinds = (0..=255).filter_map(Kind::from_number).count();
        assert_eq!(kinds, KINDS.len());
        for (kind, name) in KINDS {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert_eq!(kind.name(), name);
        }
        let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Denied];
        assert!(outcomes.into_iter().all(|o| Outcome::from_number(o as u8) == Some(o)));
        assert_eq!(Outcome::from_number(4), None);
    }
}
