//! Whether a chain is the one that was written.

use core::fmt;

use super::entry::Entry;
use super::{Head, State};
use crate::security::keys::{HmacKey, TAG_LEN, same};

/// Says what is wrong with a chain, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Broken {
    /// A record is not the one that was written.
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Another record stands where this one should: it was removed, or its order changed.
    Missing {
        /// Its number.
        seq: u64,
    },
    /// The chain ends before its head.
    Truncated {
        /// The last record that is there.
        seq: u64,
    },
    /// What stands in a record's place is none.
    Unreadable {
        /// Its number.
        seq: u64,
    },
    /// The records are those that were written, and what is stored to go on from them is not, or is gone.
    State {
        /// The last record.
        seq: u64,
    },
}

impl Broken {
    /// The record that it names: the first bad one or, of a cut chain or a changed state, the last that is there.
    #[must_use]
    pub const fn seq(self) -> u64 {
        match self {
            Self::Changed { seq }
            | Self::Missing { seq }
            | Self::Truncated { seq }
            | Self::Unreadable { seq }
            | Self::State { seq } => seq,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "audit record {seq} was changed"),
            Self::Missing { seq } => write!(f, "audit record {seq} is missing"),
            Self::Truncated { seq } => write!(f, "the audit chain was cut after record {seq}"),
            Self::Unreadable { seq } => write!(f, "audit record {seq} cannot be read"),
            Self::State { seq } => write!(f, "the state to go on from audit record {seq} was changed"),
        }
    }
}

impl core::error::Error for Broken {}

/// Says whether a chain's end is where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Completeness {
    /// It goes at least to the head that was kept elsewhere.
    Complete,
    /// Nobody can tell: no head was kept, or a bad record stands before it.
    Unproven,
    /// It ends before the head.
    Truncated {
        /// The last record that is there.
        seq: u64,
        /// How many there were at least.
        of: u64,
    },
}

/// Tells what a [`Verifier`] has found: what was changed apart from what was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Report {
    /// Whether all records up to the end are those that were written; else the first bad one.
    pub integrity: Result<(), Broken>,
    /// Whether the end is where it was.
    pub completeness: Completeness,
    /// The last record that verifies.
    pub end: Head,
}

impl Report {
    /// The two as one: the chain's end, or the first thing that is wrong.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn result(self) -> Result<Head, Broken> {
        match (self.integrity, self.completeness) {
            (Err(broken), _) => Err(broken),
            (Ok(()), Completeness::Truncated { seq, .. }) => Err(Broken::Truncated { seq }),
            (Ok(()), _) => Ok(self.end),
        }
    }
}

/// Checks a chain, record by record, in the order of their numbers.
///
/// # Rules
/// 1. The first bad record is named, and nothing behind it is believed.
/// 2. Whether the records are the written ones and whether all are there are two answers ([`Report`]).
/// 3. A head that was kept elsewhere must be passed on the way, with its tag.
///
/// # Cost
/// 130 bytes; what [`Chain::append`](super::Chain::append) costs for each record.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Chain, Completeness, Event, Verifier};
/// use daur_core::time::Instant;
///
/// let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), [7; 32]);
/// let first = chain.append(&Event::login("alice", true, ""), Instant::from_secs(1), None);
/// chain.append(&Event::command("alice", "report", true), Instant::from_secs(2), None);
///
/// // Somebody has cut the second record off.
/// let mut verifier = Verifier::with_head([7; 32], chain.head());
/// verifier.check(&first).unwrap();
/// let report = verifier.report(None);
/// assert_eq!(report.integrity, Ok(()));
/// assert_eq!(report.completeness, Completeness::Truncated { seq: 1, of: 2 });
/// ```
pub struct Verifier {
    state: State,
    kept: Option<Head>,
    broken: Option<Broken>,
}

impl Verifier {
    /// From the chain's first key.
    #[must_use]
    pub const fn new(key: [u8; TAG_LEN]) -> Self {
        Self { state: State { seq: 0, tag: [0; TAG_LEN], key }, kept: None, broken: None }
    }

    /// The same, and the head that was kept must be passed on the way or be the end.
    #[must_use]
    pub fn with_head(key: [u8; TAG_LEN], head: Head) -> Self {
        let mut verifier = Self::new(key);
        verifier.kept = Some(head);
        // There is one beginning.
        if head.seq == 0 && head != Head::default() {
            verifier.broken = Some(Broken::Changed { seq: 0 });
        }
        verifier
    }

    /// From where a stored state stands, for the records behind it.
    #[must_use]
    pub const fn resume(state: State) -> Self {
        Self { state, kept: None, broken: None }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// [`Broken::Missing`] or [`Broken::Changed`]; after the first, it is the answer for whatever follows.
    pub fn check(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.judge(entry).map_err(|broken| *self.broken.insert(broken))
    }

    fn judge(&mut self, entry: &Entry) -> Result<(), Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        // Behind the last number there is none.
        let seq = self.state.seq.checked_add(1).ok_or(Broken::Missing { seq: u64::MAX })?;
        if entry.seq != seq {
            return Err(Broken::Missing { seq });
        }
        let key = HmacKey::new(&self.state.key);
        if !same(&self.state.tag(&key, &entry.covered()), &entry.tag) {
            return Err(Broken::Changed { seq });
        }
        match self.kept {
            // With the first key another chain can be made; not with this head.
            Some(kept) if kept.seq == seq && !same(&kept.tag, &entry.tag) => Err(Broken::Changed { seq }),
            _ => {
                self.state.advance(&key, entry.tag);
                Ok(())
            }
        }
    }

    /// Takes note that what stands in the next record's place is none.
    pub fn unreadable(&mut self) -> Broken {
        let seq = self.state.seq.saturating_add(1);
        *self.broken.get_or_insert(Broken::Unreadable { seq })
    }

    /// The last record that verifies.
    #[must_use]
    pub const fn end(&self) -> Head {
        Head { seq: self.state.seq, tag: self.state.tag }
    }

    /// What was wrong first, if something was.
    #[must_use]
    pub const fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// What stands behind the last record that verifies; for whoever goes on with the chain.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What was found, when there are no more records. `head`, as the one given at the start, is where the chain
    /// should end; one that it has gone beyond says nothing.
    #[must_use]
    pub fn report(&self, head: Option<Head>) -> Report {
        let end = self.end();
        let mut report =
            Report { integrity: self.broken.map_or(Ok(()), Err), completeness: Completeness::Unproven, end };
        if self.kept.is_some_and(|kept| kept.seq <= end.seq) {
            report.completeness = Completeness::Complete;
        }
        if report.integrity.is_err() {
            return report;
        }
        if let Some(head) = head
            && head.seq == end.seq
        {
            report.completeness = Completeness::Complete;
            if !same(&head.tag, &end.tag) {
                report.integrity = Err(Broken::Changed { seq: end.seq });
            }
        }
        for head in [self.kept, head].into_iter().flatten() {
            if head.seq > end.seq {
                report.completeness = Completeness::Truncated { seq: end.seq, of: head.seq };
            }
        }
        report
    }

    /// The end, and whether the chain has reached `head` and the one given at the start.
    ///
    /// # Errors
    /// [`Broken::Truncated`] if it has not; [`Broken::Changed`] if the end has another tag than `head`; what was
    /// wrong before.
    pub fn finish(self, head: Option<Head>) -> Result<Head, Broken> {
        self.report(head).result()
    }
}
