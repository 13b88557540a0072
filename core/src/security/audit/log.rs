//! The last records of a chain in memory, kept until somebody has them.

use core::fmt;

use super::entry::{Entry, MAX_LEN, Spelling};
use super::event::{Event, Kind, Outcome, Told};
use super::{Chain, Head};
use crate::text::Text;
use crate::time::{Instant, UnixTime};

/// Says that there was no room for an event; it is counted, and a record of kind [`Kind::Lost`] will tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full {
    /// Events dropped since the last record of a loss, this one included.
    pub lost: u32,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit log is full, {} events are dropped until some are taken", self.lost)
    }
}

impl core::error::Error for Full {}

/// Tells how a [`Log`] stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// The chain's end.
    pub head: Head,
    /// Records that nobody has taken.
    pub waiting: u32,
    /// Events that found no room.
    pub lost: u64,
}

/// Appends events to a chain and holds the last `N` records: the seed's `AuditLogger` in bounded memory.
///
/// A device's: it [`take`](Self::take)s the oldest when the line has it, and answers what happened lately. A host that
/// has a disk appends to `daur-std`'s stores instead.
///
/// # Rules
/// 1. A record stays until it was taken, and may be read until its place is needed.
/// 2. An event that finds only records that nobody has taken is dropped and counted; as soon as there is room, the
///    chain itself tells how many were, in the place where they are missing.
/// 3. `recent` and `find` give the newest first.
///
/// # Cost
/// 168 bytes and 294 for each of `N`; what [`Chain::append`] costs for each event.
///
/// # Errors
/// [`Full`] tells the caller what the chain will tell its reader; nothing needs to be done about it.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Chain, Event, Filter, Kind, Log};
/// use daur_core::time::Instant;
///
/// let chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), [7; 32]);
/// let mut log = Log::<2>::new(chain);
/// let now = Instant::from_secs(1);
/// log.append(&Event::login("alice", true, ""), now, None).unwrap();
/// log.append(&Event::command("alice", "report", true), now, None).unwrap();
/// assert_eq!(log.append(&Event::logout("alice", ""), now, None).unwrap_err().lost, 1);
///
/// assert_eq!(log.recent(10).next().unwrap().event.kind, Kind::Command);
/// let logins = Filter { kind: Some(Kind::Login), ..Filter::ALL };
/// assert_eq!(log.find(logins).count(), 1);
///
/// // The line has both: there is room, and the first to go there is the loss.
/// assert_eq!((log.take().unwrap().seq, log.take().unwrap().seq), (1, 2));
/// log.poll(now, None);
/// assert_eq!(log.oldest().unwrap().event.kind, Kind::Lost);
/// ```
#[doc(alias = "AuditLogger")]
pub struct Log<const N: usize> {
    chain: Chain,
    /// Spelt, which makes an empty ring all zeros: what builds it elsewhere first would take its room twice.
    ring: [[u8; MAX_LEN]; N],
    /// How long each is; 0 for none.
    lens: [u16; N],
    /// Where the next record goes.
    next: usize,
    /// Records before it that nobody has taken.
    waiting: usize,
    /// Events dropped and not yet told.
    lost: u32,
    lost_total: u64,
}

impl<const N: usize> Log<N> {
    /// A log that goes on with `chain`.
    #[inline]
    #[must_use]
    pub const fn new(chain: Chain) -> Self {
        Self { chain, ring: [[0; MAX_LEN]; N], lens: [0; N], next: 0, waiting: 0, lost: 0, lost_total: 0 }
    }

    /// Appends `event`; gives its number.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the event is counted as lost.
    #[doc(alias = "log")]
    pub fn append(&mut self, event: &Event, now: Instant, unix: Option<UnixTime>) -> Result<u64, Full> {
        // The record of a loss needs a place as well; one without an event behind it would fill the log with losses.
        let needed = if self.lost > 0 { 2 } else { 1 };
        if N.saturating_sub(self.waiting) < needed {
            self.lost = self.lost.saturating_add(1);
            self.lost_total = self.lost_total.saturating_add(1);
            return Err(Full { lost: self.lost });
        }
        self.tell_loss(now, unix);
        Ok(self.keep(event.told(), now, unix))
    }

    /// Tells a loss if nothing else is waiting; whether it did.
    pub fn poll(&mut self, now: Instant, unix: Option<UnixTime>) -> bool {
        self.waiting == 0 && N > 0 && self.tell_loss(now, unix)
    }

    /// The oldest record that nobody has taken.
    #[must_use]
    pub fn oldest(&self) -> Option<Entry> {
        read(self.oldest_bytes())
    }

    /// The same, spelt: what a device sends, which need not read it.
    #[must_use]
    pub fn oldest_spelt(&self) -> Option<Spelling<'_>> {
        self.oldest_bytes().map(Spelling::new)
    }

    /// Gives up the oldest record, which somebody has now: its place may be used again.
    pub fn take(&mut self) -> Option<Entry> {
        let taken = self.oldest();
        self.pass();
        taken
    }

    /// The same without reading it; whether there was one.
    pub fn pass(&mut self) -> bool {
        let waited = self.waiting > 0;
        self.waiting = self.waiting.saturating_sub(1);
        waited
    }

    fn oldest_bytes(&self) -> Option<&[u8]> {
        if self.waiting == 0 {
            return None;
        }
        let end = if self.waiting <= self.next { self.next } else { self.next + N };
        spelt(self.ring.get(end - self.waiting), self.lens.get(end - self.waiting))
    }

    /// The last records, at most `limit`, the newest first; taken or not.
    #[doc(alias = "get_recent_events")]
    pub fn recent(&self, limit: usize) -> impl Iterator<Item = Entry> {
        let places = self.ring.iter().zip(&self.lens);
        let newer = places.clone().take(self.next).rev();
        newer
            .chain(places.skip(self.next).rev())
            .filter_map(|(bytes, len)| read(spelt(Some(bytes), Some(len))))
            .take(limit)
    }

    /// The records that `filter` asks for, the newest first.
    pub fn find<'a>(&'a self, filter: super::Filter<'a>) -> impl Iterator<Item = Entry> + 'a {
        self.recent(N).filter(move |entry| filter.matches(entry))
    }

    /// The chain's end.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.chain.head()
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let waiting = u32::try_from(self.waiting).unwrap_or(u32::MAX);
        Snapshot { head: self.head(), waiting, lost: self.lost_total }
    }

    fn tell_loss(&mut self, now: Instant, unix: Option<UnixTime>) -> bool {
        let told = self.lost > 0;
        if told {
            let mut detail = Text::<32>::EMPTY;
            digits(core::mem::take(&mut self.lost), &mut detail);
            detail.push(" events found no room");
            let (kind, outcome, detail) = (Kind::Lost, Outcome::Failure, detail.as_bytes());
            self.keep(Told { kind, outcome, actor: &[], source: &[], detail }, now, unix);
        }
        told
    }

    /// There is room.
    #[inline(never)]
    fn keep(&mut self, event: Told<'_>, now: Instant, unix: Option<UnixTime>) -> u64 {
        if let (Some(bytes), Some(len)) = (self.ring.get_mut(self.next), self.lens.get_mut(self.next)) {
            let spelling = self.chain.spell_told(event, now, unix, bytes);
            *len = u16::try_from(spelling.as_bytes().len()).unwrap_or(0);
        }
        self.next = if self.next + 1 >= N { 0 } else { self.next + 1 };
        self.waiting += 1;
        debug_assert!(self.waiting <= N);
        self.chain.state.seq
    }
}

/// The bytes of a place of the ring.
fn spelt<'a>(bytes: Option<&'a [u8; MAX_LEN]>, len: Option<&u16>) -> Option<&'a [u8]> {
    bytes?.get(..usize::from(*len?))
}

/// The record that they spell.
fn read(bytes: Option<&[u8]>) -> Option<Entry> {
    Entry::decode(bytes?).ok()
}

/// A number in decimal digits, without `core::fmt`.
fn digits<const N: usize>(number: u32, text: &mut Text<N>) {
    let mut power = 1_000_000_000_u32;
    let mut begun = false;
    while power > 0 {
        let digit = number / power % 10;
        begun |= digit > 0 || power == 1;
        if begun && let Some(digit) = char::from_digit(digit, 10) {
            text.push(digit.encode_utf8(&mut [0; 4]));
        }
        power /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, DeviceId};
    use crate::security::audit::{Filter, Verifier};
    use std::string::ToString;
    use std::vec::Vec;

    const T: Instant = Instant::from_secs(1);

    fn log<const N: usize>() -> Log<N> {
        Log::new(Chain::new(DeviceId::new("d").unwrap(), BootId(1), [7; 32]))
    }

    fn event(detail: &str) -> Event {
        Event::new(Kind::Command, Outcome::Success, "alice", "", detail)
    }

    fn seqs<const N: usize>(log: &Log<N>) -> Vec<u64> {
        log.recent(N).map(|entry| entry.seq).collect()
    }

    #[test]
    fn rule_1_a_record_stays_until_it_was_taken_and_may_be_read_until_its_place_is_needed() {
        let mut log = log::<3>();
        assert!(log.oldest().is_none() && log.take().is_none());
        for seq in 1..=3 {
            assert_eq!(log.append(&event("x"), T, None), Ok(seq));
        }
        assert_eq!(log.append(&event("x"), T, None), Err(Full { lost: 1 }));
        assert_eq!(log.take().unwrap().seq, 1);
        assert_eq!((log.oldest().unwrap().seq, seqs(&log)), (2, [3, 2, 1].into()));
        assert_eq!(log.snapshot(), Snapshot { head: log.head(), waiting: 2, lost: 1 });
    }

    #[test]
    fn what_is_sent_without_being_read_is_what_reading_gives() {
        let mut log = log::<2>();
        assert!(log.oldest_spelt().is_none() && !log.pass());
        log.append(&event("first"), T, None).unwrap();
        log.append(&event("second"), T, Some(UnixTime::from_secs(1))).unwrap();
        for detail in ["first", "second"] {
            let entry = log.oldest().unwrap();
            assert_eq!(entry.event.detail, detail);
            assert_eq!(log.oldest_spelt().unwrap().as_bytes(), entry.encode(&mut [0; MAX_LEN]));
            assert!(log.pass());
        }
        assert!(log.oldest_spelt().is_none() && !log.pass());
    }

    #[test]
    fn rule_2_what_found_no_room_is_told_by_the_chain_in_its_place() {
        let mut log = log::<3>();
        let mut taken = Vec::new();
        for n in 0..3 {
            log.append(&event(&n.to_string()), T, None).unwrap();
        }
        for lost in 1..=12 {
            assert_eq!(log.append(&event("dropped"), T, None), Err(Full { lost }));
        }
        // One place is too few for the loss and what comes behind it.
        taken.extend(log.take());
        assert_eq!(log.append(&event("dropped"), T, None), Err(Full { lost: 13 }));
        taken.extend(log.take());
        assert_eq!(log.append(&event("kept"), T, None), Ok(5));
        while let Some(entry) = log.take() {
            taken.push(entry);
        }
        assert_eq!(taken[3].event.kind, Kind::Lost);
        assert_eq!(taken[3].event.detail, "13 events found no room");
        assert_eq!(taken[4].event.detail, "kept");
        let mut verifier = Verifier::with_head([7; 32], log.head());
        assert!(taken.iter().all(|entry| verifier.check(entry).is_ok()));
        assert_eq!(verifier.finish(None), Ok(log.head()));
    }

    #[test]
    fn rule_2_a_log_that_has_run_empty_tells_a_loss_by_itself() {
        let mut log = log::<1>();
        log.append(&event("kept"), T, None).unwrap();
        assert!(log.append(&event("dropped"), T, None).is_err());
        assert!(!log.poll(T, None), "nobody has taken the first");
        log.take();
        assert!(log.poll(T, None) && !log.poll(T, None));
        assert_eq!(log.take().unwrap().event.detail, "1 events found no room");
        assert_eq!(log.append(&event("kept"), T, None), Ok(3));
    }

    #[test]
    fn rule_3_recent_and_find_give_the_newest_first() {
        let mut log = log::<4>();
        for n in 0..10 {
            let kind = if n % 2 == 0 { Kind::Login } else { Kind::Command };
            log.append(&Event { kind, ..event("") }, Instant::from_secs(n), None).unwrap();
            log.take();
        }
        assert_eq!(seqs(&log), [10, 9, 8, 7]);
        assert_eq!(log.recent(2).map(|entry| entry.seq).collect::<Vec<_>>(), [10, 9]);
        let logins = Filter { kind: Some(Kind::Login), at_since: Some(Instant::from_secs(7)), ..Filter::ALL };
        assert_eq!(log.find(logins).map(|entry| entry.seq).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_log_without_room_for_anything_counts_and_does_not_panic() {
        let mut log = log::<0>();
        assert_eq!(log.append(&event("x"), T, None), Err(Full { lost: 1 }));
        assert!(!log.poll(T, None) && log.take().is_none() && log.recent(1).next().is_none());
        assert_eq!(log.snapshot().lost, 1);
    }

    #[test]
    fn a_number_is_written_without_formatting() {
        for number in [0, 7, 10, 1_305, u32::MAX] {
            let mut text = Text::<10>::EMPTY;
            digits(number, &mut text);
            assert_eq!(text.as_str(), number.to_string());
        }
    }
}
