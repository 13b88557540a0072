//! What happened, in a chain that shows what was changed.

use core::fmt;

use zeroize::Zeroize;

use super::keys::{HmacKey, Mac, TAG_LEN, same};
use crate::id::{BootId, DeviceId};
use crate::time::{Instant, UnixTime};

mod event;

pub use event::{Event, Kind, Outcome};

/// Holds one record of a chain.
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
    pub tag: [u8; TAG_LEN],
}

impl Entry {
    /// What the tag is made of: fixed widths, and a length before every text, so that no two records read the same.
    fn absorb(&self, mac: &mut Mac<'_>) {
        mac.update(b"daur audit v1\0");
        mac.update(&self.seq.to_be_bytes());
        text(mac, self.device.as_str());
        mac.update(&self.boot.0.to_be_bytes());
        mac.update(&self.at.as_nanos().to_be_bytes());
        mac.update(&[u8::from(self.unix.is_some())]);
        mac.update(&self.unix.map_or(0, UnixTime::as_millis).to_be_bytes());
        mac.update(&[self.event.kind as u8, self.event.outcome as u8]);
        text(mac, self.event.actor.as_str());
        text(mac, self.event.source.as_str());
        text(mac, self.event.detail.as_str());
    }
}

fn text(mac: &mut Mac<'_>, text: &str) {
    mac.update(&(text.len() as u64).to_be_bytes());
    mac.update(text.as_bytes());
}

/// Holds what must survive for a chain to go on: store it in the transaction that stores the record.
///
/// The key is secret: wiped on drop, no `Debug`.
#[derive(Clone)]
pub struct State {
    /// Records so far.
    pub seq: u64,
    /// The last tag.
    pub tag: [u8; TAG_LEN],
    /// The key of the next record.
    pub key: [u8; TAG_LEN],
}

impl Drop for State {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl State {
    /// The tag of the next record.
    fn tag(&self, entry: &Entry) -> [u8; TAG_LEN] {
        let key = HmacKey::new(&self.key);
        let mut mac = key.start();
        mac.update(&self.tag);
        entry.absorb(&mut mac);
        mac.finish()
    }

    /// One record further: the key that made its tag is gone.
    fn advance(&mut self, tag: [u8; TAG_LEN]) {
        let next = HmacKey::new(&self.key).tag(&[b"daur audit ratchet v1"]);
        self.key.zeroize();
        self.key = next;
        self.tag = tag;
        self.seq = self.seq.saturating_add(1);
    }
}

/// Marks the end of a chain. Kept elsewhere, it shows when the chain is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// Records so far.
    pub seq: u64,
    /// The last tag.
    pub tag: [u8; TAG_LEN],
}

/// Appends events to a chain of tags: the seed's `AuditLogger`.
///
/// Whoever breaks in finds the key of the next record only: no earlier one can be changed so that [`Verifier`] does
/// not see it. `daur-std` stores the chain in SQLite.
///
/// # Rules
/// 1. A record's tag covers all of it and the tag before; any bit changed, record removed or reordered is found.
/// 2. The key moves on with each record and the last one is wiped: it cannot be had from the new one.
/// 3. A chain that is cut at its end is found with the [`Head`] that was kept elsewhere.
/// 4. Without wall time a record says so.
///
/// # Cost
/// 100 bytes; some eleven compressions of SHA-256 a record.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Broken, Chain, Event, Kind, Outcome, Verifier};
/// use daur_core::time::Instant;
///
/// let first_key = [7; 32]; // random; told once to whoever verifies
/// let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), first_key);
/// let login = Event::new(Kind::Login, Outcome::Success, "alice", "10.0.0.7", "");
/// let mut first = chain.append(&login, Instant::from_secs(1), None);
/// let second = chain.append(&login, Instant::from_secs(2), None);
///
/// let mut verifier = Verifier::new(first_key);
/// verifier.check(&first).unwrap();
/// verifier.check(&second).unwrap();
/// assert_eq!(verifier.finish(Some(chain.head())), Ok(chain.head()));
///
/// first.event.outcome = Outcome::Failure;
/// assert_eq!(Verifier::new(first_key).check(&first), Err(Broken::Changed { seq: 1 }));
/// ```
///
/// # References
/// Schneier and Kelsey, Secure Audit Logs to Support Computer Forensics, 1999.
#[doc(alias = "AuditLogger")]
pub struct Chain {
    device: DeviceId,
    boot: BootId,
    state: State,
}

impl Chain {
    /// Begins a chain. Whoever shall verify it needs `key`; nobody else should keep it.
    #[must_use]
    pub const fn new(device: DeviceId, boot: BootId, key: [u8; TAG_LEN]) -> Self {
        Self::resume(device, boot, State { seq: 0, tag: [0; TAG_LEN], key })
    }

    /// Goes on from a stored state, perhaps in another life or on another device.
    #[must_use]
    pub const fn resume(device: DeviceId, boot: BootId, state: State) -> Self {
        Self { device, boot, state }
    }

    /// Appends an event and forgets the key that it was tagged with.
    #[doc(alias = "log")]
    pub fn append(&mut self, event: &Event, now: Instant, unix: Option<UnixTime>) -> Entry {
        let mut entry = Entry {
            seq: self.state.seq.saturating_add(1),
            device: self.device,
            boot: self.boot,
            at: now,
            unix,
            event: *event,
            tag: [0; TAG_LEN],
        };
        entry.tag = self.state.tag(&entry);
        self.state.advance(entry.tag);
        entry
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
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "audit record {seq} was changed"),
            Self::Missing { seq } => write!(f, "audit record {seq} is missing"),
            Self::Truncated { seq } => write!(f, "the audit chain was cut after record {seq}"),
        }
    }
}

impl core::error::Error for Broken {}

/// Checks a chain, record by record, in the order of their numbers.
pub struct Verifier {
    state: State,
    kept: Option<Head>,
}

impl Verifier {
    /// From the chain's first key.
    #[must_use]
    pub const fn new(key: [u8; TAG_LEN]) -> Self {
        Self { state: State { seq: 0, tag: [0; TAG_LEN], key }, kept: None }
    }

    /// The same, and the head that was kept must be passed on the way or be the end.
    #[must_use]
    pub const fn with_head(key: [u8; TAG_LEN], head: Head) -> Self {
        Self { state: State { seq: 0, tag: [0; TAG_LEN], key }, kept: Some(head) }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// [`Broken::Missing`] or [`Broken::Changed`]; what follows cannot be checked then.
    pub fn check(&mut self, entry: &Entry) -> Result<(), Broken> {
        let seq = self.state.seq.saturating_add(1);
        if entry.seq != seq {
            return Err(Broken::Missing { seq });
        }
        if !same(&self.state.tag(entry), &entry.tag) {
            return Err(Broken::Changed { seq });
        }
        self.state.advance(entry.tag);
        match self.kept {
            Some(kept) if kept.seq == seq && kept.tag != entry.tag => Err(Broken::Changed { seq }),
            _ => Ok(()),
        }
    }

    /// The end, and whether the chain has reached `head` and the one given at the start.
    ///
    /// # Errors
    /// [`Broken::Truncated`] if it has not; [`Broken::Changed`] if the end has another tag than `head`.
    pub fn finish(self, head: Option<Head>) -> Result<Head, Broken> {
        let end = Head { seq: self.state.seq, tag: self.state.tag };
        for head in [head, self.kept].into_iter().flatten() {
            if end.seq < head.seq {
                return Err(Broken::Truncated { seq: end.seq });
            }
            if end.seq == head.seq && end.tag != head.tag {
                return Err(Broken::Changed { seq: end.seq });
            }
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use std::vec::Vec;

    const KEY: [u8; 32] = [7; 32];

    fn chain(records: u64) -> (Vec<Entry>, Head) {
        let mut chain = Chain::new(DeviceId::new("d").unwrap(), BootId(1), KEY);
        let entries = (0..records)
            .map(|n| {
                let event = Event::new(Kind::Command, Outcome::Success, "alice", "10.0.0.7", "uname -a");
                chain.append(&event, Instant::from_secs(n), n.is_multiple_of(2).then(|| UnixTime::from_secs(n)))
            })
            .collect();
        (entries, chain.head())
    }

    fn verify(entries: &[Entry], head: Option<Head>) -> Result<Head, Broken> {
        let mut verifier = Verifier::new(KEY);
        entries.iter().try_for_each(|entry| verifier.check(entry))?;
        verifier.finish(head)
    }

    #[test]
    fn what_was_written_verifies() {
        let (entries, head) = chain(20);
        assert_eq!(verify(&entries, Some(head)), Ok(head));
        assert_eq!(verify(&entries, None), Ok(head));
        assert_eq!(verify(&[], None), Ok(Head::default()));
    }

    #[test]
    fn any_field_changed_is_found_and_named() {
        let (entries, _) = chain(5);
        let changes: [fn(&mut Entry); 11] = [
            |e| e.device = DeviceId::new("e").unwrap(),
            |e| e.boot = BootId(2),
            |e| e.at = Instant::from_nanos(1),
            |e| e.unix = Some(UnixTime::from_secs(0)),
            |e| e.unix = None,
            |e| e.event.kind = Kind::Login,
            |e| e.event.outcome = Outcome::Denied,
            |e| e.event.actor = Text::cut("bob"),
            |e| (e.event.actor, e.event.source) = (Text::cut("alice1"), Text::cut("0.0.0.7")),
            |e| e.event.detail = Text::EMPTY,
            |e| e.tag[31] ^= 1,
        ];
        for change in changes {
            let mut entries = entries.clone();
            change(&mut entries[2]);
            if entries[2] != chain(5).0[2] {
                assert_eq!(verify(&entries, None), Err(Broken::Changed { seq: 3 }));
            }
        }
    }

    #[test]
    fn a_record_removed_or_reordered_is_found() {
        let (entries, _) = chain(5);
        let mut removed = entries.clone();
        removed.remove(1);
        assert_eq!(verify(&removed, None), Err(Broken::Missing { seq: 2 }));
        // Renumbered, they do not fit either.
        for (seq, entry) in (1..).zip(&mut removed) {
            entry.seq = seq;
        }
        assert_eq!(verify(&removed, None), Err(Broken::Changed { seq: 2 }));
        let mut swapped = entries;
        swapped.swap(3, 4);
        assert_eq!(verify(&swapped, None), Err(Broken::Missing { seq: 4 }));
    }

    #[test]
    fn a_cut_end_is_found_with_the_head() {
        let (entries, head) = chain(5);
        assert!(verify(&entries[..4], None).is_ok(), "without its head a chain may end anywhere");
        assert_eq!(verify(&entries[..4], Some(head)), Err(Broken::Truncated { seq: 4 }));
        let other = Head { tag: [0; 32], ..head };
        assert_eq!(verify(&entries, Some(other)), Err(Broken::Changed { seq: 5 }));
        // A head kept in the middle: the chain must pass it.
        let mut verifier = Verifier::with_head(KEY, Head { seq: 3, tag: entries[2].tag });
        entries.iter().try_for_each(|entry| verifier.check(entry)).unwrap();
        assert_eq!(verifier.finish(None), Ok(head));
        let mut verifier = Verifier::with_head(KEY, Head { seq: 3, tag: [0; 32] });
        let broken = entries.iter().try_for_each(|entry| verifier.check(entry));
        assert_eq!(broken, Err(Broken::Changed { seq: 3 }));
    }

    #[test]
    fn a_chain_goes_on_from_its_state() {
        let (device, event) = (DeviceId::new("d").unwrap(), Event::new(Kind::Start, Outcome::Success, "", "", ""));
        let mut first = Chain::new(device, BootId(1), KEY);
        let one = first.append(&event, Instant::ZERO, None);
        let mut second = Chain::resume(DeviceId::new("host").unwrap(), BootId(2), first.state().clone());
        let two = second.append(&event, Instant::ZERO, None);
        assert_eq!(verify(&[one, two], Some(second.head())), Ok(second.head()));
        assert_ne!(first.state().key, KEY, "the first key is gone");
        assert_ne!(first.state().key, second.state().key);
    }
}
