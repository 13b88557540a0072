//! What went into the machines, kept so that a host can run it once more.

#[macro_use]
mod code;
mod entry;
mod file;
mod input;
mod machine;
mod player;
mod setup;

pub use entry::Entry;
pub use file::{FileError, Head, Item, Reader, Writer};
pub use input::{Answer, Input};
pub use machine::{Calls, Digest, Machine, Observe, Runs, State};
pub use player::{Machines, Player, ReplayError, Step};
pub use setup::{Name, Setup};

use core::fmt;

use self::code::{Bytes, Put, Spelling};
use self::entry::{CHECK, SETUP};
use crate::time::Instant;

/// Says what a [`Trace`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What goes when there is no room.
    pub keep: Keep,
    /// After how many inputs a check is kept, at least 1. With 1, a replay that diverges names the very input.
    pub every: u16,
}

impl Config {
    /// The last inputs, each with a check.
    pub const DEFAULT: Self = Self { keep: Keep::Last, every: 1 };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.every == 0 { Err(ConfigError::NoChecks) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which inputs are kept when there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Keep {
    /// Those from the beginning, or from the last [`Writer::drain`]: a host can replay them.
    First,
    /// The last ones: a host can show them, and replays from where the machines are declared anew.
    Last,
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `every` is 0.
    NoChecks,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChecks => f.write_str("trace: `every` is 0; at least 1 is needed"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Records what went into machines, in a ring of `BYTES`: a flight recorder whose tape a host runs through the same
/// machines, bit for bit.
///
/// Say with [`declare`](Self::declare) which machines there are, then tell each call with [`record`](Self::record).
/// [`Writer`] makes a file of it, [`Player`] runs that (`daur-host replay FILE`). For lines that people read, use
/// a [`Log`](crate::monitoring::log::Log).
///
/// # Rules
/// 1. Played into machines made by the same setups, a whole trace gives the same answers and the same states; a check
///    tells it.
/// 2. A full trace drops whole inputs, and counts them. With [`Keep::Last`] the oldest go, up to and with a check, so that
///    the next check still holds; with [`Keep::First`] every new one, until it is drained.
/// 3. What is missing is told in its place, as [`Entry::Gap`]. Behind it no state is known until the machine is declared
///    again: [`ReplayError::Unknown`].
/// 4. The spelling is the same on every target, and there is one for every trace.
/// 5. A clock that steps back is recorded as it went.
///
/// # Cost
/// `Trace<1024>`, of a limiter, with all that writes it: 1,072 bytes of RAM and 6,868 of flash on thumbv6m (image `trace`).
/// An input takes 4 bytes, its time up to 6 and its fields; a check 6. Recording walks an input's bytes twice, and with a
/// check the machine's state once.
///
/// # Sharing
/// Put it in the same [`Shared`](crate::shared::Shared) as the machines that it records: what is told later is in
/// another order.
///
/// # Example
/// ```
/// use daur_core::monitoring::trace::{self, Answer, Input, Keep, Setup, Trace};
/// use daur_core::reliability::limiter::{Config, Limiter};
/// use daur_core::text::Text;
/// use daur_core::time::Instant;
///
/// static CONFIG: trace::Config = trace::Config { keep: Keep::First, every: 1 };
/// let mut trace: Trace<256> = Trace::new(CONFIG);
/// let mut limiter = Limiter::new(Config::DEFAULT);
///
/// let now = Instant::from_millis(1);
/// trace.declare(0, Text::cut("commands"), &Setup::Limiter { config: Config::DEFAULT }, now);
/// let checked = limiter.check(now);
/// trace.record(0, &Input::Check { n: 1 }, &Answer::from(checked), &limiter, now);
/// assert_eq!((trace.snapshot().inputs, trace.snapshot().dropped), (2, 0));
/// ```
///
/// # References
/// O'Callahan et al., "Engineering Record and Replay for Deployability" (USENIX ATC 2017), for what is worth
/// recording: that alone which is not determined by the rest.
#[doc(alias = "flight recorder")]
#[doc(alias = "record and replay")]
#[derive(Clone, Debug)]
pub struct Trace<const BYTES: usize> {
    config: Config,
    ring: Ring<BYTES>,
    /// The moment before the oldest entry, and that of the newest.
    before: Instant,
    last: Instant,
    /// Of the inputs since the last check.
    digest: Digest,
    unchecked: u16,
    inputs: u32,
    /// Dropped and not told yet, and all told.
    missing: u32,
    dropped: u32,
}

impl<const BYTES: usize> Trace<BYTES> {
    /// An empty trace.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(trace) => trace,
            Err(_) => panic!("invalid trace::Config: see Config::validate"),
        }
    }

    /// An empty trace, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        Ok(Self {
            config,
            ring: Ring { bytes: [0; BYTES], first: 0, len: 0 },
            before: Instant::ZERO,
            last: Instant::ZERO,
            digest: Digest::new(),
            unchecked: 0,
            inputs: 0,
            missing: 0,
            dropped: 0,
        })
    }

    /// Tells that `machine` begins, or begins anew, as `setup` says.
    pub fn declare(&mut self, machine: u8, name: Name, setup: &Setup, now: Instant) {
        let last = self.last;
        self.keep(now, 0, &|out| {
            entry::put_head(SETUP, machine, now, last, out);
            name.put(out);
            setup.put(out);
        });
    }

    /// Tells that `input` went into `machine` at `now`, the very `now` that the machine was given, what it answered, and how
    /// it stands after it.
    pub fn record(&mut self, machine: u8, input: &Input, answer: &Answer, stands: &dyn Observe, now: Instant) {
        let due = self.unchecked.saturating_add(1) >= self.config.every;
        let last = self.last;
        let kept = self.keep(now, if due { 1 + CHECK_LEN } else { 0 }, &|out| {
            entry::put_head(input.number(), machine, now, last, out);
            input.put(out);
        });
        if !kept {
            return;
        }
        self.digest.see(answer);
        self.unchecked = self.unchecked.saturating_add(1);
        if due {
            stands.observe(now, &mut self.digest);
            let check = Entry::Check { digest: self.digest.finish() };
            self.ring.push(CHECK_LEN as u8);
            entry::put_mark(&check, &mut |byte| self.ring.push(byte));
            self.restart_digest();
        }
    }

    /// Gives `input` to `machine` and records both: for machines that are driven by inputs alone.
    pub fn drive(&mut self, number: u8, machine: &mut dyn Machine, input: &Input, now: Instant) -> Option<Answer> {
        let answer = machine.apply(input, now)?;
        self.record(number, input, &answer, machine, now);
        Some(answer)
    }

    /// What has been recorded, and what of it is there.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot { inputs: self.inputs, dropped: self.dropped, used: self.ring.len as u32, capacity: BYTES as u32 }
    }

    /// Keeps an entry, with room for `more` bytes behind it; `false` if it is dropped.
    fn keep(&mut self, now: Instant, more: usize, body: &Spelling<'_>) -> bool {
        self.inputs = self.inputs.saturating_add(1);
        let mut len = 0_usize;
        body(&mut |_| len += 1);
        let (Ok(short), true) = (u8::try_from(len), self.make_room(1 + len + more)) else {
            // What follows in the same order would be told as if this one had not been.
            self.drop_newest();
            return false;
        };
        self.ring.push(short);
        let Self { ring, digest, .. } = self;
        digest.number(now.as_nanos());
        body(&mut |byte| {
            ring.push(byte);
            digest.bytes(&[byte]);
        });
        self.last = now;
        true
    }

    /// Whether there is room for so many bytes, perhaps since the oldest entries have gone.
    fn make_room(&mut self, len: usize) -> bool {
        if self.config.keep == Keep::First && self.missing > 0 || len > BYTES {
            return false;
        }
        while BYTES - self.ring.len.min(BYTES) < len {
            if self.config.keep == Keep::First {
                return false;
            }
            self.drop_oldest();
        }
        true
    }

    /// Drops the oldest entries, up to and with a check.
    fn drop_oldest(&mut self) {
        loop {
            // As much of the entry as may be its time: the longest number has ten bytes.
            let mut begin = [0; 12];
            let Some(len) = self.ring.pop(&mut begin) else {
                // The digest is that of inputs which are gone.
                self.before = self.last;
                self.restart_digest();
                return;
            };
            if begin.first() == Some(&CHECK) {
                return;
            }
            let begin = begin.get(..len.min(12)).unwrap_or_default();
            if let Some((_, _, at)) = entry::time(&mut Bytes(begin), self.before) {
                self.before = at;
            }
            self.count_missing();
        }
    }

    fn drop_newest(&mut self) {
        self.count_missing();
        if self.config.keep == Keep::Last {
            // Too long for any room. What is there would not be whole with what comes, so it goes, too.
            while self.ring.len > 0 {
                self.drop_oldest();
            }
        }
        self.restart_digest();
    }

    const fn count_missing(&mut self) {
        self.missing = self.missing.saturating_add(1);
        self.dropped = self.dropped.saturating_add(1);
    }

    const fn restart_digest(&mut self) {
        self.digest = Digest::new();
        self.unchecked = 0;
    }

    /// All that is there, in order.
    fn each(&self, out: &mut dyn FnMut(u8)) {
        let gap = |at, out: &mut dyn FnMut(u8)| {
            if self.missing > 0 {
                file::put_mark(&Entry::Gap { missing: self.missing, at }, out);
            }
        };
        let first = self.config.keep == Keep::First;
        if !first {
            gap(self.before, out);
        }
        self.ring.each(out);
        if first {
            gap(self.last, out);
        }
    }

    fn clear(&mut self) {
        self.ring.len = 0;
        self.before = self.last;
        self.missing = 0;
    }
}

/// Bytes of a check, without those that say how many.
const CHECK_LEN: usize = 5;

/// Entries, each behind its length.
#[derive(Clone, Debug)]
struct Ring<const BYTES: usize> {
    bytes: [u8; BYTES],
    first: usize,
    len: usize,
}

impl<const BYTES: usize> Ring<BYTES> {
    /// For which there is room.
    fn push(&mut self, byte: u8) {
        let at = self.first + self.len;
        let at = if at < BYTES { at } else { at - BYTES };
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
            self.len += 1;
        }
    }

    fn pop_byte(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.bytes.get(self.first).copied();
        self.first = if self.first + 1 < BYTES { self.first + 1 } else { 0 };
        byte
    }

    /// Takes the oldest entry out: its length, and its first bytes.
    fn pop(&mut self, begin: &mut [u8]) -> Option<usize> {
        let len = usize::from(self.pop_byte()?);
        let mut begin = begin.iter_mut();
        for _ in 0..len {
            let byte = self.pop_byte()?;
            if let Some(place) = begin.next() {
                *place = byte;
            }
        }
        Some(len)
    }

    fn each(&self, out: &mut dyn FnMut(u8)) {
        for &byte in self.bytes.iter().skip(self.first).chain(&self.bytes).take(self.len) {
            out(byte);
        }
    }
}

/// Shows a [`Trace`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Inputs and setups, the dropped ones counted.
    pub inputs: u32,
    /// Those that were dropped.
    pub dropped: u32,
    /// Bytes in use.
    pub used: u32,
    /// Bytes that there are.
    pub capacity: u32,
}
