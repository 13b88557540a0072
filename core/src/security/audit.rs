//! What happened, in a chain that shows what was changed.
//!
//! * [`Event`]: what its author knows; [`Entry`]: one as it stands in a chain, with one spelling in bytes.
//! * [`Chain`]: makes entries of events. [`Log`]: the same, and holds the last ones in memory.
//! * [`Verifier`]: checks entries from the chain's first key; a [`Report`] tells integrity and completeness apart.
//! * [`Filter`]: which entries are asked for.
//!
//! # What a chain shows, and to whom
//! * Whoever has the records, the database or the line and no key can change nothing that is not found and named.
//! * Whoever breaks in and takes the present [`State`] can go on with the chain as if he were its owner. What was
//!   written before he came he cannot change, since its keys are gone.
//! * A chain's end can be cut off by either, as if the last records had never been written: that shows to whoever
//!   keeps a [`Head`] elsewhere, and only to them.
//! * Whoever has the first key can make the whole chain anew. Where it was derived ([`first_key`]), that is whoever
//!   has the key it was derived from.

use zeroize::Zeroize;

use super::keys::{HmacKey, TAG_LEN};
use crate::id::{BootId, DeviceId};
use crate::time::{Instant, UnixTime};

mod entry;
mod event;
mod filter;
mod log;
mod verify;

use entry::Covered;
#[cfg(feature = "serde")]
pub(crate) use entry::spelling;
#[cfg(all(test, feature = "serde"))]
pub(crate) use entry::tests::longest;
pub use entry::{Entry, MAX_LEN, Malformed, Spelling};
use event::Told;
pub use event::{Event, Kind, Outcome};
pub use filter::Filter;
pub use log::{Full, Log, Snapshot};
pub use verify::{Broken, Completeness, Report, Verifier};

/// What the first of the tags is made of, and the next key: so that no tag is ever a key.
const RECORD: &[u8] = b"daur audit record v2\0";
const RATCHET: &[u8] = b"daur audit ratchet v2\0";

/// The first key of the chain that a device begins in its life `boot`: HMAC-SHA256(device key,
/// `daur audit chain v1`, a zero byte, the boot id, the nonce).
///
/// A device has no safe way to tell its host a random key; so both derive it, and every life begins a chain of its
/// own. The price: whoever reads the device's key out of its flash can make that life's chain anew, up to now. What
/// the host has by then he cannot change; so the host keeps records as they come.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::{audit, keys::derive_device_key};
///
/// let device_key = derive_device_key(&[7; 32], &DeviceId::new("boiler-7").unwrap());
/// let [a, b] = [1, 2].map(|boot| audit::first_key(&device_key, BootId(boot), 99));
/// assert_ne!(a, b);
/// ```
#[inline(never)]
#[must_use]
pub fn first_key(device_key: &[u8], boot: BootId, nonce: u64) -> [u8; TAG_LEN] {
    HmacKey::new(device_key).tag(&[b"daur audit chain v1\0", &boot.0.to_be_bytes(), &nonce.to_be_bytes()])
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
    /// The tag of the next record; `key` is the state's, absorbed.
    ///
    /// Not inlined, nor is [`advance`](Self::advance): each leaves the stack to the other.
    #[inline(never)]
    fn tag(&self, key: &HmacKey, covered: &Covered<'_>) -> [u8; TAG_LEN] {
        let mut hash = key.start();
        hash.update(RECORD);
        hash.update(&self.tag);
        covered.pieces(&mut |piece| hash.update(piece));
        key.finish(&mut hash)
    }

    /// One record further: the key that made its tag is gone.
    #[inline(never)]
    fn advance(&mut self, key: &HmacKey, tag: [u8; TAG_LEN]) {
        let mut next = key.tag(&[RATCHET]);
        self.key = next;
        // By the next record this would be a key that has moved on, left on the stack.
        next.zeroize();
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
/// not see it. `daur-std` stores the chain in SQLite and in a file; [`Log`] holds its end in memory.
///
/// # Rules
/// 1. A record's tag covers all of it and the tag before; any bit changed, record removed or reordered is found.
/// 2. The key moves on with each record and the last one is wiped: it cannot be had from the new one.
/// 3. A chain that is cut at its end is found with the [`Head`] that was kept elsewhere.
/// 4. Without wall time a record says so.
/// 5. A chain goes on from its [`State`], in another life or on another device, and verifies as one.
///
/// # Cost
/// 128 bytes; some eight compressions of SHA-256 a record.
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
        let key = HmacKey::new(&self.state.key);
        entry.tag = self.state.tag(&key, &entry.covered());
        self.state.advance(&key, entry.tag);
        entry
    }

    /// Appends an event and writes the record's spelling, which is all that a device needs of it: less than half the
    /// stack of [`append`](Self::append).
    pub fn spell<'o>(
        &mut self,
        event: &Event,
        now: Instant,
        unix: Option<UnixTime>,
        out: &'o mut [u8; MAX_LEN],
    ) -> Spelling<'o> {
        self.spell_told(event.told(), now, unix, out)
    }

    fn spell_told<'o>(
        &mut self,
        event: Told<'_>,
        now: Instant,
        unix: Option<UnixTime>,
        out: &'o mut [u8; MAX_LEN],
    ) -> Spelling<'o> {
        let seq = self.state.seq.saturating_add(1);
        let covered = Covered { seq, device: self.device, boot: self.boot, at: now, unix, event };
        let key = HmacKey::new(&self.state.key);
        let tag = self.state.tag(&key, &covered);
        self.state.advance(&key, tag);
        Spelling::new(covered.write(&tag, out))
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
    fn rule_4_what_was_written_verifies_with_and_without_wall_time() {
        let (entries, head) = chain(20);
        assert_eq!(verify(&entries, Some(head)), Ok(head));
        assert_eq!(verify(&entries, None), Ok(head));
        assert_eq!(verify(&[], None), Ok(Head::default()));
    }

    #[test]
    fn rule_1_any_field_changed_is_found_and_named() {
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
    fn rule_1_a_record_removed_or_reordered_is_found() {
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
    fn rule_3_a_cut_end_is_found_with_the_head() {
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
    fn rule_1_a_record_that_is_only_spelt_is_the_one_that_would_be_appended() {
        let [mut appending, mut spelling] = [(); 2].map(|()| Chain::new(DeviceId::new("d").unwrap(), BootId(1), KEY));
        for n in 0..5 {
            let event = Event::new(Kind::Command, Outcome::Success, "alice", "10.0.0.7", "uname -a");
            let (now, unix) = (Instant::from_secs(n), (n > 2).then(|| UnixTime::from_secs(n)));
            let entry = appending.append(&event, now, unix);
            let mut place = [0xFF; MAX_LEN];
            let bytes = spelling.spell(&event, now, unix, &mut place).as_bytes();
            assert_eq!((bytes, Entry::decode(bytes)), (entry.encode(&mut [0; MAX_LEN]), Ok(entry)));
            assert_eq!((spelling.head(), spelling.state().key), (appending.head(), appending.state().key));
        }
    }

    #[test]
    fn rule_5_a_chain_goes_on_from_its_state() {
        let (device, event) = (DeviceId::new("d").unwrap(), Event::new(Kind::Start, Outcome::Success, "", "", ""));
        let mut first = Chain::new(device, BootId(1), KEY);
        let one = first.append(&event, Instant::ZERO, None);
        let mut second = Chain::resume(DeviceId::new("host").unwrap(), BootId(2), first.state().clone());
        let two = second.append(&event, Instant::ZERO, None);
        assert_eq!(verify(&[one, two], Some(second.head())), Ok(second.head()));
        assert_ne!(first.state().key, KEY, "the first key is gone");
        assert_ne!(first.state().key, second.state().key);
    }

    #[test]
    fn rule_2_the_key_of_a_record_that_was_written_is_gone() {
        let mut chain = Chain::new(DeviceId::new("d").unwrap(), BootId(1), KEY);
        let event = Event::new(Kind::Start, Outcome::Success, "", "", "");
        let mut keys = Vec::from([KEY]);
        for _ in 0..5 {
            let entry = chain.append(&event, Instant::ZERO, None);
            // Neither a key that was, nor a tag that everybody sees.
            assert!(!keys.contains(&chain.state().key) && chain.state().key != entry.tag);
            keys.push(chain.state().key);
        }
    }

    #[test]
    fn integrity_and_completeness_are_told_apart() {
        let (entries, head) = chain(5);
        let report = |entries: &[Entry], head: Option<Head>| {
            let mut verifier = head.map_or_else(|| Verifier::new(KEY), |head| Verifier::with_head(KEY, head));
            for entry in entries {
                let _ = verifier.check(entry);
            }
            verifier.report(None)
        };
        let of = |entries: &[Entry], head| {
            let report = report(entries, head);
            (report.integrity, report.completeness, report.end.seq)
        };
        let (whole, changed) = (Ok(()), Err(Broken::Changed { seq: 4 }));
        assert_eq!(of(&entries, None), (whole, Completeness::Unproven, 5));
        assert_eq!(of(&entries, Some(head)), (whole, Completeness::Complete, 5));
        assert_eq!(of(&entries[..2], Some(head)), (whole, Completeness::Truncated { seq: 2, of: 5 }, 2));
        let mut bad = entries.clone();
        bad[3].event.outcome = Outcome::Denied;
        assert_eq!(of(&bad, Some(head)), (changed, Completeness::Unproven, 3));
        // The head was passed before the bad record.
        let early = Head { seq: 2, tag: entries[1].tag };
        assert_eq!(of(&bad, Some(early)), (changed, Completeness::Complete, 3));
        // There is one beginning.
        assert_eq!(of(&entries, Some(Head::default())).0, whole);
        let other_beginning = Head { seq: 0, tag: [1; 32] };
        assert_eq!(of(&entries, Some(other_beginning)).0, Err(Broken::Changed { seq: 0 }));
    }

    #[test]
    fn after_the_first_bad_record_nothing_is_believed() {
        let (entries, _) = chain(3);
        let mut verifier = Verifier::new(KEY);
        verifier.check(&entries[0]).unwrap();
        let missing = Err(Broken::Missing { seq: 2 });
        assert_eq!(verifier.check(&entries[2]), missing);
        assert_eq!(verifier.check(&entries[1]), missing);
        assert_eq!((verifier.unreadable(), verifier.end().seq), (Broken::Missing { seq: 2 }, 1));
        assert_eq!(Verifier::new(KEY).unreadable(), Broken::Unreadable { seq: 1 });
    }

    #[test]
    fn the_last_number_of_all_ends_a_chain() {
        let state = State { seq: u64::MAX - 1, tag: [3; 32], key: KEY };
        let mut chain = Chain::resume(DeviceId::new("d").unwrap(), BootId(1), state.clone());
        let event = Event::new(Kind::Start, Outcome::Success, "", "", "");
        let [last, beyond] = [(); 2].map(|()| chain.append(&event, Instant::ZERO, None));
        let mut verifier = Verifier::resume(state);
        assert_eq!(verifier.check(&last), Ok(()));
        assert_eq!(verifier.check(&beyond), Err(Broken::Missing { seq: u64::MAX }));
    }
}
