//! Runs a device's trace through the same machines, here.

use std::collections::BTreeMap;
use std::fmt;

use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::trace::{
    Answer, Calls, Digest, Entry, FileError, Head, Input, Item, Machine, Machines, Name, Observe, Player, Reader,
    ReplayError, Runs, Setup, State, Step,
};
use daur_core::performance::cache::{self, Cache};
use daur_core::reliability::breaker::Breaker;
use daur_core::reliability::executor::Executor;
use daur_core::reliability::health::Health;
use daur_core::reliability::limiter::Limiter;
use daur_core::reliability::retry::Retry;
use daur_core::time::Instant;

/// The most entries that a replayed cache can hold.
const CACHE: usize = 1_024;
/// The most checks that a replayed health can hold.
const CHECKS: usize = 64;

/// Makes and keeps whatever machines a trace declares.
///
/// Executors, breakers, retries, limiters; caches of up to 1,024 entries; health of up to 64 checks; errors that count 1, 2,
/// 4, 8 or 16 kinds and keep 0, 1, 2, 4 or 8 of the last. For what it cannot make, write your own [`Machines`].
#[derive(Default)]
pub struct Declared {
    machines: BTreeMap<u8, Box<dyn Machine + Send>>,
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.machines.keys()).finish()
    }
}

impl Machines for Declared {
    fn declare(&mut self, number: u8, _name: &Name, setup: &Setup, now: Instant) -> bool {
        // What cannot be made leaves nothing behind that could be taken for it.
        self.machines.remove(&number);
        let Some(machine) = make(setup, now) else { return false };
        self.machines.insert(number, machine);
        true
    }

    fn machine(&mut self, number: u8) -> Option<&mut dyn Machine> {
        self.machines.get_mut(&number).map(|machine| &mut **machine as &mut dyn Machine)
    }

    fn forget(&mut self) {
        self.machines.clear();
    }
}

fn make(setup: &Setup, now: Instant) -> Option<Box<dyn Machine + Send>> {
    Some(match *setup {
        Setup::Executor { config, seed } => Box::new(Runs::<_, 256>::new(Executor::try_new(config, seed).ok()?)),
        Setup::Breaker { config } => Box::new(Calls::<_, 256>::new(Breaker::try_new(config).ok()?)),
        Setup::Retry { config, seed } => {
            config.validate().ok()?;
            Box::new(Retry::new(config, seed, now))
        }
        Setup::Limiter { config } => Box::new(Limiter::try_new(config).ok()?),
        Setup::Cache { config, capacity } => match usize::from(capacity) {
            capacity @ ..=64 => sized_cache::<64>(config, capacity)?,
            capacity @ ..=CACHE => sized_cache::<CACHE>(config, capacity)?,
            _ => return None,
        },
        Setup::Health { config, checks } if usize::from(checks) <= CHECKS => {
            Box::new(SizedHealth { health: Health::new(config), checks: checks.into() })
        }
        Setup::Errors { config, kinds, last } => match kinds {
            1 => sized_errors::<1>(config, last)?,
            2 => sized_errors::<2>(config, last)?,
            4 => sized_errors::<4>(config, last)?,
            8 => sized_errors::<8>(config, last)?,
            16 => sized_errors::<16>(config, last)?,
            _ => return None,
        },
        _ => return None,
    })
}

/// A cache made smaller behaves as one of that size: it drops when it holds so many.
fn sized_cache<const N: usize>(config: cache::Config, capacity: usize) -> Option<Box<dyn Machine + Send>> {
    let mut cache = Box::new(Cache::<u32, u32, N>::try_new(config).ok()?);
    cache.resize_soft(capacity);
    Some(cache)
}

fn sized_errors<const KINDS: usize>(config: errors::Config, last: u8) -> Option<Box<dyn Machine + Send>> {
    Some(match last {
        0 => Box::new(Errors::<KINDS, 0>::try_new(config).ok()?),
        1 => Box::new(Errors::<KINDS, 1>::try_new(config).ok()?),
        2 => Box::new(Errors::<KINDS, 2>::try_new(config).ok()?),
        4 => Box::new(Errors::<KINDS, 4>::try_new(config).ok()?),
        8 => Box::new(Errors::<KINDS, 8>::try_new(config).ok()?),
        _ => return None,
    })
}

/// Health with fewer places than it could have.
struct SizedHealth {
    health: Health<CHECKS>,
    checks: usize,
}

impl Observe for SizedHealth {
    fn observe(&self, now: Instant, digest: &mut Digest) {
        self.health.observe(now, digest);
    }
}

impl Machine for SizedHealth {
    fn apply(&mut self, input: &Input, now: Instant) -> Option<Answer> {
        match input {
            Input::AddCheck { .. } if self.health.ids().count() >= self.checks => Some(Answer::Missing),
            _ => self.health.apply(input, now),
        }
    }

    fn state(&self, now: Instant) -> State {
        self.health.state(now)
    }
}

/// Tells what one entry of a trace did.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// How many inputs and setups were before it, the missing ones counted.
    pub number: u32,
    /// The entry.
    pub entry: Entry,
    /// What it did.
    pub step: Step,
    /// How the machine that it went into stands after it.
    pub state: Option<State>,
}

/// Says why a replay ended before the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    File(FileError),
    /// What stands there does not hold.
    Replay {
        /// How many inputs and setups were before it: the number of the one that did not hold; of a check the last one's
        /// before it.
        number: u32,
        /// Bytes of the file before it.
        offset: usize,
        /// Why.
        error: ReplayError,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Replay { number, error, .. } => write!(f, "input {number}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the trace was run and contradicts what the machines here do; else it was not run, or not to its end.
    #[must_use]
    pub const fn is_divergence(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Replay { error, .. } => !matches!(error, ReplayError::Unknown { .. } | ReplayError::Setup { .. }),
        }
    }
}

/// Runs the file of a trace, entry by entry.
///
/// # Errors
/// [`Error`], after which there is no more.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::monitoring::trace::{self, Head, Input, Keep, Setup, Trace, Writer};
/// use daur_core::reliability::limiter::{Config, Limiter};
/// use daur_core::text::Text;
/// use daur_core::time::Instant;
/// use daur_std::monitoring::trace::Replay;
///
/// let mut trace: Trace<256> = Trace::new(trace::Config { keep: Keep::First, every: 1 });
/// let mut limiter = Limiter::new(Config::DEFAULT);
/// trace.declare(0, Text::cut("commands"), &Setup::Limiter { config: Config::DEFAULT }, Instant::ZERO);
/// trace.drive(0, &mut limiter, &Input::Check { n: 1 }, Instant::from_millis(3));
///
/// let mut file = Vec::new();
/// let mut put = |byte| file.push(byte);
/// let head = Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(1), every: 1 };
/// let mut writer = Writer::begin(&head, &mut put);
/// writer.copy(&trace);
/// writer.end(&trace);
///
/// assert!(Replay::open(&file).unwrap().all(|played| played.is_ok()));
/// file[12] ^= 1;
/// assert!(Replay::open(&file).is_err());
/// ```
#[derive(Debug)]
pub struct Replay<'a> {
    reader: Reader<'a>,
    player: Player<Declared>,
    over: bool,
}

impl<'a> Replay<'a> {
    /// Of the trace in `file`.
    ///
    /// # Errors
    /// [`Error::File`] if it is none that can be read.
    pub fn open(file: &'a [u8]) -> Result<Self, Error> {
        let reader = Reader::open(file).map_err(Error::File)?;
        Ok(Self { player: Player::new(reader.head(), Declared::default()), reader, over: false })
    }

    /// Whose trace it is.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.reader.head()
    }

    /// Inputs and setups so far, the missing ones counted.
    #[must_use]
    pub const fn inputs(&self) -> u32 {
        self.player.inputs()
    }

    /// How many of them are missing.
    #[must_use]
    pub const fn missing(&self) -> u32 {
        self.player.missing()
    }

    fn play(&mut self, item: Item<'_>) -> Result<Played, Error> {
        let Item { entry, offset, .. } = item;
        // A check speaks of what was played before it.
        let number = match entry {
            Entry::Check { .. } | Entry::End { .. } => self.player.inputs().saturating_sub(1),
            _ => self.player.inputs(),
        };
        let step = self.player.step(&item).map_err(|error| Error::Replay { number, offset, error })?;
        let state = match entry {
            Entry::Setup { machine, at, .. } | Entry::Input { machine, at, .. } => {
                self.player.machines().machine(machine).map(|machine| machine.state(at))
            }
            _ => None,
        };
        Ok(Played { number, entry, step, state })
    }
}

impl Iterator for Replay<'_> {
    type Item = Result<Played, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let played = self.reader.next()?.map_err(Error::File).and_then(|item| self.play(item));
        self.over = played.is_err();
        Some(played)
    }
}
