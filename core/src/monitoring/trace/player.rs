//! Runs a trace through machines once more.

use core::fmt;

use super::entry::Entry;
use super::file::{Head, Item};
use super::input::{Answer, Input};
use super::machine::{Digest, Machine};
use super::setup::{Name, Setup};
use crate::time::Instant;

/// Makes and keeps the machines of a replay, by their numbers.
///
/// `daur-std` has one that makes whatever a trace declares. On a device, or for a type that a [`Setup`] does not name,
/// write your own.
pub trait Machines {
    /// Makes a machine, in the place of the one with this number; `false` if it cannot.
    fn declare(&mut self, number: u8, name: &Name, setup: &Setup, now: Instant) -> bool;

    /// The machine.
    fn machine(&mut self, number: u8) -> Option<&mut dyn Machine>;

    /// Forgets all of them: what follows is not what follows from their states.
    fn forget(&mut self);
}

/// Says what one entry of a trace did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Step {
    /// A machine began.
    Declared,
    /// An input was played.
    Played {
        /// What the machine answered.
        answer: Answer,
    },
    /// Since the last check, all was as it was on the device.
    Equal,
    /// So many inputs are missing.
    Missing {
        /// How many.
        count: u32,
    },
    /// The end.
    End,
}

/// Says why a replay does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReplayError {
    /// The machines here have not done what those of the device did, or were not told what those were told: by the
    /// sum of the inputs, answers and states since the last check.
    Diverged {
        /// The device's sum.
        expected: u32,
        /// The sum here.
        found: u32,
    },
    /// Inputs are missing before this one, and so its machine's state.
    Unknown {
        /// The machine.
        machine: u8,
        /// How many are missing so far.
        missing: u32,
    },
    /// The trace names a machine that it has not declared.
    Undeclared {
        /// The machine.
        machine: u8,
    },
    /// The machine cannot be made here: its config is invalid, or there is none of such a size.
    Setup {
        /// The machine.
        machine: u8,
    },
    /// The input is none for such a machine in its state.
    Input {
        /// The machine.
        machine: u8,
    },
    /// The trace holds more or fewer inputs than it says.
    Count {
        /// What it says.
        expected: u32,
        /// What it holds, the missing ones counted.
        found: u32,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverged { expected, found } => {
                write!(f, "diverged: the device's sum is {expected:08x}, here it is {found:08x}")
            }
            Self::Unknown { machine, missing } => {
                write!(f, "{missing} inputs before it are missing: nobody knows how machine {machine} stands")
            }
            Self::Undeclared { machine } => write!(f, "machine {machine} is not declared before it"),
            Self::Setup { machine } => write!(f, "machine {machine} cannot be made here"),
            Self::Input { machine } => write!(f, "it is no input for machine {machine} in its state"),
            Self::Count { expected, found } => {
                write!(f, "the trace says that it has {expected} inputs, and has {found}")
            }
        }
    }
}

impl core::error::Error for ReplayError {}

/// Runs the entries of a trace through machines, and holds their answers and states against the recorded sums.
///
/// # Rules
/// 1. It stops with the first entry that does not hold; what follows it means nothing.
/// 2. An input counts when it is played; `inputs` is the number of the next one.
/// 3. A changed input diverges even where it changes no state.
///
/// # Errors
/// [`ReplayError`].
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::monitoring::trace::{
///     self, Answer, Head, Input, Keep, Machine, Machines, Name, Player, Reader, Setup, Step, Trace, Writer,
/// };
/// use daur_core::reliability::limiter::{Config, Limiter};
/// use daur_core::text::Text;
/// use daur_core::time::Instant;
///
/// /// One limiter is all that this trace has.
/// struct One(Option<Limiter>);
///
/// impl Machines for One {
///     fn declare(&mut self, _: u8, _: &Name, setup: &Setup, _: Instant) -> bool {
///         let Setup::Limiter { config } = *setup else { return false };
///         self.0 = Limiter::try_new(config).ok();
///         self.0.is_some()
///     }
///     fn machine(&mut self, _: u8) -> Option<&mut dyn Machine> {
///         self.0.as_mut().map(|limiter| limiter as _)
///     }
///     fn forget(&mut self) {
///         self.0 = None;
///     }
/// }
///
/// // The device.
/// let mut trace: Trace<512> = Trace::new(trace::Config { keep: Keep::First, every: 1 });
/// trace.declare(0, Text::cut("commands"), &Setup::Limiter { config: Config::DEFAULT }, Instant::ZERO);
/// let mut limiter = Limiter::new(Config::DEFAULT);
/// for ms in 0..20 {
///     let now = Instant::from_millis(ms);
///     let checked = limiter.check(now);
///     trace.record(0, &Input::Check { n: 1 }, &Answer::from(checked), &limiter, now);
/// }
/// let mut file = Vec::new();
/// let head = Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), every: 1 };
/// let mut put = |byte| file.push(byte);
/// let mut writer = Writer::begin(&head, &mut put);
/// writer.copy(&trace);
/// writer.end(&trace);
///
/// // The host.
/// let reader = Reader::open(&file)?;
/// let mut player = Player::new(reader.head(), One(None));
/// let mut last = None;
/// for item in reader {
///     last = Some(player.step(&item?)?);
/// }
/// assert_eq!((last, player.inputs()), (Some(Step::End), 21));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Player<M> {
    machines: M,
    digest: Digest,
    /// The machine of the last input since a check, and when that was.
    last: Option<(u8, Instant)>,
    inputs: u32,
    missing: u32,
    head: Head,
    now: Instant,
}

impl<M: Machines> Player<M> {
    /// At the beginning of the trace that `head` stands before.
    pub const fn new(head: Head, machines: M) -> Self {
        Self { machines, digest: Digest::new(), last: None, inputs: 0, missing: 0, head, now: Instant::ZERO }
    }

    /// Plays one entry.
    ///
    /// # Errors
    /// [`ReplayError`], after which the replay is over.
    pub fn step(&mut self, item: &Item<'_>) -> Result<Step, ReplayError> {
        match item.entry {
            Entry::Setup { machine, ref name, ref setup, at } => {
                self.told(item, at);
                if !self.machines.declare(machine, name, setup, at) {
                    return Err(ReplayError::Setup { machine });
                }
                self.inputs = self.inputs.saturating_add(1);
                Ok(Step::Declared)
            }
            Entry::Input { machine, ref input, at } => {
                self.told(item, at);
                let answer = self.play(machine, input, at)?;
                self.inputs = self.inputs.saturating_add(1);
                Ok(Step::Played { answer })
            }
            Entry::Check { digest } => {
                if let Some((machine, at)) = self.last
                    && let Some(machine) = self.machines.machine(machine)
                {
                    machine.observe(at, &mut self.digest);
                }
                let found = self.digest.finish();
                self.restart();
                Self::compare(digest, found)?;
                Ok(Step::Equal)
            }
            Entry::Gap { missing, at } => {
                self.now = at;
                self.machines.forget();
                self.restart();
                self.missing = self.missing.saturating_add(missing);
                self.inputs = self.inputs.saturating_add(missing);
                Ok(Step::Missing { count: missing })
            }
            Entry::End { inputs, digest } => {
                let found = self.head.seal(self.digest, self.now);
                Self::compare(digest, found)?;
                if inputs != self.inputs {
                    return Err(ReplayError::Count { expected: inputs, found: self.inputs });
                }
                Ok(Step::End)
            }
        }
    }

    fn play(&mut self, number: u8, input: &Input, at: Instant) -> Result<Answer, ReplayError> {
        let Some(machine) = self.machines.machine(number) else {
            return Err(match self.missing {
                0 => ReplayError::Undeclared { machine: number },
                missing => ReplayError::Unknown { machine: number, missing },
            });
        };
        let answer = machine.apply(input, at).ok_or(ReplayError::Input { machine: number })?;
        self.digest.see(&answer);
        self.last = Some((number, at));
        Ok(answer)
    }

    /// What the device summed up, too.
    fn told(&mut self, item: &Item<'_>, at: Instant) {
        self.now = at;
        self.digest.number(at.as_nanos());
        self.digest.bytes(item.bytes);
    }

    fn compare(expected: u32, found: u32) -> Result<(), ReplayError> {
        if found == expected { Ok(()) } else { Err(ReplayError::Diverged { expected, found }) }
    }

    const fn restart(&mut self) {
        self.digest = Digest::new();
        self.last = None;
    }

    /// Inputs and setups so far, the missing ones counted.
    #[must_use]
    pub const fn inputs(&self) -> u32 {
        self.inputs
    }

    /// How many of them are missing.
    #[must_use]
    pub const fn missing(&self) -> u32 {
        self.missing
    }

    /// The machines as they stand.
    pub const fn machines(&mut self) -> &mut M {
        &mut self.machines
    }
}
