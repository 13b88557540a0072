//! The gate of a device's command link.

use super::{At, Audit, Denied, reason};
use crate::id::DeviceId;
use crate::reliability::limiter::{self, Limiter};
use crate::security::audit::{Event, Kind, Outcome};
use crate::security::keys::KeyError;
use crate::security::permission::{Permissions, Scopes};
use crate::security::token::{Config, Error, Gate, Keys};
use crate::text::Text;

/// Gives a command that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Admitted<C> {
    /// What it was read as.
    pub command: C,
    /// Its counter, which the answer names.
    pub counter: u64,
    /// Who has it signed for.
    pub user: Text<32>,
}

/// Says why a command is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused<E> {
    /// Commands come too fast; this one was not looked at.
    Limited,
    /// Nobody who may has signed it.
    Signature,
    /// It is for another device.
    Audience,
    /// It was given before, or in another life of the device.
    Replayed {
        /// Its counter.
        counter: u64,
    },
    /// Its signer lacks the permission.
    Forbidden {
        /// Its counter.
        counter: u64,
    },
    /// It cannot be read as a command.
    Unreadable {
        /// Its counter.
        counter: u64,
        /// What the reader says; `None` for a token that has no command.
        error: Option<E>,
    },
}

impl<E> Refused<E> {
    /// The counter that an answer names; 0 if the signature does not hold, since then nothing in it does.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        match self {
            Self::Limited | Self::Signature | Self::Audience => 0,
            Self::Replayed { counter } | Self::Forbidden { counter } | Self::Unreadable { counter, .. } => *counter,
        }
    }

    /// What a client may be told of it.
    #[must_use]
    pub const fn denied(&self) -> Denied {
        match self {
            Self::Limited => Denied::Overloaded,
            Self::Signature | Self::Audience | Self::Replayed { .. } => Denied::Unauthenticated,
            Self::Forbidden { .. } => Denied::Forbidden,
            Self::Unreadable { .. } => Denied::InvalidInput,
        }
    }
}

/// Decides which signed commands a device runs, once each.
///
/// For a device without users of its own: the host has logged them in, and signs what they ask for. For logins at the
/// device itself use the [`Manager`](super::Manager).
///
/// # Rules
/// 1. In this order: how many, who signed it, for which device and which of its lives, whether it is new, whether the
///    signer may. What costs least comes first, and an attacker learns no more than that the signature is wrong.
/// 2. A counter is spent by a command that was refused for want of permission, or could not be read.
/// 3. Every decision gives an event to the audit.
///
/// # Cost
/// 312 bytes of RAM and 25,772 of flash on thumbv6m (image `command_gate`, 2,816 bytes of stack), most of it the
/// token's. What comes too fast costs a comparison, all else one HMAC.
///
/// # Errors
/// [`Refused`]
///
/// # Example
/// ```
/// use daur_core::id::DeviceId;
/// use daur_core::reliability::limiter;
/// use daur_core::security::audit::Event;
/// use daur_core::security::manager::{At, CommandGate};
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::token::{Claims, Config, Keys};
/// use daur_core::text::Text;
/// use daur_core::time::Instant;
///
/// let (device, key, nonce) = (DeviceId::new("boiler-7").unwrap(), [7; 32], 0x1234);
/// let mut gate = CommandGate::try_new(&device, nonce, &key, limiter::Config::DEFAULT).unwrap();
///
/// // On the host:
/// let (user, text) = (Text::new("alice").unwrap(), Text::new("restart").unwrap());
/// let claims = Claims::command(&device, nonce, 1, user, Permissions::ADMIN, text);
/// let mut buffer = [0; 512];
/// let keys: Keys<1> = Keys::new(Config::command(&device), None, &key).unwrap();
/// let token = keys.sign(&claims, &mut buffer).unwrap();
///
/// // On the device:
/// let read = |text: &str| if text == "restart" { Ok(((), Permissions::ADMIN)) } else { Err("unknown") };
/// let audit = &mut |_: &Event, _: &At<'_>| {};
/// let at = At { source: "uart", now: Instant::from_secs(5), unix: None };
/// let admitted = gate.admit(token, read, audit, &at).unwrap();
/// assert_eq!((admitted.counter, admitted.user.as_str()), (1, "alice"));
/// assert!(gate.admit(token, read, audit, &at).is_err(), "once");
/// ```
pub struct CommandGate {
    keys: Keys<1>,
    gate: Gate,
    limiter: Limiter,
}

impl CommandGate {
    /// For `device`, whose present life is `nonce`. A limit that cannot be is brought to one command a second.
    ///
    /// # Errors
    /// [`KeyError`] if the key is too short.
    pub fn try_new(device: &DeviceId, nonce: u64, key: &[u8], limit: limiter::Config) -> Result<Self, KeyError> {
        const ONE: Limiter = Limiter::new(limiter::Config { rate: 1, burst: 1, ..limiter::Config::DEFAULT });
        Ok(Self {
            keys: Keys::new(Config::command(device), None, key)?,
            gate: Gate::new(nonce),
            limiter: Limiter::try_new(limit).unwrap_or(ONE),
        })
    }

    /// The command in `token`, if it is to be run. `read` reads it, and says what its signer must be allowed.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn admit<C, E>(
        &mut self,
        token: &str,
        read: impl FnOnce(&str) -> Result<(C, Permissions), E>,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<Admitted<C>, Refused<E>> {
        let (mut user, mut detail) = (Text::EMPTY, Text::EMPTY);
        let decided = self.decide(token, read, at, &mut user, &mut detail);
        let outcome = if decided.is_ok() { Outcome::Success } else { Outcome::Denied };
        let kind = match decided {
            Ok(_) | Err(Refused::Unreadable { .. }) => Kind::Command,
            Err(_) => Kind::AccessDenied,
        };
        audit.record(&Event { actor: user, detail, ..Event::new(kind, outcome, "", at.source, "") }, at);
        decided
    }

    fn decide<C, E>(
        &mut self,
        token: &str,
        read: impl FnOnce(&str) -> Result<(C, Permissions), E>,
        at: &At<'_>,
        user: &mut Text<32>,
        detail: &mut Text<128>,
    ) -> Result<Admitted<C>, Refused<E>> {
        if self.limiter.check(at.now).is_err() {
            detail.push("rate");
            return Err(Refused::Limited);
        }
        let claims = match self.keys.verify(token, at.unix) {
            Ok(claims) => claims,
            Err(error) => {
                detail.push(reason(error));
                return Err(if error == Error::Audience { Refused::Audience } else { Refused::Signature });
            }
        };
        *user = claims.sub;
        let counter = claims.nonce_and_counter().map_or(0, |(_, counter)| counter);
        let command = match claims.cmd {
            Some(text) => read(text.as_str()).map_err(Some),
            None => Err(None),
        };
        // What cannot be read needs nothing, and spends its counter like the others.
        let needed = command.as_ref().map_or(Permissions::NONE, |(_, needed)| *needed);
        if let Err(error) = self.gate.admit(&claims, needed) {
            return Err(match error {
                Error::Replayed => {
                    detail.push("replayed");
                    Refused::Replayed { counter }
                }
                Error::Permission => {
                    *detail = super::named("needs ", needed, &Scopes::DEFAULT);
                    Refused::Forbidden { counter }
                }
                _ => {
                    detail.push("no command");
                    Refused::Unreadable { counter, error: None }
                }
            });
        }
        detail.push(claims.cmd.as_ref().map_or("", Text::as_str));
        match command {
            Ok((command, _)) => Ok(Admitted { command, counter, user: *user }),
            Err(error) => Err(Refused::Unreadable { counter, error }),
        }
    }

    /// The highest counter admitted; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.gate.last()
    }
}
