//! A line of the log as it lies in memory, and the sums by which it is known again.

use super::{Level, Record, is_before};
use crate::crc::Crc32;
use crate::text::Text;
use crate::time::Instant;

/// A line as it lies in memory: of any bits, each is a value.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Slot<const M: usize> {
    pub(super) at: u64,
    pub(super) last_at: u64,
    pub(super) number: u32,
    pub(super) repeated: u32,
    /// The sum over what never changes.
    pub(super) check: u32,
    /// The sum over what counts repetitions, apart: it is cheap, and if it is torn the line is not.
    pub(super) repeated_check: u32,
    pub(super) target: Text<16>,
    pub(super) message: Text<M>,
    /// [`Level::code`].
    pub(super) level: u8,
}

impl<const M: usize> Slot<M> {
    pub(super) const EMPTY: Self = Self {
        at: 0,
        last_at: 0,
        number: 0,
        repeated: 0,
        check: 0,
        repeated_check: 0,
        target: Text::EMPTY,
        message: Text::EMPTY,
        level: 0,
    };

    pub(super) fn is_untold(&self, untold: u32, began: u32) -> bool {
        self.level != 0 && is_before(self.number, began) && !is_before(self.number, untold)
    }

    // One copy of a line each, not one for every caller.
    #[inline(never)]
    pub(super) fn record(&self, began: u32) -> Option<Record<M>> {
        Some(Record {
            number: self.number,
            at: Instant::from_nanos(self.at),
            last_at: Instant::from_nanos(self.last_at),
            level: Level::of_code(self.level)?,
            target: self.target,
            message: self.message,
            repeated: self.repeated,
            before_reset: is_before(self.number, began),
        })
    }

    /// The sum over what never changes, in a ring of `places`.
    pub(super) fn sum(&self, places: usize) -> u32 {
        let mut sum = Sum(Crc32::new());
        // Another ring's lines, or those of a firmware with other sizes, are none of this one.
        sum.long(places as u64).long(M as u64);
        sum.long(self.number.into()).long(self.at).byte(self.level);
        sum.text(self.target.as_bytes()).text(self.message.as_bytes());
        sum.0.finish()
    }

    pub(super) fn sum_of_repeated(&self) -> u32 {
        let mut sum = Sum(Crc32::new());
        sum.long(self.number.into()).long(self.repeated.into()).long(self.last_at);
        sum.0.finish()
    }

    /// Empties it if it holds no line; `false` if its bits are not those of an empty one either.
    pub(super) fn mend(&mut self, places: usize) -> bool {
        let texts = [(self.target.as_bytes(), self.target.len()), (self.message.as_bytes(), self.message.len())];
        let readable = texts.iter().all(|(bytes, len)| bytes.len() == *len && core::str::from_utf8(bytes).is_ok());
        if readable && Level::of_code(self.level).is_some() && self.check == self.sum(places) {
            if self.repeated_check != self.sum_of_repeated() {
                (self.repeated, self.last_at) = (0, self.at);
                self.repeated_check = self.sum_of_repeated();
            }
            // What stands behind a text is in no sum, and two texts are compared with it.
            (self.target, self.message) = (Text::cut(self.target.as_str()), Text::cut(self.message.as_str()));
            return true;
        }
        let was_empty = self.level == 0 && self.check == 0;
        *self = Self::EMPTY;
        was_empty
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let longs = [self.at, self.last_at].into_iter().flat_map(u64::to_le_bytes);
        let words =
            [self.number, self.repeated, self.check, self.repeated_check].into_iter().flat_map(u32::to_le_bytes);
        longs.chain(words).chain([self.level]).chain(padded(&self.target)).chain(padded(&self.message))
    }

    pub(super) fn read(bytes: &mut impl Iterator<Item = u8>) -> Self {
        let mut long = || u64::from_le_bytes(core::array::from_fn(|_| bytes.next().unwrap_or(0)));
        let (at, last_at) = (long(), long());
        let mut word = || u32::from_le_bytes(core::array::from_fn(|_| bytes.next().unwrap_or(0)));
        let (number, repeated, check, repeated_check) = (word(), word(), word(), word());
        let level = bytes.next().unwrap_or(0);
        let (target, message) = (text_of(bytes), text_of(bytes));
        match (target, message) {
            (Some(target), Some(message)) => {
                Self { at, last_at, number, repeated, check, repeated_check, target, message, level }
            }
            // Not a line's, whatever its sum is; nor those of an empty one.
            _ => Self { check: !0, ..Self::EMPTY },
        }
    }
}

/// A text's length, its bytes, and zeros up to its size.
fn padded<const L: usize>(text: &Text<L>) -> impl Iterator<Item = u8> + '_ {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    core::iter::once(len).chain(text.as_bytes().iter().copied().chain(core::iter::repeat(0)).take(L))
}

fn text_of<const L: usize>(bytes: &mut impl Iterator<Item = u8>) -> Option<Text<L>> {
    let len = usize::from(bytes.next().unwrap_or(0));
    let held: [u8; L] = core::array::from_fn(|_| bytes.next().unwrap_or(0));
    Text::new(core::str::from_utf8(held.get(..len)?).ok()?).ok()
}

/// A check sum over numbers and texts.
struct Sum(Crc32);

impl Sum {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn long(&mut self, number: u64) -> &mut Self {
        for byte in number.to_le_bytes() {
            self.0.push(byte);
        }
        self
    }

    fn text(&mut self, bytes: &[u8]) -> &mut Self {
        self.byte(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        for &byte in bytes {
            self.0.push(byte);
        }
        self
    }
}
