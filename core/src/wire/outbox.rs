//! Frames kept until the host has them.

use core::fmt;

use super::cobs::Place;
use super::frame::{self, Content};
use super::record::Record;
use crate::security::audit::Spelling;
use crate::time::{Duration, Instant};

/// Says how long an [`Outbox`] waits for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What was sent and is not acknowledged after this time is sent again. `None`: the link has no way back, and
    /// a frame is forgotten as soon as it is read.
    pub resend_after: Option<Duration>,
}

impl Config {
    /// Sent again after 2 s.
    pub const DEFAULT: Self = Self { resend_after: Some(Duration::from_secs(2)) };

    /// Checks the values.
    ///
    /// # Errors
    /// [`ConfigError`] if the time to wait is zero: the outbox would never get beyond its first byte.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self.resend_after {
            Some(wait) if wait.is_zero() => Err(ConfigError),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says that a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConfigError;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`resend_after` must be above zero, or `None` for a link without a way back")
    }
}

impl core::error::Error for ConfigError {}

/// Says that there was no room for a record; it is counted, and a [`Record::Lost`] will tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full {
    /// Records dropped since the last [`Record::Lost`], this one included.
    pub lost: u32,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the outbox is full, {} records are dropped until the host acknowledges some", self.lost)
    }
}

impl core::error::Error for Full {}

/// Tells how an [`Outbox`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// The number that the next frame gets, which is how many there were.
    pub next: u32,
    /// Frames that the host has not acknowledged.
    pub held: u32,
    /// Bytes that they take.
    pub bytes: usize,
    /// Records dropped since the reset.
    pub lost: u32,
    /// How often it has begun again with the oldest frame.
    pub rewinds: u32,
}

/// Numbers records, encodes them and keeps them until the host has acknowledged them.
///
/// The device's end of the line, for what the seed's `MonitoringDashboard` shows of a device. Push records from
/// tasks, [`read`](Self::read) bytes for the UART, hand what the host says to [`ack`](Self::ack), and call
/// [`poll`](Self::poll) at [`poll_at`](Self::poll_at).
///
/// # Rules
/// 1. Frames are numbered from 0 without gaps: a gap at the host is the line's, never the outbox's.
/// 2. What there is no room for is dropped, the newest first, and counted; the next record that fits comes behind a
///    [`Record::Lost`] that stands where the dropped ones would have stood. An outbox that has run empty tells by
///    itself.
/// 3. An acknowledged frame is forgotten, and all before it.
/// 4. An acknowledgement of nothing new asks for what follows it: the outbox begins again with its oldest frame. So
///    it does when nothing was acknowledged for `resend_after`, unless that frame is not out yet: on a line so slow that
///    a frame takes longer it waits once more, since beginning again would never get beyond it.
/// 5. Only what has been read can be acknowledged; any other number changes nothing.
/// 6. Whatever begins anew begins with a delimiter, so that a frame cut short does not spoil the next. Its receiver
///    counts what was cut as one damaged frame.
///
/// # Cost
/// `BYTES` and 64 more on a Cortex-M: 1,088 bytes of RAM and 3,696 of flash on thumbv6m (image `outbox`, 736 bytes of
/// stack), of which 1.1 KB are the kinds of record. Constant work a byte; `ack` walks over what it forgets.
///
/// # Errors
/// [`Full`] tells the caller what the [`Record::Lost`] will tell the host; nothing needs to be done about it.
///
/// # Sharing
/// In a [`CsShared`](crate::shared) on a device: tasks push, the transmit interrupt reads.
///
/// # Example
/// ```
/// use daur_core::time::Instant;
/// use daur_core::wire::{outbox::{self, Outbox}, record::Record};
///
/// let now = Instant::from_secs(1);
/// let mut outbox: Outbox<48> = Outbox::new(outbox::Config::DEFAULT);
/// let record = Record::Health { live: true, ready: true };
/// while outbox.push(&record, now).is_ok() {}
///
/// let mut line = [0; 64];
/// outbox.read(&mut line, now);
/// let last = outbox.snapshot().next - 1;
/// outbox.ack(last, now);
/// assert_eq!(outbox.snapshot().held, 0);
/// // The dropped record is told as soon as there is room.
/// assert!(outbox.read(&mut line, now) > 0);
/// ```
///
/// # References
/// Oxide's `snitch` keeps ereports the same way: numbered, with loss as a record of its own.
#[derive(Clone, Debug)]
pub struct Outbox<const BYTES: usize> {
    /// Encoded frames, one behind the other, each ended by its zero.
    ring: [u8; BYTES],
    /// Where the oldest frame begins.
    head: usize,
    /// Bytes in use.
    len: usize,
    /// Bytes from `head` that have been read since the last rewind.
    read: usize,
    /// Bytes from `head` that have ever been read; at least `read`.
    sent: usize,
    /// The oldest frame's number.
    first: u32,
    /// The next frame's number.
    next: u32,
    /// Records dropped and not yet told.
    lost: u32,
    lost_since: Instant,
    lost_total: u32,
    rewinds: u32,
    /// The line is in the middle of a frame that will not be continued, or in an unknown state.
    cut: bool,
    /// Zero: nothing is sent again. These two are not options, which cost flash.
    resend_after: Duration,
    /// [`Instant::MAX`]: nothing is awaited.
    resend_at: Instant,
}

impl<const BYTES: usize> Outbox<BYTES> {
    /// An empty outbox.
    ///
    /// # Panics
    /// If the config is invalid: in a `static`, that is an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "an outbox must wait for longer than no time before it sends again");
        Self::checked(config)
    }

    /// An empty outbox with a config read at run time.
    ///
    /// # Errors
    /// [`ConfigError`] if the config is invalid.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self::checked(config)),
            Err(error) => Err(error),
        }
    }

    const fn checked(config: Config) -> Self {
        Self {
            ring: [0; BYTES],
            head: 0,
            len: 0,
            read: 0,
            sent: 0,
            first: 0,
            next: 0,
            lost: 0,
            lost_since: Instant::ZERO,
            lost_total: 0,
            rewinds: 0,
            cut: true,
            resend_after: match config.resend_after {
                Some(wait) => wait,
                None => Duration::ZERO,
            },
            resend_at: Instant::MAX,
        }
    }

    /// Numbers and keeps `record`; gives its number.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the record is counted as lost.
    pub fn push(&mut self, record: &Record, now: Instant) -> Result<u32, Full> {
        self.offer(record, now).map_err(|_| {
            if self.lost == 0 {
                self.lost_since = now;
            }
            self.lost = self.lost.saturating_add(1);
            self.lost_total = self.lost_total.saturating_add(1);
            Full { lost: self.lost }
        })
    }

    /// Keeps `record` if there is room, and counts nothing if there is not: for a record that its owner keeps and
    /// offers again, as those of an [audit log](crate::security::audit::Log).
    ///
    /// # Errors
    /// [`Full`] if there is no room; nothing is lost.
    pub fn offer(&mut self, record: &Record, now: Instant) -> Result<u32, Full> {
        self.offer_content(Content::Record(record), now)
    }

    /// The same for a record of the audit chain as the chain has spelt it. On the line it is a [`Record::Audit`]; that
    /// needs 300 bytes of stack, and this none of them.
    ///
    /// # Errors
    /// [`Full`] if there is no room; nothing is lost.
    pub fn offer_audit(&mut self, spelling: Spelling<'_>, now: Instant) -> Result<u32, Full> {
        self.offer_content(Content::Audit(spelling), now)
    }

    fn offer_content(&mut self, content: Content<'_>, now: Instant) -> Result<u32, Full> {
        let before = (self.len, self.next, self.lost);
        let kept = if self.tell_loss(now) { self.append(content, now) } else { None };
        self.invariants();
        kept.ok_or_else(|| {
            // A `Lost` without a record behind it would fill the outbox with losses.
            (self.len, self.next, self.lost) = before;
            Full { lost: self.lost }
        })
    }

    /// Copies the next bytes for the line to `out`; how many.
    pub fn read(&mut self, out: &mut [u8], now: Instant) -> usize {
        if self.len == 0 {
            self.tell_loss(now);
        }
        let mut copied = 0;
        for place in out {
            if self.read >= self.len {
                break;
            }
            copied += 1;
            if core::mem::take(&mut self.cut) {
                *place = 0;
                continue;
            }
            *place = self.byte(self.read);
            self.read += 1;
            if *place == 0 && self.resend_after.is_zero() {
                self.forget(self.read);
            }
        }
        self.sent = self.sent.max(self.read);
        if self.resend_at == Instant::MAX {
            self.await_ack(now);
        }
        self.invariants();
        copied
    }

    /// Forgets the frames up to and including number `seq`, which the host has; how many.
    pub fn ack(&mut self, seq: u32, now: Instant) -> u32 {
        let newest = seq.wrapping_sub(self.first);
        if newest == u32::MAX {
            self.rewind();
            return 0;
        }
        if newest >= self.next.wrapping_sub(self.first) {
            return 0;
        }
        let before = self.first;
        while self.first != seq.wrapping_add(1) {
            let end = self.end_of_first();
            if end > self.sent {
                break;
            }
            self.forget(end);
        }
        self.await_ack(now);
        self.invariants();
        self.first.wrapping_sub(before)
    }

    /// Begins again with the oldest frame, as when the line was cut and is back.
    #[inline(never)]
    pub fn rewind(&mut self) {
        self.resend_at = Instant::MAX;
        if self.sent > 0 {
            self.read = 0;
            self.cut = true;
            self.rewinds = self.rewinds.saturating_add(1);
        }
    }

    /// Begins again with the oldest frame if the host has been silent for too long; whether it did.
    pub fn poll(&mut self, now: Instant) -> bool {
        let due = self.resend_at <= now && self.resend_at < Instant::MAX;
        if !due {
            return false;
        }
        // On a slow line the oldest frame may still be under way: nobody can have acknowledged it.
        let sent = self.read >= self.end_of_first();
        if sent {
            self.rewind();
        } else {
            self.await_ack(now);
        }
        sent
    }

    /// When [`poll`](Self::poll) would do something.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        if self.resend_at.as_nanos() == Instant::MAX.as_nanos() { None } else { Some(self.resend_at) }
    }

    /// Whether [`read`](Self::read) would give bytes.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.read < self.len || (self.len == 0 && self.lost > 0)
    }

    /// How it stands.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot {
            next: self.next,
            held: self.next.wrapping_sub(self.first),
            bytes: self.len,
            lost: self.lost_total,
            rewinds: self.rewinds,
        }
    }

    /// Waits for the acknowledgement of what was sent, from now on.
    #[inline(never)]
    fn await_ack(&mut self, now: Instant) {
        let awaited = self.sent > 0 && !self.resend_after.is_zero();
        self.resend_at = if awaited { now + self.resend_after } else { Instant::MAX };
    }

    /// Keeps a `Lost` if there is something to tell; whether nothing remains to be told.
    fn tell_loss(&mut self, now: Instant) -> bool {
        if self.lost > 0 {
            let lost = Content::Lost { count: self.lost, since: self.lost_since };
            if self.append(lost, now).is_none() {
                return false;
            }
            self.lost = 0;
        }
        true
    }

    fn append(&mut self, content: Content<'_>, now: Instant) -> Option<u32> {
        let seq = self.next;
        let free = BYTES.saturating_sub(self.len);
        let tail = wrapped(self.head + self.len, BYTES);
        let written = frame::encode(seq, now, content, Tail { ring: &mut self.ring, tail, free })?;
        self.len += written;
        self.next = seq.wrapping_add(1);
        Some(seq)
    }

    fn byte(&self, at: usize) -> u8 {
        self.ring.get(wrapped(self.head + at, BYTES)).copied().unwrap_or(0)
    }

    /// Bytes of the oldest frame.
    fn end_of_first(&self) -> usize {
        let mut at = 0;
        while at < self.len && self.byte(at) != 0 {
            at += 1;
        }
        at + 1
    }

    /// Forgets the oldest frame, of `bytes` bytes.
    fn forget(&mut self, bytes: usize) {
        self.head = wrapped(self.head + bytes, BYTES);
        self.len = self.len.saturating_sub(bytes);
        self.sent = self.sent.saturating_sub(bytes);
        // The reader stood in it: what it has begun will not be continued.
        self.cut |= self.read > 0 && self.read < bytes;
        self.read = self.read.saturating_sub(bytes);
        self.first = self.first.wrapping_add(1);
    }

    fn invariants(&self) {
        debug_assert!(self.len <= BYTES && self.read <= self.sent && self.sent <= self.len);
        debug_assert!((self.len == 0) == (self.first == self.next));
        debug_assert!(BYTES == 0 || self.head < BYTES);
        debug_assert!(self.len == 0 || self.byte(self.len - 1) == 0);
    }
}

/// `at`, which is less than twice `len`, on a ring of `len`: no division.
const fn wrapped(at: usize, len: usize) -> usize {
    if at >= len { at - len } else { at }
}

/// The free part of the ring.
struct Tail<'a> {
    ring: &'a mut [u8],
    tail: usize,
    free: usize,
}

impl Place for Tail<'_> {
    fn put(&mut self, at: usize, byte: u8) -> bool {
        let at = if at < self.free { wrapped(self.tail + at, self.ring.len()) } else { return false };
        match self.ring.get_mut(at) {
            Some(place) => {
                *place = byte;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use crate::wire::decoder::Decoder;
    use crate::wire::frame::{Frame, MAX_PAYLOAD};
    use std::vec::Vec;

    const T: Instant = Instant::from_secs(1);

    fn counter(total: u64) -> Record {
        Record::Counter { name: Text::cut("reads"), total }
    }

    /// Reads everything in pieces of `piece` bytes.
    fn drain<const N: usize>(outbox: &mut Outbox<N>, piece: usize, now: Instant) -> Vec<Frame> {
        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let mut frames = Vec::new();
        let mut line = [0; 64];
        loop {
            let len = outbox.read(&mut line[..piece], now);
            let mut bytes = &line[..len];
            while let Some(payload) = decoder.feed(&mut bytes) {
                frames.push(Frame::decode(payload).unwrap());
            }
            if len == 0 {
                assert_eq!(decoder.snapshot().crc_errors, 0);
                return frames;
            }
        }
    }

    fn numbers(frames: &[Frame]) -> Vec<u32> {
        frames.iter().map(|frame| frame.seq).collect()
    }

    #[test]
    fn rule_1_frames_are_numbered_from_zero_without_gaps() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        for total in 0..5 {
            assert_eq!(outbox.push(&counter(total), T).map(u64::from), Ok(total));
        }
        let frames = drain(&mut outbox, 7, T);
        assert_eq!(numbers(&frames), [0, 1, 2, 3, 4]);
        assert_eq!((frames[4].record, frames[4].at), (counter(4), T));
        assert!(!outbox.is_pending());
    }

    #[test]
    fn rule_2_loss_is_told_between_what_came_before_and_what_came_after() {
        let mut outbox = Outbox::<80>::new(Config::DEFAULT);
        let mut kept = 0;
        while outbox.push(&counter(kept), T).is_ok() {
            kept += 1;
        }
        let later = Instant::from_secs(2);
        assert_eq!(outbox.push(&counter(99), later), Err(Full { lost: 2 }));
        assert_eq!(numbers(&drain(&mut outbox, 64, later)).len() as u64, kept);
        outbox.ack(u32::try_from(kept).unwrap() - 1, later);
        outbox.push(&counter(100), later).unwrap();
        let frames = drain(&mut outbox, 64, later);
        assert_eq!(frames[0].record, Record::Lost { count: 2, since: T });
        assert_eq!(frames[1].record, counter(100));
        assert_eq!(outbox.snapshot().lost, 2);
    }

    #[test]
    fn rule_2_an_outbox_that_has_run_empty_tells_its_loss_by_itself() {
        let mut outbox = Outbox::<24>::new(Config::DEFAULT);
        outbox.push(&counter(1), T).unwrap();
        outbox.push(&counter(2), T).unwrap_err();
        drain(&mut outbox, 64, T);
        outbox.ack(0, T);
        assert!(outbox.is_pending());
        let frames = drain(&mut outbox, 64, T);
        assert_eq!(frames[0].record, Record::Lost { count: 1, since: T });
        assert!(!outbox.is_pending());
    }

    #[test]
    fn rule_2_a_loss_without_room_for_a_record_behind_it_waits() {
        let mut outbox = Outbox::<40>::new(Config::DEFAULT);
        while outbox.push(&counter(1), T).is_ok() {}
        drain(&mut outbox, 64, T);
        // One frame's place is free: enough for the `Lost` alone.
        outbox.ack(0, T);
        for lost in 2..5 {
            assert_eq!(outbox.push(&counter(1), T), Err(Full { lost }));
        }
        assert_eq!(outbox.snapshot().held, 1);
    }

    #[test]
    fn rule_3_an_acknowledged_frame_is_forgotten_and_all_before_it() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        for total in 0..5 {
            outbox.push(&counter(total), T).unwrap();
        }
        drain(&mut outbox, 64, T);
        assert_eq!(outbox.ack(2, T), 3);
        outbox.rewind();
        assert_eq!(numbers(&drain(&mut outbox, 64, T)), [3, 4]);
        assert_eq!(outbox.ack(4, T), 2);
        assert_eq!(outbox.poll_at(), None);
        assert_eq!(outbox.snapshot().bytes, 0);
    }

    #[test]
    fn rule_4_silence_makes_it_begin_again_exactly_at_poll_at() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        outbox.push(&counter(0), T).unwrap();
        assert_eq!(outbox.poll_at(), None);
        drain(&mut outbox, 64, T);
        let at = outbox.poll_at().unwrap();
        assert_eq!(at, T + Duration::from_secs(2));
        assert!(!outbox.poll(at - Duration::from_nanos(1)) && !outbox.is_pending());
        assert!(outbox.poll(at));
        assert_eq!(numbers(&drain(&mut outbox, 64, at)), [0]);
        assert_eq!(outbox.poll_at(), Some(at + Duration::from_secs(2)));
        assert_eq!(outbox.snapshot().rewinds, 1);
    }

    #[test]
    fn rule_4_a_frame_that_takes_longer_than_the_wait_is_not_begun_again_before_it_is_out() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        outbox.push(&counter(0), T).unwrap();
        outbox.push(&counter(1), T).unwrap();
        let mut byte = [0; 1];
        let mut now = T;
        // A second a byte. The delimiter in front and the frame's own.
        let mut zeros = 0;
        while zeros < 2 {
            assert!(!outbox.poll(now));
            assert_eq!(outbox.read(&mut byte, now), 1);
            zeros += u32::from(byte == [0]);
            now += Duration::from_secs(1);
        }
        let at = outbox.poll_at().unwrap();
        assert!(!outbox.poll(at - Duration::from_nanos(1)));
        assert!(outbox.poll(at));
        assert_eq!((outbox.snapshot().rewinds, outbox.ack(0, at)), (1, 1));
    }

    #[test]
    fn rule_4_an_acknowledgement_of_nothing_new_asks_for_what_follows_it() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        for total in 0..3 {
            outbox.push(&counter(total), T).unwrap();
        }
        drain(&mut outbox, 64, T);
        assert_eq!(outbox.ack(0, T), 1);
        assert!(!outbox.is_pending());
        assert_eq!(outbox.ack(0, T), 0);
        assert_eq!(numbers(&drain(&mut outbox, 64, T)), [1, 2]);
    }

    #[test]
    fn rule_5_only_what_has_been_read_can_be_acknowledged() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        for total in 0..3 {
            outbox.push(&counter(total), T).unwrap();
        }
        assert_eq!(outbox.ack(1, T), 0);
        outbox.read(&mut [0; 25], T);
        // The second frame is not wholly read.
        assert_eq!(outbox.ack(1, T), 1);
        assert_eq!(outbox.ack(3, T), 0);
        assert_eq!(outbox.ack(70_000, T), 0);
        assert_eq!(outbox.snapshot().held, 2);
    }

    #[test]
    fn rule_6_a_frame_cut_short_does_not_spoil_the_next() {
        let mut outbox = Outbox::<256>::new(Config::DEFAULT);
        for total in 0..3 {
            outbox.push(&counter(total), T).unwrap();
        }
        let mut line = [0; 512];
        let mut len = outbox.read(&mut line[..25], T);
        outbox.rewind();
        len += outbox.read(&mut line[len..len + 10], T);
        // The host has the first frame meanwhile, and the outbox is in the midst of saying it again.
        outbox.ack(0, T);
        len += outbox.read(&mut line[len..], T);

        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let mut bytes = &line[..len];
        let mut seen = Vec::new();
        while let Some(payload) = decoder.feed(&mut bytes) {
            seen.push(Frame::decode(payload).unwrap().seq);
        }
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn without_a_way_back_a_frame_is_forgotten_when_it_is_read() {
        let mut outbox = Outbox::<48>::new(Config { resend_after: None });
        for total in 0..100 {
            outbox.push(&counter(total), T).unwrap();
            assert_eq!(numbers(&drain(&mut outbox, 5, T)).len(), 1);
        }
        assert_eq!(outbox.poll_at(), None);
        assert_eq!(outbox.snapshot().held, 0);
    }

    #[test]
    fn what_is_offered_and_finds_no_room_is_not_lost() {
        let mut outbox = Outbox::<48>::new(Config::DEFAULT);
        let mut offered = 0;
        while outbox.offer(&counter(offered), T).is_ok() {
            offered += 1;
        }
        let full = outbox.snapshot();
        assert_eq!((u64::from(full.next), full.lost), (offered, 0));
        let mut line = [0; 64];
        outbox.read(&mut line, T);
        outbox.ack(0, T);
        assert_eq!(outbox.offer(&counter(offered), T), Ok(full.next));
        // Behind a loss it waits until both have room, and the loss is told first.
        assert_eq!(outbox.push(&counter(99), T), Err(Full { lost: 1 }));
        assert_eq!(outbox.offer(&counter(99), T), Err(Full { lost: 1 }));
        assert_eq!(outbox.snapshot().lost, 1);
    }

    #[test]
    fn a_record_of_the_chain_goes_out_as_it_was_spelt() {
        let entry = crate::security::audit::longest();
        let mut outbox = Outbox::<2048>::new(Config::DEFAULT);
        outbox.offer(&Record::Audit { entry }, T).unwrap();
        let mut log = crate::security::audit::Log::<1>::new(crate::security::audit::Chain::new(
            entry.device,
            entry.boot,
            [7; 32],
        ));
        log.append(&entry.event, T, None).unwrap();
        let spelling = log.oldest_spelt().unwrap();
        assert_eq!(outbox.offer_audit(spelling, T), Ok(1));
        let records: Vec<Record> = drain(&mut outbox, 64, T).iter().map(|frame| frame.record).collect();
        assert_eq!(records, [Record::Audit { entry }, Record::Audit { entry: log.oldest().unwrap() }]);
        // Without room nothing is lost, and it stays where it is.
        let mut small = Outbox::<16>::new(Config::DEFAULT);
        assert_eq!(small.offer_audit(spelling, T), Err(Full { lost: 0 }));
        assert_eq!(small.snapshot().bytes, 0);
    }

    #[test]
    fn an_outbox_without_room_for_anything_counts_and_does_not_panic() {
        let mut outbox = Outbox::<0>::new(Config::DEFAULT);
        assert_eq!(outbox.push(&counter(1), T), Err(Full { lost: 1 }));
        assert_eq!(outbox.read(&mut [0; 8], T), 0);
        assert_eq!(outbox.ack(0, T), 0);
    }

    #[test]
    fn a_wait_of_no_time_is_refused() {
        let config = Config { resend_after: Some(Duration::ZERO) };
        assert_eq!(Outbox::<8>::try_new(config).err(), Some(ConfigError));
    }
}
