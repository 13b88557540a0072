//! What happened, in a chain that shows what was changed.

use crate::id::{BootId, DeviceId};
use crate::text::Text;
use crate::time::{Instant, UnixTime};
use core::fmt;

/// What kind of event. Append only: the numbers are stored.
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
    /// Access denied: no or insufficient permission.
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
}

impl Kind {
    /// `login`, `access_denied`..
    #[must_use]
    pub const fn name(self) -> &'static str {
        todo!()
    }
    /// The kind of a stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        let _ = number;
        todo!()
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Outcome {
    /// Done.
    Success = 1,
    /// Tried and failed.
    Failure = 2,
    /// Refused.
    Denied = 3,
}

/// One event, as its author tells it.
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
    /// What exactly. Never a secret.
    pub detail: Text<128>,
}

impl Event {
    /// An event; texts are cut to their places.
    #[must_use]
    pub fn new(kind: Kind, outcome: Outcome, actor: &str, source: &str, detail: &str) -> Self {
        Self { kind, outcome, actor: Text::cut(actor), source: Text::cut(source), detail: Text::cut(detail) }
    }
}

/// One record of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// Its number: 1, 2, 3..
    pub seq: u64,
    /// On which device.
    pub device: DeviceId,
    /// In which of its lives.
    pub boot: BootId,
    /// When, since that life's start.
    pub at: Instant,
    /// When, if the device knew.
    pub unix: Option<UnixTime>,
    /// What.
    pub event: Event,
    /// The tag over all of this and the tag before.
    pub tag: [u8; 32],
}

/// What must survive for the chain to go on: written together with the record. Secret: no `Debug`.
#[derive(Clone)]
pub struct State {
    /// Records so far.
    pub seq: u64,
    /// The last tag.
    pub tag: [u8; 32],
    /// The key of the next record.
    pub key: [u8; 32],
}

/// The end of a chain, kept elsewhere so that a cut shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Head {
    /// Records so far.
    pub seq: u64,
    /// The last tag.
    pub tag: [u8; 32],
}

/// Appends events to a chain.
pub struct Chain {
    device: DeviceId,
    boot: BootId,
    state: State,
}

impl Chain {
    /// Begins a chain. Whoever shall verify it needs `key`; nobody else should keep it.
    #[must_use]
    pub fn new(device: DeviceId, boot: BootId, key: [u8; 32]) -> Self {
        Self::resume(device, boot, State { seq: 0, tag: [0; 32], key })
    }
    /// Goes on where `state` was stored.
    #[must_use]
    pub const fn resume(device: DeviceId, boot: BootId, state: State) -> Self {
        Self { device, boot, state }
    }
    /// Appends an event and forgets the key that it was tagged with.
    pub fn append(&mut self, event: &Event, now: Instant, unix: Option<UnixTime>) -> Entry {
        let _ = (event, now, unix, self.device, self.boot);
        todo!()
    }
    /// What to store with the record.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }
    /// The chain's end.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.state.seq, tag: self.state.tag }
    }
}

/// Says what is wrong with a chain, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Broken {
    /// A record is not the one that was written, or records were reordered.
    Changed {
        /// Its number.
        seq: u64,
    },
    /// A record is missing before this number.
    Missing {
        /// The number that was expected.
        seq: u64,
    },
    /// The chain ends before its head.
    Truncated {
        /// The last number that is there.
        seq: u64,
    },
}
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
impl core::error::Error for Broken {}

/// Checks a chain, record by record.
pub struct Verifier {
    state: State,
}

impl Verifier {
    /// From the chain's first key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { state: State { seq: 0, tag: [0; 32], key } }
    }
    /// The next record.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn check(&mut self, entry: &Entry) -> Result<(), Broken> {
        let _ = (entry, &self.state);
        todo!()
    }
    /// The end: with a head, also that nothing was cut off.
    ///
    /// # Errors
    /// [`Broken::Truncated`], [`Broken::Changed`].
    pub fn finish(self, head: Option<Head>) -> Result<Head, Broken> {
        let _ = head;
        todo!()
    }
}
