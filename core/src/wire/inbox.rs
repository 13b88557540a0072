//! Frames put in order.

use crate::id::BootId;
use crate::time::{Duration, Instant};

/// Says how long an [`Inbox`] waits for a frame that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// For so long a gap may be closed by frames sent again; then it counts as lost. Longer than the outbox's
    /// `resend_after`; zero for a device that keeps nothing.
    pub patience: Duration,
}

impl Config {
    /// 5 s: two resends of an outbox with its default.
    pub const DEFAULT: Self = Self { patience: Duration::from_secs(5) };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what a frame is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// The next one: take it. `lost` frames before it were given up.
    New {
        /// Numbers that never came.
        lost: u32,
    },
    /// Had before: leave it.
    Duplicate,
    /// One before it is missing: leave it, it comes again. Send the acknowledgement once more if `ask`.
    Early {
        /// The gap was seen just now.
        ask: bool,
    },
    /// Nothing but frames of old numbers for longer than `patience`: this may be another life. Send
    /// [`Identify`](super::frame::Downlink::Identify).
    Stale,
}

/// Tells what an [`Inbox`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// The number of the last frame taken.
    pub last: Option<u32>,
    /// Frames taken.
    pub taken: u64,
    /// Numbers that never came.
    pub lost: u64,
    /// Frames that had come before.
    pub duplicates: u64,
    /// Frames that came before one that was missing.
    pub early: u64,
}

/// Decides which frames are new, and what to acknowledge: the host's end of the line.
///
/// # Rules
/// 1. Frames are taken in the order of their numbers, each once.
/// 2. A gap is asked for once, and given up after `patience`: its numbers are counted as lost.
/// 3. A `Hello` with another boot id starts anew from its own number.
/// 4. Numbers wrap around.
/// 5. A host that comes in the midst of a life waits for the outbox to begin again with its oldest frame, which it does
///    as long as nothing is acknowledged: what the device still keeps is not passed over. After `patience` it takes
///    what comes.
///
/// # Cost
/// 112 bytes of RAM and 568 of flash on thumbv6m (image `inbox`); constant work a frame.
///
/// # Example
/// ```
/// use daur_core::time::Instant;
/// use daur_core::wire::inbox::{self, Arrival, Inbox};
///
/// let mut inbox = Inbox::new(inbox::Config::DEFAULT);
/// let now = Instant::from_secs(1);
/// assert_eq!(inbox.on_frame(0, None, now), Arrival::New { lost: 0 });
/// assert_eq!(inbox.on_frame(2, None, now), Arrival::Early { ask: true });
/// assert_eq!(inbox.ack(), Some(0));
/// assert_eq!(inbox.on_frame(1, None, now), Arrival::New { lost: 0 });
/// assert_eq!(inbox.on_frame(1, None, now), Arrival::Duplicate);
/// ```
#[derive(Clone, Debug)]
pub struct Inbox {
    patience: Duration,
    boot: Option<BootId>,
    gap_since: Option<Instant>,
    old_since: Option<Instant>,
    /// Before the first frame is taken: the last number seen, and when the first was.
    joining: Option<(u32, Instant)>,
    seen: Snapshot,
}

impl Inbox {
    /// An inbox that has seen nothing.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let seen = Snapshot { last: None, taken: 0, lost: 0, duplicates: 0, early: 0 };
        Self { patience: config.patience, boot: None, gap_since: None, old_since: None, joining: None, seen }
    }

    /// Judges the frame number `seq`; `hello` is the boot id if it holds a
    /// [`Record::Hello`](super::record::Record::Hello).
    pub fn on_frame(&mut self, seq: u32, hello: Option<BootId>, now: Instant) -> Arrival {
        if hello.is_some() && hello != self.boot {
            // The first hello of a life that was under way when the host came names it and changes nothing else.
            let known = self.boot.is_some();
            if known || self.seen.last.is_some_and(|last| is_old(seq.wrapping_sub(last))) {
                self.seen.last = None;
            }
            self.boot = hello;
        }
        let Some(last) = self.seen.last else {
            if self.may_begin_with(seq, now) {
                return self.take(seq, 0);
            }
            self.seen.early += 1;
            return Arrival::Early { ask: false };
        };
        let ahead = seq.wrapping_sub(last);
        match ahead {
            1 => self.take(seq, 0),
            ahead if !is_old(ahead) => {
                let ask = self.gap_since.is_none();
                let since = *self.gap_since.get_or_insert(now);
                if now.since(since) >= self.patience {
                    return self.take(seq, ahead - 1);
                }
                self.seen.early += 1;
                Arrival::Early { ask }
            }
            _ => {
                self.seen.duplicates += 1;
                let since = *self.old_since.get_or_insert(now);
                if now.since(since) < self.patience {
                    return Arrival::Duplicate;
                }
                self.old_since = Some(now);
                Arrival::Stale
            }
        }
    }

    /// The frame to acknowledge, if any was taken.
    #[must_use]
    pub const fn ack(&self) -> Option<u32> {
        self.seen.last
    }

    /// What it has seen.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        self.seen
    }

    /// Whether `seq` is the oldest that the outbox keeps: a life's first, or where it has begun again.
    fn may_begin_with(&mut self, seq: u32, now: Instant) -> bool {
        let (before, since) = *self.joining.get_or_insert((seq.wrapping_sub(1), now));
        self.joining = Some((seq, since));
        seq == 0 || is_old(seq.wrapping_sub(before)) || now.since(since) >= self.patience
    }

    fn take(&mut self, seq: u32, lost: u32) -> Arrival {
        self.joining = None;
        self.seen.last = Some(seq);
        self.seen.taken += 1;
        self.seen.lost += u64::from(lost);
        self.gap_since = None;
        self.old_since = None;
        Arrival::New { lost }
    }
}

/// Whether a number so far ahead is rather one behind.
const fn is_old(ahead: u32) -> bool {
    ahead == 0 || ahead > u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Instant = Instant::from_secs(1);
    const LATE: Instant = T.after(Config::DEFAULT.patience);
    const NEW: Arrival = Arrival::New { lost: 0 };

    fn inbox() -> Inbox {
        Inbox::new(Config::DEFAULT)
    }

    /// One that has taken this number first.
    fn at(seq: u32) -> Inbox {
        let mut inbox = inbox();
        assert_eq!(inbox.on_frame(seq, None, T), Arrival::Early { ask: false });
        assert_eq!(inbox.on_frame(seq, None, T), NEW);
        inbox
    }

    #[test]
    fn rule_1_frames_are_taken_in_order_and_once() {
        assert_eq!(inbox().ack(), None);
        let mut inbox = at(6);
        for seq in 7..10 {
            assert_eq!(inbox.on_frame(seq, None, T), NEW);
            assert_eq!(inbox.on_frame(seq, None, T), Arrival::Duplicate);
            assert_eq!(inbox.ack(), Some(seq));
        }
        assert_eq!(inbox.snapshot().duplicates, 3);
    }

    #[test]
    fn rule_2_a_gap_is_asked_for_once_and_given_up_exactly_when_patience_ends() {
        let mut inbox = inbox();
        inbox.on_frame(0, None, T);
        assert_eq!(inbox.on_frame(3, None, T), Arrival::Early { ask: true });
        assert_eq!(inbox.on_frame(4, None, LATE - Duration::from_nanos(1)), Arrival::Early { ask: false });
        assert_eq!(inbox.on_frame(5, None, LATE), Arrival::New { lost: 4 });
        assert_eq!(inbox.on_frame(6, None, LATE), NEW);
        assert_eq!(inbox.snapshot().lost, 4);
    }

    #[test]
    fn rule_3_a_hello_of_another_life_starts_anew() {
        let mut inbox = inbox();
        inbox.on_frame(0, Some(BootId(1)), T);
        for seq in 1..500 {
            inbox.on_frame(seq, None, T);
        }
        assert_eq!(inbox.on_frame(0, Some(BootId(2)), T), NEW);
        assert_eq!(inbox.on_frame(1, None, T), NEW);
        // The same life's hello again is a frame like any other.
        assert_eq!(inbox.on_frame(2, Some(BootId(2)), T), NEW);
        assert_eq!(inbox.on_frame(0, Some(BootId(2)), T), Arrival::Duplicate);
        assert_eq!(inbox.snapshot().lost, 0);
    }

    #[test]
    fn rule_3_a_hello_in_the_middle_of_a_life_names_it_and_changes_nothing_else() {
        let mut inbox = at(40);
        assert_eq!(inbox.on_frame(42, Some(BootId(1)), T), Arrival::Early { ask: true });
        assert_eq!(inbox.on_frame(41, None, T), NEW);
        assert_eq!(inbox.on_frame(42, Some(BootId(1)), T), NEW);
        // A life that had not said its name, and another one.
        let mut inbox = at(40);
        assert_eq!(inbox.on_frame(0, Some(BootId(1)), T), NEW);
    }

    #[test]
    fn rule_4_numbers_wrap_around() {
        let mut inbox = at(u32::MAX - 1);
        assert_eq!(inbox.on_frame(u32::MAX, None, T), NEW);
        assert_eq!(inbox.on_frame(0, None, T), NEW);
        assert_eq!(inbox.on_frame(u32::MAX, None, T), Arrival::Duplicate);
    }

    #[test]
    fn rule_5_a_host_that_comes_late_begins_with_the_oldest_frame_that_is_kept() {
        let early = Arrival::Early { ask: false };
        let mut inbox = inbox();
        // The end of a round, and the next.
        assert_eq!([11, 12, 13].map(|seq| inbox.on_frame(seq, None, T)), [early; 3]);
        assert_eq!(inbox.ack(), None);
        assert_eq!([4, 5, 6].map(|seq| inbox.on_frame(seq, None, T)), [NEW; 3]);
        assert_eq!((inbox.ack(), inbox.snapshot().lost), (Some(6), 0));
        // A life's first needs no second round; nor does its hello when another life was known.
        assert_eq!(self::inbox().on_frame(0, None, T), NEW);
        assert_eq!(inbox.on_frame(0, Some(BootId(1)), T), NEW);
        // One that keeps nothing does not begin again.
        let mut inbox = self::inbox();
        assert_eq!(inbox.on_frame(7, None, T), early);
        assert_eq!(inbox.on_frame(8, None, LATE - Duration::from_nanos(1)), early);
        assert_eq!(inbox.on_frame(9, None, LATE), NEW);
        // Round the end of the numbers.
        let mut inbox = self::inbox();
        assert_eq!([u32::MAX, 1].map(|seq| inbox.on_frame(seq, None, T)), [early; 2]);
        assert_eq!(inbox.on_frame(u32::MAX - 1, None, T), NEW);
    }

    #[test]
    fn old_numbers_for_longer_than_patience_may_be_another_life() {
        let mut inbox = at(500);
        assert_eq!(inbox.on_frame(1, None, T), Arrival::Duplicate);
        assert_eq!(inbox.on_frame(2, None, LATE), Arrival::Stale);
        assert_eq!(inbox.on_frame(3, None, LATE), Arrival::Duplicate);
    }
}
