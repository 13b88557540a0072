//! One piece of a trace.

use super::code::{Bytes, Get, Put, number, zagzig, zigzag};
use super::input::Input;
use super::setup::{Name, Setup};
use crate::time::Instant;

/// Says one thing that a trace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Entry {
    /// A machine begins, or begins anew.
    Setup {
        /// Its number, by which its inputs name it.
        machine: u8,
        /// Its name for people.
        name: Name,
        /// What it is.
        setup: Setup,
        /// When.
        at: Instant,
    },
    /// Something went into a machine.
    Input {
        /// Which.
        machine: u8,
        /// What.
        input: Input,
        /// When.
        at: Instant,
    },
    /// What the inputs since the last check, their answers, and the state of the last one's machine sum up to.
    Check {
        /// The sum.
        digest: u32,
    },
    /// Inputs are missing here.
    Gap {
        /// How many, setups counted.
        missing: u32,
        /// The moment from which the next one's time is counted.
        at: Instant,
    },
    /// There is no more.
    End {
        /// How many inputs and setups there were, the missing ones counted.
        inputs: u32,
        /// What the inputs since the last check and their answers sum up to.
        digest: u32,
    },
}

/// The numbers of what is no input.
pub(super) const SETUP: u8 = 1;
pub(super) const CHECK: u8 = 2;
pub(super) const GAP: u8 = 3;
pub(super) const END: u8 = 4;

/// Set in the number where the time is that of the entry before.
const SAME_TIME: u8 = 0x80;

/// What stands at the beginning of an input or a setup.
pub(super) fn put_head(kind: u8, machine: u8, at: Instant, before: Instant, out: &mut dyn FnMut(u8)) {
    if at == before {
        out(kind | SAME_TIME);
        out(machine);
    } else {
        out(kind);
        out(machine);
        let step = at.as_nanos().wrapping_sub(before.as_nanos()).cast_signed();
        number(zigzag(step), out);
    }
}

/// The time of an entry that begins with `bytes`, if it has one.
pub(super) fn time(bytes: &mut Bytes<'_>, before: Instant) -> Option<(u8, u8, Instant)> {
    let kind = bytes.byte()?;
    let machine = bytes.byte()?;
    if kind & SAME_TIME != 0 {
        return Some((kind & !SAME_TIME, machine, before));
    }
    let step = zagzig(bytes.number()?);
    // One spelling for each: no step is no time.
    if step == 0 {
        return None;
    }
    Some((kind, machine, Instant::from_nanos(before.as_nanos().wrapping_add(step.cast_unsigned()))))
}

impl Entry {
    /// Reads all of `bytes`; `before` is the moment of the entry before it.
    pub(super) fn get(bytes: &[u8], before: Instant) -> Option<Self> {
        let mut from = Bytes(bytes);
        let kind = *bytes.first()?;
        let entry = match kind {
            CHECK | GAP | END => {
                from.byte()?;
                match kind {
                    CHECK => Self::Check { digest: sum(&mut from)? },
                    GAP => Self::Gap { missing: Get::get(&mut from)?, at: Get::get(&mut from)? },
                    _ => Self::End { inputs: Get::get(&mut from)?, digest: sum(&mut from)? },
                }
            }
            _ => {
                let (kind, machine, at) = time(&mut from, before)?;
                if kind == SETUP {
                    Self::Setup { machine, name: Get::get(&mut from)?, setup: Get::get(&mut from)?, at }
                } else {
                    Self::Input { machine, input: Input::get(kind, &mut from)?, at }
                }
            }
        };
        from.0.is_empty().then_some(entry)
    }
}

fn sum(from: &mut Bytes<'_>) -> Option<u32> {
    from.take(4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn put_sum(sum: u32, out: &mut dyn FnMut(u8)) {
    for byte in sum.to_le_bytes() {
        out(byte);
    }
}

/// What is not an input, and has no time.
pub(super) fn put_mark(mark: &Entry, out: &mut dyn FnMut(u8)) {
    match *mark {
        Entry::Check { digest } => {
            out(CHECK);
            put_sum(digest, out);
        }
        Entry::Gap { missing, at } => {
            out(GAP);
            missing.put(out);
            at.put(out);
        }
        Entry::End { inputs, digest } => {
            out(END);
            inputs.put(out);
            put_sum(digest, out);
        }
        Entry::Setup { .. } | Entry::Input { .. } => {}
    }
}
