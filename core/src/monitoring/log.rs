//! The last lines that were logged, in memory of fixed size that may outlive a reset.

mod level;
mod slot;

use slot::Slot;

use crate::text::Text;
use crate::time::Instant;

pub use level::{Level, ParseLevelError};

/// What a [`Log`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Lines less grave are left out.
    pub level: Level,
}

impl Config {
    /// What is good to know, and all that is graver.
    pub const DEFAULT: Self = Self { level: Level::Info };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "or say that it does not matter: `let _ =`"]
pub enum Recorded {
    /// It is kept, under this number.
    Kept {
        /// How many lines were kept before it.
        number: u32,
    },
    /// The one before it says the same, and counts it.
    Repeated {
        /// How often so far.
        repeated: u32,
    },
    /// It is less grave than what is kept.
    Filtered,
}

/// One line, or several in a row that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record<const M: usize = 64> {
    /// How many lines were kept before it, over resets.
    pub number: u32,
    /// When it was said.
    pub at: Instant,
    /// When it was said last.
    pub last_at: Instant,
    /// How grave it is.
    pub level: Level,
    /// Who says it.
    pub target: Text<16>,
    /// What is said.
    pub message: Text<M>,
    /// How often it was said once more, with nothing in between.
    pub repeated: u32,
    /// It is of a life before this one, on whose clock its times are.
    pub before_reset: bool,
}

/// Says what [`Log::recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Recovered {
    /// Lines from before the reset.
    pub kept: u32,
    /// Places whose bits are neither a line nor none: all of them after power was lost.
    pub damaged: u32,
}

/// The figures of a [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Lines in it now.
    pub len: u32,
    /// Those of them from before the reset.
    pub before_reset: u32,
    /// Lines that it has kept at some time, over resets.
    pub total: u32,
    /// Those of them that have made room for others, or were damaged.
    pub dropped: u32,
    /// Lines of before the reset that made room before they were told.
    pub untold_dropped: u32,
    /// Lines that were less grave than what is kept.
    pub filtered: u32,
    /// Lines whose target or message was longer than its place.
    pub cut: u32,
}

/// Keeps the last `N` lines that were logged, each with up to `M` bytes of message (the seed's `Logger`).
///
/// For the device; a host has `daur_std::monitoring::log`, which writes files. It consists of integers and bytes only, so that
/// memory of any content is one: a firmware puts it where the start-up code clears nothing, and
/// [`recover`](Log::recover) finds in it what was said before the reset. Or it is saved in other memory as
/// [`bytes`](Log::bytes) and read back by [`restore`](Log::restore).
///
/// # Rules
/// 1. The last `N` lines are kept, in the order in which they were said; those that made room are counted.
/// 2. A line less grave than the config's level is left out and counted.
/// 3. A line that says what the one before it said is counted there, with the time of the last; not across a reset.
/// 4. A target has up to 16 bytes and a message up to `M`, and both are cut there, at a character; cut lines are counted.
/// 5. Memory gives back each line whose sum is right, in order; a damaged one is left out alone, and whatever else lies in
///    the memory is no line.
/// 6. Lines from before the reset are marked, are handed out once each, oldest first, and numbers go on from theirs. A line
///    that makes room before it was handed out is counted.
///
/// # Cost
/// `Log<16, 64>`: 1,952 bytes of RAM and 4,556 of flash on thumbv6m (image `log`, with all of its verbs). A line is copied
/// twice and its bytes are summed; a repetition takes a comparison and a sum over 24 bytes; reading looks at all places.
///
/// # Sharing
/// Behind a [`crate::shared::Shared`]; in memory that outlives a reset, behind a critical section.
///
/// # Example
/// ```
/// use daur_core::monitoring::log::{self, Level, Log};
/// use daur_core::time::Instant;
///
/// let mut log: Log<8, 48> = Log::new(log::Config::DEFAULT);
/// for second in 1..4 {
///     let _ = log.record(Level::Warn, "sensor", "no answer", Instant::from_secs(second));
/// }
/// let _ = log.record(Level::Info, "sensor", "works again", Instant::from_secs(4));
/// let _ = log.record(Level::Debug, "sensor", "left out", Instant::from_secs(4));
///
/// let said: Vec<_> = log.recent(8, Level::Trace).map(|line| (line.message, line.repeated)).collect();
/// assert_eq!(said.len(), 2);
/// assert!(said[0].0 == "no answer" && said[0].1 == 2);
///
/// // What happens at a reset where the memory stays.
/// let found = log.recover(log::Config::DEFAULT);
/// assert_eq!((found.kept, found.damaged), (2, 0));
/// assert!(log.untold().unwrap().before_reset);
/// ```
#[doc(alias = "Logger")]
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Log<const N: usize, const M: usize = 64> {
    slots: [Slot<M>; N],
    /// The next line's number.
    next: u32,
    /// The slot that it takes.
    place: u32,
    /// The number with which this life began, or which is the oldest still there of it.
    began: u32,
    /// The number from which on lines of before are not told yet.
    untold: u32,
    untold_dropped: u32,
    filtered: u32,
    cut: u32,
    /// By how much what is kept reaches beyond [`Level::Info`], so that a log of the default is all zeros: it costs no flash.
    beyond_info: i8,
}

impl<const N: usize, const M: usize> Log<N, M> {
    /// Bytes of [`Log::bytes`].
    pub const BYTES: usize = N * (8 + 8 + 4 + 4 + 4 + 4 + 1 + 1 + 16 + 1 + M);

    /// An empty log.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        const { assert!(N > 0 && N <= 65_536, "a log has between 1 and 65,536 places") };
        Self {
            slots: [Slot::EMPTY; N],
            next: 0,
            place: 0,
            began: 0,
            untold: 0,
            untold_dropped: 0,
            filtered: 0,
            cut: 0,
            beyond_info: beyond_info(config.level),
        }
    }

    /// Takes what this memory held for lines from before a reset, as far as their sums are right, and begins a life.
    ///
    /// To be called once, before anything else, on memory that nothing has cleared.
    pub fn recover(&mut self, config: Config) -> Recovered {
        let mut damaged = 0;
        let mut newest: Option<(usize, u32)> = None;
        for (place, slot) in self.slots.iter_mut().enumerate() {
            damaged += u32::from(!slot.mend(N));
            if slot.level != 0 && newest.is_none_or(|(_, number)| is_before(number, slot.number)) {
                newest = Some((place, slot.number));
            }
        }
        let mut kept = 0;
        (self.next, self.place) = (0, 0);
        if let Some((place, number)) = newest {
            // Lines lie in the order of their numbers; what does not is of another ring.
            let (until, since) = self.slots.split_at_mut_checked(place + 1).unwrap_or_default();
            for (expected, slot) in until.iter_mut().rev().chain(since.iter_mut().rev()).enumerate() {
                let behind = u32::try_from(expected).unwrap_or(u32::MAX);
                if slot.level == 0 {
                    continue;
                }
                if slot.number == number.wrapping_sub(behind) {
                    kept += 1;
                } else {
                    slot.level = 0;
                    damaged += 1;
                }
            }
            self.next = number.wrapping_add(1);
            self.place = Self::following(place);
        }
        self.began = self.next;
        self.untold = self.next.wrapping_sub(u32::try_from(N).unwrap_or(u32::MAX));
        (self.untold_dropped, self.filtered, self.cut) = (0, 0, 0);
        self.beyond_info = beyond_info(config.level);
        Recovered { kept, damaged }
    }

    /// Keeps a line, counts it where it repeats the one before, or leaves it out.
    pub fn record(&mut self, level: Level, target: &str, message: &str, now: Instant) -> Recorded {
        if beyond_info(level) > self.beyond_info {
            self.filtered = self.filtered.saturating_add(1);
            return Recorded::Filtered;
        }
        let (target, message) = (Cut::of(target), Cut::of(message));
        self.cut = self.cut.saturating_add(u32::from(target.cut || message.cut));
        let life_is_new = self.next == self.began;
        if let Some(last) = self.last_slot().filter(|_| !life_is_new)
            && last.level == level.code()
            && last.target == target.text
            && last.message == message.text
        {
            last.repeated = last.repeated.saturating_add(1);
            last.last_at = now.as_nanos();
            last.repeated_check = last.sum_of_repeated();
            return Recorded::Repeated { repeated: last.repeated };
        }
        let (number, place) = (self.next, self.place as usize);
        let Some(slot) = self.slots.get_mut(place) else { return Recorded::Filtered };
        let is_untold = slot.is_untold(self.untold, self.began);
        self.untold_dropped = self.untold_dropped.saturating_add(u32::from(is_untold));
        slot.number = number;
        (slot.at, slot.last_at) = (now.as_nanos(), now.as_nanos());
        (slot.target, slot.message) = (target.text, message.text);
        (slot.level, slot.repeated) = (level.code(), 0);
        slot.repeated_check = slot.sum_of_repeated();
        slot.check = slot.sum(N);
        self.next = number.wrapping_add(1);
        self.place = Self::following(place);
        // Nothing is left of the former life: its end goes along, for numbers that go round.
        let places = u32::try_from(N).unwrap_or(u32::MAX);
        if self.next.wrapping_sub(self.began) > places {
            self.began = self.next.wrapping_sub(places);
        }
        Recorded::Kept { number }
    }

    /// The last `n` lines that are at least as grave as `least`, the oldest of them first.
    pub fn recent(&self, n: usize, least: Level) -> impl Iterator<Item = Record<M>> + '_ {
        let wanted = move |slot: &&Slot<M>| slot.level != 0 && slot.level <= least.code();
        let passed = self.slots.iter().filter(wanted).count().saturating_sub(n);
        self.in_order().filter(wanted).skip(passed).take(n).filter_map(|slot| slot.record(self.began))
    }

    /// All lines, the oldest first.
    pub fn records(&self) -> impl Iterator<Item = Record<M>> + '_ {
        self.in_order().filter_map(|slot| slot.record(self.began))
    }

    /// The oldest line from before the reset that has not been handed out.
    #[must_use]
    pub fn untold(&self) -> Option<Record<M>> {
        self.in_order().find(|slot| slot.is_untold(self.untold, self.began))?.record(self.began)
    }

    /// Takes note that the line of this number is handed out, and with it those before it: the number of
    /// [`untold`](Log::untold), which may have made room meanwhile.
    pub fn told(&mut self, number: u32) {
        if is_before(number, self.began) && !is_before(number, self.untold) {
            self.untold = number.wrapping_add(1);
        }
    }

    /// The least grave of what is kept.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::ALL.into_iter().find(|level| beyond_info(*level) == self.beyond_info).unwrap_or(Level::Trace)
    }

    /// Keeps lines of this level, and graver ones, from now on.
    pub fn set_level(&mut self, level: Level) {
        self.beyond_info = beyond_info(level);
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (mut len, mut before_reset) = (0, 0);
        for slot in self.slots.iter().filter(|slot| slot.level != 0) {
            len += 1;
            before_reset += u32::from(is_before(slot.number, self.began));
        }
        Snapshot {
            len,
            before_reset,
            total: self.next,
            dropped: self.next.wrapping_sub(len),
            untold_dropped: self.untold_dropped,
            filtered: self.filtered,
            cut: self.cut,
        }
    }

    /// The lines as they are to be saved where no `Log` can lie: in flash, or in memory behind a bus.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.slots.iter().flat_map(Slot::bytes)
    }

    /// Recovers the lines from what was saved, or from anything else: bytes that are missing are zeros.
    pub fn restore(&mut self, bytes: impl IntoIterator<Item = u8>, config: Config) -> Recovered {
        let mut bytes = bytes.into_iter();
        for slot in &mut self.slots {
            *slot = Slot::read(&mut bytes);
        }
        self.recover(config)
    }

    /// The slots from the oldest line's on.
    fn in_order(&self) -> impl Iterator<Item = &Slot<M>> {
        (0..N).filter_map(|n| {
            let at = (self.place as usize).saturating_add(n);
            self.slots.get(at).or_else(|| self.slots.get(at.wrapping_sub(N)))
        })
    }

    /// The slot of the latest line.
    fn last_slot(&mut self) -> Option<&mut Slot<M>> {
        let last = (self.place as usize).checked_sub(1).unwrap_or(N - 1);
        self.slots.get_mut(last)
    }

    /// The place behind this one.
    fn following(place: usize) -> u32 {
        if place + 1 < N { u32::try_from(place + 1).unwrap_or(0) } else { 0 }
    }
}

impl<const N: usize, const M: usize> Default for Log<N, M> {
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

/// How much less grave than [`Level::Info`].
const fn beyond_info(level: Level) -> i8 {
    level as i8 - Level::Info as i8
}

/// Whether one number is older than another, round the end of the numbers.
const fn is_before(number: u32, other: u32) -> bool {
    number.wrapping_sub(other) > u32::MAX / 2
}

/// A text, and whether all of it fits.
struct Cut<const L: usize> {
    text: Text<L>,
    cut: bool,
}

impl<const L: usize> Cut<L> {
    fn of(text: &str) -> Self {
        let mut held = Text::EMPTY;
        let cut = !held.push(text);
        Self { text: held, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_6_no_line_of_a_long_life_is_taken_for_one_from_before_it() {
        let mut log: Log<4, 8> = Log::new(Config::DEFAULT);
        let say = |log: &mut Log<4, 8>, n: u64| {
            let _ =
                log.record(Level::Info, "t", if n.is_multiple_of(2) { "even" } else { "odd" }, Instant::from_nanos(n));
        };
        (0..8).for_each(|n| say(&mut log, n));
        let _ = log.recover(Config::DEFAULT);
        (0..8).for_each(|n| say(&mut log, n));
        // As many lines later as no test can say.
        log.next = log.began.wrapping_add(u32::MAX / 2 - 6);
        for n in 0..16 {
            say(&mut log, n);
            let is_filled = n >= 4;
            assert!(!is_filled || (log.untold().is_none() && log.snapshot().before_reset == 0), "{n}");
        }
    }
}
