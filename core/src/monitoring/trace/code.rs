//! How values become bytes, the same on every target: numbers of seven bits a byte, the least first.

use crate::text::Text;
use crate::time::{Duration, Instant};

/// Writes itself to whatever takes bytes.
pub(super) type Spelling<'a> = dyn Fn(&mut dyn FnMut(u8)) + 'a;

/// Has a spelling in bytes.
pub(super) trait Put {
    fn put(&self, out: &mut dyn FnMut(u8));
}

/// Is read from its spelling; `None` where that is none.
pub(super) trait Get: Sized {
    fn get(from: &mut Bytes<'_>) -> Option<Self>;
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn byte(&mut self) -> Option<u8> {
        let Some((&byte, rest)) = self.0.split_first() else { return None };
        self.0 = rest;
        Some(byte)
    }

    pub(super) const fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(len) else { return None };
        self.0 = rest;
        Some(taken)
    }

    /// One spelling for each number: none with a last byte that adds nothing.
    pub(super) const fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        let mut shift = 0_u32;
        while let Some(byte) = self.byte() {
            let part = (byte & 0x7F) as u64;
            if shift > 56 && (part << shift) >> shift != part || shift > 0 && byte == 0 {
                return None;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
            if shift > 63 {
                return None;
            }
        }
        None
    }
}

/// Writes a number.
#[inline(never)]
pub(super) fn number(mut number: u64, out: &mut dyn FnMut(u8)) {
    while number > 0x7F {
        out(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out(number.to_le_bytes()[0]);
}

/// Small numbers of either sign are short.
pub(super) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// What [`zigzag`] was made of.
pub(super) const fn zagzig(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Put for $type {
            fn put(&self, out: &mut dyn FnMut(u8)) {
                number(u64::from(*self), out);
            }
        }
        impl Get for $type {
            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                from.number()?.try_into().ok()
            }
        }
    )+};
}

numbers!(u8, u16, u32, u64);

impl Put for bool {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        out(u8::from(*self));
    }
}

impl Get for bool {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        match from.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Put for Duration {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        number(self.as_nanos(), out);
    }
}

impl Get for Duration {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        from.number().map(Self::from_nanos)
    }
}

impl Put for Instant {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        number(self.as_nanos(), out);
    }
}

impl Get for Instant {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        from.number().map(Self::from_nanos)
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
}

impl<T: Get> Get for Option<T> {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(if bool::get(from)? { Some(T::get(from)?) } else { None })
    }
}

/// Writes a text's bytes behind their number.
#[inline(never)]
pub(super) fn text(bytes: &[u8], out: &mut dyn FnMut(u8)) {
    number(bytes.len() as u64, out);
    for &byte in bytes {
        out(byte);
    }
}

impl<const N: usize> Put for Text<N> {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        text(self.as_bytes(), out);
    }
}

impl<const N: usize> Get for Text<N> {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        let len = usize::try_from(from.number()?).ok()?;
        Self::new(core::str::from_utf8(from.take(len)?).ok()?).ok()
    }
}

/// Spells a struct's fields in the order given: all of them, or it does not compile. `put` alone for what is
/// never read.
macro_rules! fields {
    (put $($(const $($generic:ident)+ =>)? $type:ty { $($field:ident),+ $(,)? })+) => {$(
        impl $(<$(const $generic: usize),+>)? Put for $type {
            fn put(&self, out: &mut dyn FnMut(u8)) {
                let Self { $($field),+ } = self;
                $($field.put(out);)+
            }
        }
    )+};
    ($($type:ty { $($field:ident),+ $(,)? })+) => {$(
        fields!(put $type { $($field),+ });
        impl Get for $type {
            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                $(let $field = Get::get(from)?;)+
                Some(Self { $($field),+ })
            }
        }
    )+};
}

/// Spells an enum without fields by numbers, which stay for ever.
macro_rules! choices {
    ($($type:ty { $($number:literal = $variant:ident),+ $(,)? })+) => {$(
        impl Put for $type {
            fn put(&self, out: &mut dyn FnMut(u8)) {
                out(match self { $(Self::$variant => $number),+ });
            }
        }
        impl Get for $type {
            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                match from.byte()? {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn spelled(value: &impl Put) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.put(&mut |byte| bytes.push(byte));
        bytes
    }

    #[test]
    fn a_number_is_read_as_it_was_written_and_has_no_other_spelling() {
        for number in [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let bytes = spelled(&number);
            let mut from = Bytes(&bytes);
            assert_eq!((from.number(), from.0.len()), (Some(number), 0));
            assert_eq!(Bytes(&bytes[..bytes.len() - 1]).number(), None, "cut short");
        }
        for bytes in
            [&[0x80, 0][..], &[0xFF; 10], &[0x80; 11], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]]
        {
            assert_eq!(Bytes(bytes).number(), None, "{bytes:?}");
        }
    }

    #[test]
    fn steps_of_either_sign_come_back() {
        for step in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(zagzig(zigzag(step)), step);
        }
        assert_eq!((zigzag(-1), zigzag(1)), (1, 2));
    }

    #[test]
    fn what_no_value_spells_is_none() {
        assert_eq!(bool::get(&mut Bytes(&[2])), None);
        assert_eq!(u8::get(&mut Bytes(&[0x80, 2])), None);
        assert_eq!(Text::<4>::get(&mut Bytes(b"\x05abcde")), None);
        assert_eq!(Text::<4>::get(&mut Bytes(b"\x02\xFF\xFF")), None);
        assert_eq!(Text::<4>::get(&mut Bytes(b"\x03ab")), None);
        assert_eq!(Text::<4>::get(&mut Bytes(b"\x02ab")).unwrap(), "ab");
        assert_eq!(<Option<u8>>::get(&mut Bytes(&[1, 7])), Some(Some(7)));
    }
}
